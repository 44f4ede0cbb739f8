"""What an oracle is: one property, judged from events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from cosim.oracles.bounds import Bounds
from cosim.spec.faults import Cause

UNMAPPING = ("map", "unmap")
"""The calls that unmap: a map that fails does, too."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A property did not hold: `message` says who, where and when, `since_ps` since when it was so.

    `signature` says of what kind the violation and its objects are, without names, addresses and times: violations
    that are alike have the same one, in whatever run.
    """

    oracle: str
    signature: str
    message: str
    time_ps: int
    since_ps: int


class Listener:
    """What listens to events: `watches` maps each type of event that it needs to its method for it.

    A method for `DmaCommitted` may return true: an access that is alike, by the same device through the same
    translation, need not be shown again until a map, an unmap, an attach or an IOMMU's probe has returned, an attach
    begun, or a kernel ended.
    """

    watches: ClassVar[Mapping[type, str]]
    of_failures: ClassVar[bool] = False
    """Whether, of requests that are over, it needs those that failed, and the first of a device that has not, after
    such, but no others."""

    def listeners(self) -> list[tuple[type, Callable[[Any], None]]]:
        """Each event type with the method that wants it."""
        return [(event, getattr(self, method)) for event, method in self.watches.items()]


class Book(Listener):
    """What several oracles have to know of a run: kept once, and brought up to date before any of them judges."""


B = TypeVar("B", bound=Book)


class Oracle(Listener):
    """One property.

    An oracle sees events, and what stands in memory only where they do not say how it came to what is wrong
    (`InMemory`). It calls `report` with each violation and goes on, so that one run shows them all.
    How long it waits for what takes time follows from `bounds`: an oracle has no time of its own. They are others once
    boot is done and a schedule holds actions, and so are looked up whenever something is judged.
    """

    name: ClassVar[str]

    def __init__(
        self, report: Callable[[Violation], None], bounds: Bounds, books: dict[type[Book], Book] | None = None
    ) -> None:
        """`books` are those that other oracles of the run have begun; what this one begins is added to them."""
        self._report = report
        self.bounds = bounds
        self._books = {} if books is None else books

    def book(self, kind: type[B]) -> B:
        """The run's book of a kind."""
        found = self._books.setdefault(kind, kind())
        assert isinstance(found, kind)
        return found

    def violated(self, message: str, time_ps: int, since_ps: int, *, signature: str) -> None:
        """Report that the property did not hold at `time_ps`; `signature` is without the oracle's name."""
        self._report(Violation(self.name, f"{self.name}: {signature}", message, time_ps, since_ps))


def of_before(domain: str) -> str:
    """What a domain is called once its kernel has ended: the next one may have one of that name."""
    return f"{domain} of the kernel before"


_UNITS = (("s", 10**12), ("ms", 10**9), ("us", 10**6), ("ns", 10**3))


def exact(ps: int) -> str:
    """A point in time to the picosecond, in the largest unit that it fills: ``91.200074756003 s``, ``480 ns``."""
    unit, scale = next(((unit, scale) for unit, scale in _UNITS if ps >= scale), ("ps", 1))
    whole, rest = divmod(ps, scale)
    digits = f".{rest:0{len(str(scale)) - 1}}".rstrip("0") if rest else ""
    return f"{whole}{digits} {unit}"


def cause_name(cause: int) -> str:
    """A fault's name (`spec.faults.Cause`); what none is called by its number."""
    return Cause(cause).name.lower() if cause in set(Cause) else f"cause {cause}"


def span(ps: int) -> str:
    """A duration to four digits: ``200.0 ms``, ``30 ns``; short ones exactly."""
    unit, scale = next(((unit, scale) for unit, scale in _UNITS if ps >= scale), ("ps", 1))
    return f"{ps // scale} {unit}" if ps % scale == 0 else f"{ps / scale:.4g} {unit}"
