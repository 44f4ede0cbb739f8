"""What a result holds by name: a name that is not there is an error that says which one was meant."""

from __future__ import annotations

from typing import NoReturn, TypeVar

from cosim.units.nearest import closest

V = TypeVar("V")


class Named(dict[str, V]):
    """A mapping of names, in their order, that raises KeyError with the nearest name. It can be pickled and dumped."""

    def __missing__(self, name: str) -> NoReturn:
        near = closest(name, self)
        known = f"there are {len(self)}, such as {next(iter(self))}" if self else "there are none"
        raise KeyError(f"{name}: no such name in the result; " + (f"did you mean {near}?" if near else known))
