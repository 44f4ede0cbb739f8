"""struct page, of which every page has one: here a private note of whoever holds the page.

A driver keeps its pages that wait to be freed in lists whose links stand in there. The descriptors are where the kernel
computes them to be (`vmemmap`) if memory is mapped where it is, under translation of three levels; they hold zeroes
until something is stored.
"""

from __future__ import annotations

from cosim.spec.pagetable import PAGE

SIZE = 64
"""Bytes of a descriptor (struct page without debugging)."""
FIRST, END = 0xFFFF_FFEF_0000_0000, 0xFFFF_FFF0_0000_0000
"""Where descriptors are (VMEMMAP_START, VMEMMAP_END): that of page 0 is the first."""


class Descriptors:
    """The descriptors of all pages."""

    def __init__(self) -> None:
        self._words: dict[int, int] = {}

    def load(self, address: int, size: int) -> int:
        """What is there."""
        word = self._words.get(address & -8, 0)
        return word >> 8 * (address & 7) & (1 << 8 * size) - 1

    def store(self, address: int, size: int, value: int) -> None:
        """Put something there."""
        shift, bits = 8 * (address & 7), (1 << 8 * size) - 1
        old = self._words.get(address & -8, 0)
        self._words[address & -8] = old & ~(bits << shift) | (value & bits) << shift

    def at(self, page: int) -> int:
        """Where the descriptor of a page is."""
        return FIRST + page // PAGE * SIZE

    def page(self, address: int) -> int:
        """The page that an address within a descriptor is for."""
        return (address - FIRST) // SIZE * PAGE
