"""Tables below those that device contexts lead to, found in memory, and what tells that one of them is freed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cosim.events import TableFreed
from cosim.spec.pagetable import FIRST_STAGE, PAGE, PAGE_LG2, Pte, Scheme
from cosim.spec.translation import Fsc
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import WORD

V, RWX = Pte.v.mask, Pte.r.mask | Pte.w.mask | Pte.x.mask


@dataclass(slots=True)
class Table:
    """A table whose first entry is for `iova`, below `root` or that itself, and the tables that its entries lead to."""

    address: int
    root: int
    scheme: Scheme
    level: int
    iova: int
    unlinked: int = -1
    """Since when no way leads there from the root; -1 while one does."""
    below: dict[int, int] = field(default_factory=dict)
    """By the places of the entries."""
    stop: Callable[[], None] = lambda: None


class TableWatch:
    """Tells of each table that is freed, and since when nothing led to it (`TableFreed`).

    It follows a table from when the first valid context names its root. Memory is watched and not the driver, so that
    nothing that a policy does escapes; all of it only if the event has a listener. A page that no entry ever led to
    is none.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.wanted = kernel.sim.probe(TableFreed)
        """Whether anybody wants to know."""
        self._tables: dict[int, Table] = {}

    def follow(self, fsc: Fsc) -> None:
        """A valid context has this first stage."""
        scheme, root = FIRST_STAGE[0].get(fsc.mode), fsc.ppn << PAGE_LG2
        if self.wanted and scheme is not None and not scheme.bare:
            self._link(Table(root, root, scheme, scheme.levels - 1, 0))

    def _link(self, table: Table) -> bool:
        """An entry leads to a table, with whatever is below it; false if it is linked, or is no page in use."""
        known, pages = self._tables.get(table.address), self._kernel.pages
        linked = known is not None and known.unlinked < 0
        if linked or not pages.when_freed(table.address, partial(self._is_freed, table)):
            return False
        self._tables[table.address] = table
        if table.level:
            table.stop = pages.memory.watch_page(table.address, partial(self._changed, table))
            for place, _ in pages.memory.entries(table.address, PAGE):
                self._changed(table, place)
        return True

    def _changed(self, table: Table, place: int) -> None:
        """An entry of a linked table has changed."""
        pte = self._kernel.pages.memory.peek(place, WORD)
        to = Pte.ppn.get(pte) << PAGE_LG2 if pte & V and not pte & RWX else 0
        old = table.below.get(place, 0)
        if to == old:
            return
        if old:
            del table.below[place]
            self._unlink(old)
        scheme, level = table.scheme, table.level
        iova = table.iova + (place - table.address) // WORD * (1 << scheme.page_lg2(level))
        if level == scheme.levels - 1 and iova >> scheme.address_bits - 1:
            iova += (1 << 64) - (1 << scheme.address_bits)
        if to and self._link(Table(to, table.root, scheme, level - 1, iova)):
            table.below[place] = to

    def _unlink(self, address: int) -> None:
        """No walk comes to a table any more, nor to one below it."""
        table = self._tables.get(address)
        if table is not None and table.unlinked < 0:
            table.unlinked = self._kernel.sim.now
            table.stop()
            for below in table.below.values():
                self._unlink(below)

    def _is_freed(self, table: Table, who: str) -> None:
        if self._tables.get(table.address) is not table:
            return
        self._forget(table)
        lg2 = 64 if table.address == table.root else table.scheme.page_lg2(table.level + 1)
        now, places = self._kernel.sim.now, (table.root, table.address, table.iova)
        self.wanted(TableFreed(now, who, *places, 1 << lg2, table.unlinked))

    def _forget(self, table: Table) -> None:
        """A table is none any more; with one that is linked goes what it leads to, of which nothing is told."""
        table.stop()
        del self._tables[table.address]
        for address in table.below.values():
            below = self._tables.get(address)
            if below is not None and below.unlinked < 0:
                self._forget(below)
