"""Whether a thing keeps a contract that is written as a `Protocol`: told in words, before anything is called."""

from __future__ import annotations

import inspect
from typing import Any

SPECIAL = frozenset({"__contains__", "__iter__"})
"""The members with underscores that a contract may ask for."""


def members(contract: type) -> list[str]:
    """The names of the methods and attributes that `contract` asks for, in the order of its text."""
    found: dict[str, None] = {}
    for base in reversed(contract.__mro__):
        if getattr(base, "_is_protocol", False):
            names = [*inspect.get_annotations(base), *vars(base)]
            found |= dict.fromkeys(name for name in names if name in SPECIAL or not name.startswith("_"))
    return list(found)


def breaches(contract: type, thing: Any) -> list[str]:
    """In words, every way in which the object `thing` does not keep `contract`; empty if it does.

    A method has to be callable as the contract calls it, by position, whatever the names of its parameters are, and
    to be ``async`` where it is awaited. What a method returns is not looked at.
    """
    return [text for name in members(contract) if (text := _breach(name, getattr(contract, name, None), thing))]


def _breach(name: str, wanted: Any, thing: Any) -> str:
    if not inspect.isfunction(wanted):
        return "" if hasattr(thing, name) else f"it has no attribute {name}"
    call = f"{name}({', '.join(list(inspect.signature(wanted).parameters)[1:])})"
    found = getattr(thing, name, None)
    if found is None:
        return f"it has no method {call}"
    if not callable(found):
        return f"its {name} is no method"
    awaited = inspect.iscoroutinefunction(wanted)
    if awaited != inspect.iscoroutinefunction(inspect.unwrap(found)):
        return f"its {name} is not async, and is awaited" if awaited else f"its {name} is async, and is not awaited"
    try:
        inspect.signature(found).bind(*list(inspect.signature(wanted).parameters)[1:])
    except TypeError:
        return f"its {name}{inspect.signature(found)} cannot be called as {call}"
    except ValueError:
        return ""  # C code that does not tell its parameters
    return ""
