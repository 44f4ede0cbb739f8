"""Tables of a page table, found in memory whoever put them there, and what is told when one of them is freed."""

from __future__ import annotations

import pytest

from cosim.events import TableFreed
from cosim.sim.operations import Store
from cosim.spec.pagetable import PAGE_LG2, Pte
from cosim.spec.translation import Fsc, IosatpMode, Tc
from cosim.sw.driver.device_context import DeviceContext, DeviceContextWatch
from cosim.sw.driver.tables_watch import TableWatch
from cosim.units.quantities import GIB, MIB
from tests.sw.driver.machine import Machine

PAGE = 1 << PAGE_LG2
LEAF = Pte.of(v=1, r=1, ppn=0x81000)


class Tables:
    """Pages for tables, the first of which is a root that is followed, and what is told of them."""

    def __init__(self, pages: int, *, follow: bool = True) -> None:
        self.machine = Machine()
        self.told: list[TableFreed] = []
        self.machine.sim.probe(TableFreed).watch(self.told.append)
        self.watch = TableWatch(self.machine.kernel)
        self.pages = [self.machine.run(self.machine.kernel.pages.alloc(purpose="table")) for _ in range(pages)]
        if follow:
            self.follow()

    def follow(self) -> None:
        self.watch.follow(Fsc.of(mode=IosatpMode.SV39, ppn=self.pages[0] >> PAGE_LG2))

    def put(self, table: int, index: int, below: int | None) -> int:
        """An entry leads to a page, or to nothing; when that took hold."""
        value = Pte.of() if below is None else Pte.of(v=1, ppn=self.pages[below] >> PAGE_LG2)
        return self.store(table, index, value)

    def store(self, table: int, index: int, value: int) -> int:
        taken: list[int] = []
        place = self.pages[table] + 8 * index
        stop = self.machine.memory.watch(place, lambda: taken.append(self.machine.sim.now))

        async def body() -> None:
            await Store(place, value)

        self.machine.run(body())
        stop()
        return taken[0]

    def free(self, page: int) -> None:
        self.machine.run(self.machine.kernel.pages.free(self.pages[page]))

    def seen(self) -> list[tuple[int, int, int, int]]:
        """The number of each page that was told of, its IOVA, its size, and when it was unlinked."""
        assert {event.root for event in self.told} <= {self.pages[0]}
        return [(self.pages.index(each.address), each.iova, each.size, each.unlinked) for each in self.told]


@pytest.mark.parametrize(
    ("index", "iova"), [(3, 3 * GIB), (255, 255 * GIB), (256, (1 << 64) - 256 * GIB), (511, (1 << 64) - GIB)]
)
def test_a_table_is_told_of_with_its_iovas_and_since_when_nothing_leads_there(index: int, iova: int) -> None:
    tables = Tables(3)
    tables.put(0, index, 1)
    tables.put(1, 5, 2)
    below = tables.put(1, 5, None)
    above = tables.put(0, index, None)
    tables.free(1)
    tables.free(2)
    assert tables.seen() == [(1, iova, GIB, above), (2, iova + 5 * 2 * MIB, 2 * MIB, below)]


@pytest.mark.parametrize("value", [Pte.of(), LEAF], ids=["empty", "a page"])
def test_what_is_below_a_table_that_is_unlinked_is_unlinked_with_it(value: Pte) -> None:
    tables = Tables(3)
    tables.put(1, 5, 2)
    tables.put(0, 3, 1)
    unlinked = tables.store(0, 3, value)
    tables.put(1, 5, None)
    tables.free(2)
    tables.free(1)
    assert [(page, since) for page, _, _, since in tables.seen()] == [(2, unlinked), (1, unlinked)]


def test_a_page_that_nothing_ever_led_to_is_no_table() -> None:
    tables = Tables(2)
    tables.store(0, 3, LEAF.replace(ppn=tables.pages[1] >> PAGE_LG2))
    tables.free(1)
    assert tables.seen() == []


def test_each_way_to_a_table_is_told_of_with_its_own_end() -> None:
    """One after the other, and again in the first place."""
    tables = Tables(2)
    tables.put(0, 3, 1)
    tables.put(0, 3, None)
    tables.put(0, 4, 1)
    second = tables.put(0, 4, None)
    tables.put(0, 3, 1)
    first = tables.put(0, 3, None)
    tables.free(1)
    assert tables.seen() == [(1, 3 * GIB, GIB, first), (1, 4 * GIB, GIB, second)]


@pytest.mark.parametrize("ended", [0, 1], ids=["the first", "the second"])
def test_a_table_to_which_two_entries_lead_is_linked_while_one_of_them_does(ended: int) -> None:
    """With what is put into it, and into what is below it, meanwhile."""
    tables = Tables(4)
    tables.put(0, 3, 1)
    tables.put(1, 5, 2)
    tables.put(0, 4, 1)
    unlinked = tables.put(0, 3 + ended, None)
    tables.put(1, 6, 3)
    tables.free(3)
    gone, left = (3 + ended) * GIB, (4 - ended) * GIB
    assert tables.seen() == [(3, left + 12 * MIB, 2 * MIB, -1)]
    tables.told.clear()
    tables.free(2)
    ways = [(2, gone + 10 * MIB, 2 * MIB, unlinked), (2, left + 10 * MIB, 2 * MIB, -1)]
    assert tables.seen() == sorted(ways)
    tables.told.clear()
    tables.free(1)
    assert tables.seen() == sorted([(1, gone, GIB, unlinked), (1, left, GIB, -1)])


