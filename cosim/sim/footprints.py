"""Footprints: what an effect touches, and when the order of two effects may matter."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

Footprint = tuple[Hashable, ...]
"""Each key is a word of memory (its address, an int), several words (a range of addresses in steps of 8), or the name
of other state: ``("iommu0", "cqt")`` is a register, ``("iommu0", "iotlb", -1, 3)`` the entries of a tag, and
``Every("iommu0", "iotlb")`` all of them."""

WORD = 8
"""Bytes of a word of memory."""


class Every:
    """All state whose name begins so."""

    __slots__ = ("names",)

    def __init__(self, *names: Hashable) -> None:
        self.names = names

    def covers(self, key: Hashable) -> bool:
        """Whether a key, or all that it stands for, is among them."""
        names = key.names if isinstance(key, Every) else key
        return isinstance(names, tuple) and names[: len(self.names)] == self.names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Every) and other.names == self.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"Every{self.names}"


def words(address: int, size: int) -> Footprint:
    """The words of memory that `size` bytes at `address` touch."""
    first, end = int(address) & -WORD, int(address) + size
    return (first,) if end - first <= WORD else (range(first, end, WORD),)


def running(cpu: str) -> tuple[str, str]:
    """What runs on a CPU: which thread, or none."""
    return cpu, "running"


def meet(first: Footprint, second: Footprint) -> bool:
    """Whether two footprints have something in common."""
    return any(_same(one, other) for one in first for other in second)


def _same(one: Hashable, other: Hashable) -> bool:
    if isinstance(one, range):
        if isinstance(other, range):
            return one.start < other.stop and other.start < one.stop
        return other in one
    if isinstance(one, Every):
        return one.covers(other) or (isinstance(other, Every) and other.covers(one))
    return _same(other, one) if isinstance(other, range | Every) else one == other


class Effect(Protocol):
    """What conflicts: an action that asks, or one that has taken hold."""

    @property
    def owner(self) -> str:
        """Who acts: what one owner does is in its own order, whatever a schedule says."""

    @property
    def footprint(self) -> Footprint:
        """What it touches."""

    @property
    def changes(self) -> bool:
        """Whether it changes what it touches."""


def conflict(first: Effect, second: Effect) -> bool:
    """Whether the order of two effects may matter: other owners, footprints that meet, and one of them changes."""
    return (first.changes or second.changes) and first.owner != second.owner and meet(first.footprint, second.footprint)
