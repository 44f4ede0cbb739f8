"""Leaves of page tables in memory, and what tells that they are cleared."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cosim.events import LeafCleared
from cosim.spec.pagetable import FIRST_STAGE, NAPOT_LG2, PAGE_LG2, Pte
from cosim.spec.translation import Fsc
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import LOWEST_VALID, WORD, Cell

V, RWX, N = Pte.v.mask, Pte.r.mask | Pte.w.mask | Pte.x.mask, Pte.n.mask

Way = tuple[int, ...]
"""The places of the entries that lead to a leaf, its own the last."""


class LeafWatch:
    """Tells of each leaf that a driver has cleared, once memory says so; only if the event has a listener.

    A driver tells what it clears (`cleared`). For one that may forget to, the leaves are found in memory (`unmapping`).
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._cleared = kernel.sim.probe(LeafCleared)

    def cleared(self, domain: str, iova: int, size: int, *way: Cell) -> Callable[[], None]:
        """A thread has stored to the entry that nothing is mapped there, or is about to; that may wait in its buffer.

        `way` leads to it, through those that may be cleared with all below them. What comes back is called if it is not
        cleared after all.
        """
        memory, addresses = self._kernel.pages.memory, [int(entry.address) for entry in way]
        stop: list[Callable[[], None]] = []

        def over() -> None:
            for each in stop:
                each()
            stop.clear()

        def tell() -> None:
            if all(memory.peek(address, WORD) & Pte.v.mask for address in addresses):
                return
            over()
            self._cleared(LeafCleared(self._kernel.sim.now, domain, domain, iova, size))

        if not self._cleared:
            return over
        if all(memory.peek(address, WORD) & Pte.v.mask for address in addresses):
            stop += [memory.watch(address, tell) for address in addresses]
        else:
            tell()
        return over

    def unmapping(self, domain: str, fsc: Fsc, iova: int, size: int) -> Callable[[int], None]:
        """A thread is about to clear the leaves of a range, and may not tell of them.

        What comes back is called with how many bytes it has cleared: of those beyond nothing is told.
        """
        if not self._cleared:
            return lambda done: None
        watched = [
            (start, self._when_cleared(domain, start, span, way)) for start, span, way in self._ways(fsc, iova, size)
        ]

        def ended(done: int) -> None:
            for start, over in watched:
                if start >= iova + done:
                    over()

        return ended

    def _when_cleared(self, domain: str, start: int, span: int, way: Way) -> Callable[[], None]:
        """Tell once a leaf has gone from memory, where the store that makes it may still have to come."""
        memory = self._kernel.pages.memory
        stop: list[Callable[[], None]] = []
        leaf = (start, span)
        there = False

        def over() -> None:
            for each in stop:
                each()
            stop.clear()

        def look() -> None:
            nonlocal leaf, there
            values = [memory.peek(place, WORD) for place in way]
            if all(value & V for value in values):
                size = 1 << NAPOT_LG2 if values[-1] & N else span
                leaf, there = (start & -size, size), True
            elif there:
                over()
                self._cleared(LeafCleared(self._kernel.sim.now, domain, domain, *leaf))

        look()
        stop += [memory.watch(place, look) for place in way]
        return over

    def _ways(self, fsc: Fsc, iova: int, size: int) -> Iterator[tuple[int, int, Way]]:
        """The entries of a range that are leaves, or may become leaves of the smallest pages: IOVA, span, way."""
        scheme, end = FIRST_STAGE[0].get(int(fsc.mode)), iova + size
        while scheme is not None and not scheme.bare and iova < end:
            table, level = fsc.ppn << PAGE_LG2, scheme.levels - 1
            way: Way = (table + WORD * scheme.vpn(level, iova),)
            value = self._peek(way[-1])
            while level and value & V and not value & RWX:
                table, level = Pte.ppn.get(value) << PAGE_LG2, level - 1
                way = (*way, table + WORD * scheme.vpn(level, iova))
                value = self._peek(way[-1])
            span = 1 << scheme.page_lg2(level)
            if value & RWX or not level:
                yield iova & -span, span, way
            iova = (iova & -span) + span

    def _peek(self, place: int) -> int:
        """A word of what is said to be a table; 0 where there is no memory."""
        try:
            return self._kernel.pages.memory.peek(place, WORD) if place >= LOWEST_VALID else 0
        except LookupError:
            return 0
