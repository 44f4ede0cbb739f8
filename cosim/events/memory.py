"""What CPUs tell of memory beside the values: which stores order nothing, what orders, and some loads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class StoreIssued:
    """A thread has issued a store that is no release; it takes hold later. `size` is in bytes.

    `place` is where in the source of a compiled driver.
    """

    time: int
    who: str
    cpu: str
    address: int
    size: int
    place: str = ""


@dataclass(slots=True)
class LoadSeen:
    """A thread has loaded from one of the pages of whose loads somebody wants to know, such as those of a queue."""

    time: int
    who: str
    address: int


@dataclass(slots=True)
class OrderMade:
    """A thread has made an access of the word at `address` that acquires or releases, or both, or a fence: address 0.

    An atomic that has failed to store releases nothing.
    """

    time: int
    cpu: str
    address: int
    acquire: bool
    release: bool
