"""The values of an axis as they are written: ``8,16,32``, ``16..1024*2``, ``10..50:10``, ``10..50 ns:20 ns``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from cosim.units.quantities import (
    UnitError,
    dimension_of,
    format_like,
    parse_count,
    parse_rate,
    parse_size,
    parse_time,
)

MOST = 100_000
"""As many values an axis has at most."""

_RANGE = re.compile(r"(?P<first>[^*]+?)\s*\.\.\s*(?P<last>[^*:]+?)\s*(?:(?P<by>[*:])\s*(?P<step>.+))?")
_NUMBER = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]+)?(?:[eE][-+]?[0-9]{1,3})?|0[xX][0-9a-fA-F_]+")
LETTERS = "A-Za-z\u00b5\u03bc"
"""What units are spelt with, as a class of a regular expression: the micro sign and the Greek letter as well."""
_UNIT = re.compile(rf"(?<=[0-9_.])\s*[{LETTERS}][{LETTERS}/]*$")


class ValuesError(ValueError):
    """Values that cannot be read: what is wrong, and how it is written right."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is between two numbers, both included, in base units, written like `like`. Points are drawn from it."""

    first: Fraction
    last: Fraction
    like: str

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return self.first.denominator == self.last.denominator == 1

    def at(self, part: float) -> str:
        """The value that has this part of the span, from 0 to 1, before it."""
        if self.whole:
            count = int(self.last - self.first) + 1
            return written(self.first + min(int(part * count), count - 1), self.like)
        return written(self.first + (self.last - self.first) * Fraction(part), self.like)


def values_of(text: str) -> tuple[str, ...]:
    """Every value of ``VALUES`` in its order. Raises ValuesError."""
    found: list[str] = []
    for item in split(text):
        found += _values(item)
        if len(found) > MOST:
            raise ValuesError(f"{item} makes more than {MOST:_} values")
    return tuple(found)


def span_of(text: str) -> Span | None:
    """The span of a single range without a step, ``10..50``; None for anything else."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or match["by"] or len(split(text)) != 1:
        return None
    first, last, like = _bounds(text, match)
    return Span(first, last, like)


def split(text: str) -> list[str]:
    """The items between commas that stand in no brackets and no quotes. Raises ValuesError for an empty one."""
    items, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "[{(":
            depth += 1
        elif sign in "]})":
            depth -= 1
        elif sign == "," and depth <= 0:
            items.append("")
            continue
        items[-1] += sign
    items = [item.strip() for item in items]
    if not all(items):
        raise ValuesError("a value is missing; write them with commas between them: 8,16,32")
    return items


def number_of(text: str) -> Fraction | None:
    """A number, or a quantity in its base unit; None for what is neither."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        if text[:2] in ("0x", "0X"):
            return Fraction(int(text, 16))
        return Fraction(Decimal(text.replace("_", "")))
    kind = dimension_of(text)
    if kind is None:
        return None
    readers = {"time": parse_time, "size": parse_size, "rate": parse_rate}
    try:
        return Fraction(readers.get(kind.name, parse_count)(text))
    except UnitError:
        return None


def written(value: Fraction, like: str) -> str:
    """A number as a topology has it, in the kind of quantity that `like` is."""
    if dimension_of(like) is not None:
        return format_like(like, round(value))
    return str(int(value)) if value.denominator == 1 else repr(float(value))


def _values(item: str) -> list[str]:
    match = _RANGE.fullmatch(item)
    if match is None:
        return [item]
    first, last, like = _bounds(item, match)
    if match["by"] is None:
        if first.denominator != 1 or last.denominator != 1 or dimension_of(like):
            raise ValuesError(f"{item} has no step; write {item}:STEP, or {item}*FACTOR")
        step, factor = Fraction(1), Fraction(1)
    else:
        width = number_of(match["step"])
        if width is None and match["by"] == ":":
            width = _with_unit(match["step"], like)
        if width is None:
            raise ValuesError(f"{item}: {match['step']} is no number")
        step, factor = (width, Fraction(1)) if match["by"] == ":" else (Fraction(0), width)
        if match["by"] == ":" and dimension_of(like) and _NUMBER.fullmatch(match["step"]):
            step = _with_unit(match["step"], like) or step
    if step <= 0 and factor <= 1:
        wrong = "a step is above 0" if match["by"] == ":" else "a factor is above 1"
        raise ValuesError(f"{item}: {wrong}")
    if factor > 1 and first <= 0:
        raise ValuesError(f"{item}: what is multiplied begins above 0")
    if step and (last - first) / step > MOST:
        raise ValuesError(f"{item} makes more than {MOST:_} values")
    found: list[str] = []
    value = first
    while value <= last:
        found.append(written(value, like))
        value = value * factor + step
    return found


def _bounds(item: str, match: re.Match[str]) -> tuple[Fraction, Fraction, str]:
    """The two ends in base units; where the first one has no unit it is that of the last one."""
    written_first, written_last = match["first"].strip(), match["last"].strip()
    if dimension_of(written_last) and _NUMBER.fullmatch(written_first) and (unit := _UNIT.search(written_last)):
        written_first = f"{written_first} {unit[0].strip()}"
    first, last = number_of(written_first), number_of(written_last)
    if first is None or last is None:
        wrong = match["first"] if first is None else match["last"]
        raise ValuesError(f"{item}: {wrong} is no number; a range is 16..1024*2, 10..50:10 or 10 ns..50 ns:20 ns")
    kind = dimension_of(written_first)
    if kind is not None and kind is not dimension_of(written_last):
        raise ValuesError(f"{item}: {written_last} is no {kind.name}, and {written_first} is; {kind.name}s have a unit")
    if first > last:
        raise ValuesError(f"{item}: a range goes up; write {written_last}..{written_first}")
    return first, last, match["last"]


def _with_unit(number: str, like: str) -> Fraction | None:
    unit = _UNIT.search(like)
    return number_of(f"{number.strip()} {unit[0].strip()}") if unit else None