def test_of_a_table_that_is_freed_with_one_way_left_the_other_one_is_told_below() -> None:
    tables = Tables(3)
    tables.put(0, 3, 1)
    tables.put(0, 4, 1)
    tables.put(1, 5, 2)
    unlinked = tables.put(0, 3, None)
    tables.free(1)
    tables.told.clear()
    tables.free(2)
    assert tables.seen() == [(2, 3 * GIB + 10 * MIB, 2 * MIB, unlinked)]


@pytest.mark.parametrize("still", [False, True], ids=["unlinked", "still linked"])
def test_a_table_that_is_linked_elsewhere_is_known_when_its_old_parent_is_freed(still: bool) -> None:
    tables = Tables(4)
    tables.put(0, 3, 1)
    tables.put(1, 5, 2)
    moved = -1 if still else tables.put(0, 3, None)
    tables.put(0, 4, 3)
    tables.put(3, 7, 2)
    tables.free(1)
    tables.told.clear()
    unlinked = tables.put(3, 7, None)
    tables.free(2)
    new = (2, 4 * GIB + 14 * MIB, 2 * MIB, unlinked)
    assert tables.seen() == ([new] if still else [(2, 3 * GIB + 10 * MIB, 2 * MIB, moved), new])


def test_a_table_of_two_roots_is_told_of_for_each() -> None:
    tables = Tables(3)
    tables.watch.follow(Fsc.of(mode=IosatpMode.SV39, ppn=tables.pages[1] >> PAGE_LG2))
    tables.put(0, 3, 2)
    tables.put(1, 3, 2)
    unlinked = tables.put(0, 3, None)
    tables.free(2)
    told = [(each.root, each.iova, each.unlinked) for each in tables.told]
    assert told == [(tables.pages[0], 3 * GIB, unlinked), (tables.pages[1], 3 * GIB, -1)]


def test_a_table_in_the_place_of_another_one_unlinks_that() -> None:
    tables = Tables(3)
    tables.put(0, 3, 1)
    unlinked = tables.put(0, 3, 2)
    tables.free(1)
    tables.free(2)
    assert tables.seen() == [(1, 3 * GIB, GIB, unlinked), (2, 3 * GIB, GIB, -1)]


def test_of_a_table_that_is_freed_while_it_is_linked_nothing_below_is_told() -> None:
    tables = Tables(3)
    tables.put(0, 3, 1)
    tables.put(1, 5, 2)
    tables.free(0)
    tables.free(1)
    tables.free(2)
    assert tables.seen() == [(0, 0, 1 << 64, -1)]


def test_tables_that_are_there_when_a_context_comes_to_name_the_root_are_found() -> None:
    tables = Tables(3, follow=False)
    tables.put(1, 5, 2)
    tables.put(0, 3, 1)
    tables.follow()
    tables.follow()
    tables.free(2)
    assert tables.seen() == [(2, 3 * GIB + 10 * MIB, 2 * MIB, -1)]


def test_a_page_that_was_a_table_is_none_when_it_is_given_out_again() -> None:
    tables = Tables(2)
    tables.put(0, 3, 1)
    tables.put(0, 3, None)
    tables.free(1)
    again = tables.machine.run(tables.machine.kernel.pages.alloc(purpose="buffer"))
    assert again == tables.pages[1]
    tables.free(1)
    assert len(tables.seen()) == 1


def test_what_is_no_table_is_not_followed() -> None:
    """A root where there is no memory, an entry that leads to the root, no translation."""
    tables = Tables(1)
    for mode, ppn in ((IosatpMode.SV39, 1 << 40), (IosatpMode.BARE, 0), (15, 0)):
        tables.watch.follow(Fsc.of(mode=mode, ppn=ppn))
    tables.put(0, 3, 0)
    tables.put(0, 3, None)
    tables.free(0)
    assert tables.seen() == [(0, 0, 1 << 64, -1)]


@pytest.mark.parametrize("valid", [False, True])
def test_the_tables_of_a_context_are_followed_from_when_it_is_valid(valid: bool) -> None:
    """The one that it has then, and the one that it is switched to; the one that it had before is none of them."""
    tables = Tables(3, follow=False)
    watch, context = DeviceContextWatch(tables.machine.kernel), DeviceContext(tables.machine.kernel.static(64))
    watch.found("iommu0", 1, context)

    async def body() -> None:
        for number, page in enumerate(tables.pages):
            await context.fsc.store(Fsc.of(mode=IosatpMode.SV39, ppn=page >> PAGE_LG2))
            if number == 1:
                await context.tc.store(Tc.of(v=int(valid)))

    tables.machine.run(body())
    for page in range(3):
        tables.free(page)
    assert [(each.root, each.address) for each in tables.told] == [(page, page) for page in tables.pages[1:] * valid]


def test_nothing_is_followed_for_nobody() -> None:
    machine = Machine()
    watch = TableWatch(machine.kernel)
    root = machine.run(machine.kernel.pages.alloc(purpose="table"))
    watch.follow(Fsc.of(mode=IosatpMode.SV39, ppn=root >> PAGE_LG2))
    assert not machine.memory._watching.pages
