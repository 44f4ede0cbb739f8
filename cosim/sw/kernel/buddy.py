"""The page allocator's free lists: a buddy system for each node, with a stack of recently freed pages in front.

Plain data without time or memory; `cosim.sw.kernel.page_allocator` decides when to ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cosim.spec.pagetable import PAGE

MAX_ORDER = 10
"""The largest block is ``PAGE << MAX_ORDER``, 4 MiB."""


class Region(NamedTuple):
    """Memory to give out: `size` bytes from `base`, both multiples of a page, on NUMA node `node`."""

    base: int
    size: int
    node: int = 0


class Buddies:
    """The free blocks of one node. A block of order n is aligned to its size, and merges with its buddy when free.

    Pages freed one by one are kept in a stack of at most `hot_pages` and handed out again last in, first out, as
    Linux's per-CPU lists do; what falls off its bottom merges.
    """

    def __init__(self, node: int, hot_pages: int) -> None:
        self.node = node
        self.free_bytes = 0
        self._hot_pages = hot_pages
        self._hot: list[int] = []
        self._blocks: list[dict[int, None]] = [{} for _ in range(MAX_ORDER + 1)]

    def add(self, regions: Sequence[Region]) -> None:
        """Take over the memory of `regions`; the lowest addresses are handed out first."""
        for region in sorted(regions, reverse=True):
            end = (region.base + region.size) // PAGE * PAGE
            start = -(-region.base // PAGE) * PAGE
            while end > start:
                order = MAX_ORDER
                while (end & ((PAGE << order) - 1)) or end - (PAGE << order) < start:
                    order -= 1
                end -= PAGE << order
                self._blocks[order][end] = None
                self.free_bytes += PAGE << order

    def take(self, order: int) -> int | None:
        """The address of a free block, or None."""
        if order == 0 and self._hot:
            self.free_bytes -= PAGE
            return self._hot.pop()
        for larger in range(order, MAX_ORDER + 1):
            if self._blocks[larger]:
                return self._split(larger, order)
        self._cool(len(self._hot))
        return self.take(order) if any(self._blocks[order:]) else None

    def give(self, address: int, order: int) -> None:
        """Return a block."""
        self.free_bytes += PAGE << order
        if order == 0:
            self._hot.append(address)
            if len(self._hot) > self._hot_pages:
                self._cool(-(-self._hot_pages // 2) or 1)
        else:
            self._merge(address, order)

    def _split(self, larger: int, order: int) -> int:
        block, _ = self._blocks[larger].popitem()
        while larger > order:
            larger -= 1
            self._blocks[larger][block + (PAGE << larger)] = None
        self.free_bytes -= PAGE << order
        return block

    def _cool(self, count: int) -> None:
        for address in self._hot[:count]:
            self._merge(address, 0)
        del self._hot[:count]

    def _merge(self, address: int, order: int) -> None:
        while order < MAX_ORDER and (buddy := address ^ (PAGE << order)) in self._blocks[order]:
            del self._blocks[order][buddy]
            address &= ~(PAGE << order)
            order += 1
        self._blocks[order][address] = None
