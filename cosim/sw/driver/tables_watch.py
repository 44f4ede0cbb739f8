"""Tables below those that device contexts lead to, found in memory, and what tells that one of them is freed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from cosim.events import TableFreed
from cosim.spec.pagetable import FIRST_STAGE, PAGE, PAGE_LG2, Pte, Scheme
from cosim.spec.translation import Fsc
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import WORD

V, RWX = Pte.v.mask, Pte.r.mask | Pte.w.mask | Pte.x.mask


class Way(NamedTuple):
    """A way from a root down to a table of `level`, whose first entry is for `iova`; `above` are the tables on it."""

    scheme: Scheme
    level: int
    iova: int
    above: tuple[int, ...] = ()

    def below(self, table: int, index: int) -> Way | None:
        """The way on through an entry of `table`, to which this one leads; None from a table of leaves."""
        scheme, level = self.scheme, self.level
        iova = self.iova + (index << scheme.page_lg2(level))
        if not self.above and iova >> scheme.address_bits - 1:
            iova += (1 << 64) - (1 << scheme.address_bits)
        return Way(scheme, level - 1, iova, (*self.above, table)) if level else None


@dataclass(slots=True)
class Table:
    """A table, and the ways that have led to it: since when each does not any more, -1 while it does."""

    address: int
    ways: dict[Way, int] = field(default_factory=dict)
    below: dict[int, int] = field(default_factory=dict)
    """The tables that its entries lead to while there is a way here, by the places of the entries."""
    stop: Callable[[], None] | None = None

    def linked(self) -> list[Way]:
        """The ways that lead here now."""
        return [way for way, unlinked in self.ways.items() if unlinked < 0]


class TableWatch:
    """Tells of each table that is freed, and since when nothing led to it (`TableFreed`).

    It follows a table from when the first valid context names its root. Memory is watched and not the driver, so that
    nothing that a policy does escapes; all of it only if the event has a listener. A page that no entry ever led to
    is none. Of a table to which several ways have led each of them is told, whether at once or one after the other.
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
            self._link(root, Way(scheme, scheme.levels - 1, 0))

    def _link(self, address: int, way: Way) -> None:
        """A way leads to a page, and on to whatever tables are below it; one that is not in use is no table."""
        if address in way.above:
            return
        table, pages = self._tables.get(address), self._kernel.pages
        if table is None:
            table = Table(address)
            if not pages.when_freed(address, partial(self._is_freed, table)):
                return
            self._tables[address] = table
        if table.ways.get(way, 0) < 0:
            return
        table.ways[way] = -1
        if not way.level:
            return
        if table.stop is None:
            table.stop = pages.memory.watch_page(address, partial(self._changed, table))
            for place, _ in pages.memory.entries(address, PAGE):
                self._changed(table, place)
        else:
            for place, below in list(table.below.items()):
                self._link_below(table, way, place, below)

    def _link_below(self, table: Table, way: Way, place: int, address: int) -> None:
        on = way.below(table.address, (place - table.address) // WORD)
        if on is not None:
            self._link(address, on)

    def _changed(self, table: Table, place: int) -> None:
        """An entry of a table to which a way leads has changed."""
        pte = self._kernel.pages.memory.peek(place, WORD)
        to = Pte.ppn.get(pte) << PAGE_LG2 if pte & V and not pte & RWX else 0
        old = table.below.pop(place, 0)
        if to:
            table.below[place] = to
        if to == old:
            return
        for way in table.linked():
            if old:
                self._unlink_below(table, way, place, old)
            if to:
                self._link_below(table, way, place, to)

    def _unlink(self, address: int, way: Way) -> None:
        """No walk comes to a table by a way any more, nor by that to one below it."""
        table = self._tables.get(address)
        if table is None or table.ways.get(way, 0) >= 0:
            return
        table.ways[way] = self._kernel.sim.now
        for place, below in table.below.items():
            self._unlink_below(table, way, place, below)
        if not table.linked():
            self._let_be(table)

    def _unlink_below(self, table: Table, way: Way, place: int, address: int) -> None:
        on = way.below(table.address, (place - table.address) // WORD)
        if on is not None:
            self._unlink(address, on)

    def _let_be(self, table: Table) -> None:
        """A table is not watched any more."""
        if table.stop is not None:
            table.stop()
            table.stop = None
        table.below.clear()

    def _is_freed(self, table: Table, who: str) -> None:
        if self._tables.get(table.address) is not table:
            return
        for way in table.linked():
            self._forget_below(table, way)
        self._let_be(table)
        del self._tables[table.address]
        now = self._kernel.sim.now
        for way, unlinked in table.ways.items():
            root, lg2 = (way.above[0], way.scheme.page_lg2(way.level + 1)) if way.above else (table.address, 64)
            self.wanted(TableFreed(now, who, root, table.address, way.iova, 1 << lg2, unlinked))

    def _forget_below(self, table: Table, way: Way) -> None:
        """A table is freed to which a way leads: of what it leads on to nothing is told, unless by another way."""
        for place, address in table.below.items():
            on, below = way.below(table.address, (place - table.address) // WORD), self._tables.get(address)
            if on is None or below is None or below.ways.pop(on, 0) >= 0:
                continue
            self._forget_below(below, on)
            if not below.linked():
                self._let_be(below)
            if not below.ways:
                del self._tables[address]
