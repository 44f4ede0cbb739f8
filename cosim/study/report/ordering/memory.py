"""What the words and pages of memory are called: by the objects in them, and by what is mapped to them."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import NamedTuple

from cosim.events import MapBegun, ObjectAllocated, PageAllocated
from cosim.sim.footprints import WORD
from cosim.spec.pagetable import PAGE, PAGE_LG2

PURPOSES = {"table": "a page table", "ddt": "the device directory", "queue": "a queue", "ring": "a ring"}
"""What pages are for, in words; what is not here is called by its purpose."""


class Subject(NamedTuple):
    """A page of IOVA space in a domain: what a violation is about."""

    domain: str
    page: int

    @property
    def iova(self) -> int:
        """Its first byte."""
        return self.page << PAGE_LG2


class Memory:
    """Names of words and pages, as they are at this moment of a run."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._objects: dict[int, ObjectAllocated] = {}
        self._pages: dict[int, str] = {}
        self._mapped: list[MapBegun] = []

    def given_out(self, event: ObjectAllocated) -> None:
        """An object has come into being; what was there before is forgotten."""
        if event.address not in self._objects:
            insort(self._starts, event.address)
        self._objects[event.address] = event

    def allocated(self, event: PageAllocated) -> None:
        """Pages have been given out."""
        self.used(event.address, event.size, event.purpose)

    def used(self, address: int, size: int, purpose: str) -> None:
        """The pages of a range are for this, whatever they were asked for as."""
        for page in range(address, address + size, PAGE):
            self._pages[page >> PAGE_LG2] = purpose

    def mapped(self, event: MapBegun) -> None:
        """Memory is mapped in a domain."""
        self._mapped.append(event)

    def word(self, address: int) -> str:
        """A word of memory: ``Bond.list.next``, ``a page table``; by its address if nothing is known of it."""
        at = bisect_right(self._starts, address) - 1
        if at >= 0 and address < (found := self._objects[self._starts[at]]).address + found.size:
            index = (address - found.address) // WORD
            return f"{found.purpose}.{found.fields[index]}" if index < len(found.fields) else found.purpose
        purpose = self._pages.get(address >> PAGE_LG2, "")
        return PURPOSES.get(purpose, purpose) or f"{address:#x}"

    def subject(self, address: int) -> Subject | None:
        """The page that a physical address was mapped to last; None if it was mapped nowhere."""
        for event in reversed(self._mapped):
            if event.address <= address < event.address + event.size:
                return Subject(event.domain, event.iova + address - event.address >> PAGE_LG2)
        return None


def covers(iova: int, size: int, subjects: Iterable[Subject], domain: str | None = None) -> bool:
    """Whether a range of IOVAs has one of the pages in it, of a domain or of any."""
    return any(iova <= one.iova < iova + size for one in subjects if domain is None or one.domain == domain)
