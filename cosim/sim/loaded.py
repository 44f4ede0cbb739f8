"""Values that come from memory, and remember from which of its states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Value = Any
"""An int that may be a `Loaded`. Compiled code takes what it knows to be an int out of its object, and `at` is gone."""


class Loaded(int):
    """A value that a load returned, with the time `at` of the memory state that it came from.

    Arithmetic keeps `at` (the later one of two), so that an address or a value computed from it still orders what
    depends on it (RVWMO, syntactic address and data dependencies). ``int(value)`` drops it.
    """

    at: int

    def __new__(cls, value: int, at: int) -> Loaded:
        self = int.__new__(cls, value)
        self.at = at
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (Loaded, (int(self), self.at))


def at_of(*values: object) -> int:
    """The latest memory state that any of `values` came from; -1 if none came from memory."""
    return max((value.at for value in values if isinstance(value, Loaded)), default=-1)


def _keeping(name: str) -> Callable[..., Any]:
    """The operator of int called `name`, keeping `at`; spelled out, since driver code runs on it."""
    plain = getattr(int, name)
    new = int.__new__

    def binary(self: Loaded, other: Any) -> Any:
        result = plain(self, other)
        if type(result) is not int:
            return result
        made = new(Loaded, result)
        at = self.at
        if type(other) is Loaded and other.at > at:
            at = other.at
        made.at = at
        return made

    return binary


def _keeping_alone(name: str) -> Callable[[Loaded], Loaded]:
    plain = getattr(int, name)

    def unary(self: Loaded) -> Loaded:
        return Loaded(plain(self), self.at)

    return unary


for _name in ("add", "sub", "mul", "floordiv", "mod", "and", "or", "xor", "lshift", "rshift"):
    setattr(Loaded, f"__{_name}__", _keeping(f"__{_name}__"))
    setattr(Loaded, f"__r{_name}__", _keeping(f"__r{_name}__"))
for _name in ("neg", "pos", "invert"):
    setattr(Loaded, f"__{_name}__", _keeping_alone(f"__{_name}__"))
