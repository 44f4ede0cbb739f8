"""Footprints: what an effect touches, and when the order of two effects may matter."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

Footprint = tuple[Hashable, ...]
"""Each key is a word of memory (its address, an int), several words (a range of addresses in steps of 8), or the name
of other state: ``("iommu0", "cqt")`` is a register, ``("iommu0", "iotlb", 0, 3)`` the entries of a tag."""

WORD = 8
"""Bytes of a word of memory."""


def words(address: int, size: int) -> Footprint:
    """The words of memory that `size` bytes at `address` touch."""
    first, end = int(address) & -WORD, int(address) + size
    return (first,) if end - first <= WORD else (range(first, end, WORD),)


def meet(first: Footprint, second: Footprint) -> bool:
    """Whether two footprints have something in common."""
    return any(_same(one, other) for one in first for other in second)


def _same(one: Hashable, other: Hashable) -> bool:
    if isinstance(one, range):
        if isinstance(other, range):
            return one.start < other.stop and other.start < one.stop
        return other in one
    return one in other if isinstance(other, range) else one == other


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
