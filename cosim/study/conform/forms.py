"""What a line of a file must look like: the base of its pydantic models, its numbers, and what is said of a bad one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, ValidationError


class Form(BaseModel):
    """An object of a file, all of whose keys are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def number(value: object) -> int:
    """An integer, or one written as a string with its base; ValueError for all else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is not a number")
    try:
        return int(value, 0) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is not a number") from None


def upto(largest: int) -> Callable[[object], int]:
    """What takes a number from 0 to `largest`; ValueError for another."""

    def limited(value: object) -> int:
        found = number(value)
        if not 0 <= found <= largest:
            raise ValueError(f"{value!r} is not one of 0..{largest:#x}")
        return found

    return limited


def known(key: str, keys: Collection[str]) -> str:
    """`key`, if it is one of `keys`; ValueError with the nearest one if not."""
    if key not in keys:
        raise ValueError(unknown("key", key, keys))
    return key


def unknown(what: str, name: object, names: Collection[str]) -> str:
    """What to say of a name that is none of `names`, with the nearest one."""
    near = get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    return f"unknown {what} {name!r}; {hint}"


def _hex(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ValueError(f"{value!r} is not an even number of hexadecimal digits") from None


Number = Annotated[int, PlainValidator(number)]
Bit = Annotated[int, PlainValidator(upto(1))]
Byte = Annotated[int, PlainValidator(upto(0xFF))]
Dword = Annotated[int, PlainValidator(upto((1 << 64) - 1))]
Hex = Annotated[bytes, BeforeValidator(_hex)]
"""Bytes, written as hexadecimal digits."""


def worst(error: ValidationError) -> Mapping[str, Any]:
    """The one finding to tell: a key that is unknown or missing before a wrong value, and an early one before others.

    A key is missing because it was misspelled, and a step is unreadable because of its key.
    """
    ranks = {"extra_forbidden": 0, "missing": 1}

    def order(detail: Mapping[str, Any]) -> tuple[Any, ...]:
        place = detail["loc"]
        nested = next((n for n, key in enumerate(place) if isinstance(key, int)), len(place))
        entry = place[nested] if nested < len(place) else -1
        return nested < len(place), entry, ranks.get(detail["type"], 2)

    return min(error.errors(include_url=False), key=order)


def told(detail: Mapping[str, Any], form: type[BaseModel], place: Sequence[str | int]) -> str:
    """What a finding says, behind where it is: at `place`, seen from an object of this form."""
    if place and place[-1] == "[key]":
        place = place[:-2]
    if detail["type"] in ("extra_forbidden", "missing"):
        place, key = place[:-1], str(place[-1])
        text = f"{key!r} is missing" if detail["type"] == "missing" else unknown("key", key, _keys(form, place))
    else:
        text = _reason(detail)
    return ": ".join([*(key for key in place if isinstance(key, str)), text])


def _keys(form: type[BaseModel], place: Iterable[str | int]) -> list[str]:
    """The keys that the object at `place` may have."""
    for key in place:
        if isinstance(key, str):
            field = next(each for name, each in form.model_fields.items() if key in (name, each.alias))
            form = next(_forms(field.annotation))
    return [field.alias or name for name, field in form.model_fields.items()]


def _forms(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _forms(inner)


def _reason(detail: Mapping[str, Any]) -> str:
    value = detail["input"]
    match detail["type"]:
        case "model_type" | "dict_type":
            return f"{value!r} is not an object"
        case "list_type":
            return f"{value!r} is not a list"
        case "string_type":
            return f"{value!r} is not a string"
        case "too_short":
            return "there is nothing in the list"
        case "literal_error":
            words = str(detail["ctx"]["expected"]).replace(" or ", ", ").replace("'", "")
            return f"{value!r} is none of {words}"
    return str(detail.get("ctx", {}).get("error", detail["msg"]))
