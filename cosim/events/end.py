"""What is told once, when a run has come to its end: what is left that should not be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Leaked:
    """Nothing points to an allocation any more, which `who` made at `allocated` for `purpose`, of `size` bytes.

    `place` is where in the source of a compiled driver.
    """

    time: int
    who: str
    address: int
    size: int
    purpose: str
    allocated: int
    place: str = ""


@dataclass(slots=True)
class NumberLost:
    """Nothing in memory names a PSCID that `who`, an allocator of ids, has given out for `iommu`; for all if empty."""

    time: int
    who: str
    iommu: str
    number: int


@dataclass(slots=True)
class Deadlocked:
    """A thread has waited since `since` for a lock that will never be its own; `holder` has it, or has ended with it.

    `lock_class` is the field that the lock is declared as.
    """

    time: int
    who: str
    lock_class: str
    holder: str
    ended: bool
    since: int


@dataclass(slots=True)
class ThreadLeft:
    """A thread has not ended; `spent` is what it has spent in each latency part so far."""

    time: int
    who: str
    spent: Mapping[str, int]


@dataclass(slots=True)
class RunEnded:
    """The run is over, and was not ended early: what has not happened by now does not happen."""

    time: int
