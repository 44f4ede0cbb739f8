"""Walks nest: tables whose own addresses other tables translate, driven by the real walker.

A machine writes Sv39 tables at guest addresses, and Sv39x4 tables that lead each page of guest addresses to a page of
memory of its own, by an offset that differs from page to page. So whoever skips a stage, or takes a guest's address
for a real one, ends somewhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cosim import compiled
from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.translate.address_space import AddressSpace
from cosim.hw.iommu.translate.device_context import DeviceContext
from cosim.hw.iommu.translate.miss import Miss, StartAgain
from cosim.hw.iommu.translate.page_table import PageTable
from cosim.hw.iommu.translate.pointers import Pointers
from cosim.hw.iommu.translate.tree import Stage, TableEntry, Tables
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.sim.ranks import Stage as Rank
from cosim.sim.transport import Access, Response
from cosim.spec.pagetable import PAGE, SV39, SV39X4, SV48, Pte, Scheme
from cosim.spec.queues import Iotinval
from cosim.spec.translation import Dc
from tests.hw.iommu.harness import LEAF, System

pytestmark = pytest.mark.skipif(compiled.runs(), reason="a memory's method is replaced, to see the reads")

GUEST_TABLES = 0x4000_0000
GUEST_DATA = 0x1A5_2345_6000
"""Beyond 512 GiB: the root of a second stage is four tables wide."""
IOVA = 0x12_3456_7000
HOST_PAGES = 0x9000_0000
VM = 7


class Guest:
    """A guest's memory behind Sv39x4 tables, with page tables of the guest's own in it."""

    def __init__(self, executor: Any = Agenda, *, nonleaf_entries: int = 0, memory_ps: int = 0, lift: int = 0) -> None:
        self.lift = lift
        """How far the addresses in the second stage are above those in memory."""
        geometry = {"nonleaf_entries": nonleaf_entries, "walkers": 1}
        self.system = system = System(executor=executor, geometry=geometry, memory_ps=memory_ps)
        self.options = IommuOptions.model_validate({"kind": "iommu", "base": 0, "geometry": geometry})
        self.pointers = Pointers(system.sim, "iommu0", self.options)
        self._next = GUEST_TABLES
        self.pages: dict[int, int] = {}
        self.second_root = self.wide_root()
        self.second = self.tree(SV39X4)
        self.second_tables: Tables[Stage] = Tables(self.second, self.second_root, 3, (VM, -2))
        self.done: list[Any] = []

    def wide_root(self) -> int:
        """Memory for the root of a second stage: four pages, aligned to their size."""
        pages = [self.system.page() for _ in range(8)]
        return next(page for page in pages if page % SV39X4.root_size == 0)

    def tree(self, scheme: Scheme) -> PageTable:
        """A scheme's tables, as the walker of this machine sees them."""
        return PageTable(scheme, self.system.capabilities, self.options, self.pointers)

    def back(self, gpa: int) -> int:
        """Where a guest address is in memory; the first use of a page maps it to the next page but one."""
        page = gpa & -PAGE
        if page not in self.pages:
            self.pages[page] = HOST_PAGES + 2 * PAGE * len(self.pages)
            self.system.poke(self.second_way(page)[-1], LEAF.replace(ppn=self.pages[page] + self.lift >> 12))
        return self.pages[page] | gpa & PAGE - 1

    def second_way(self, gpa: int) -> list[int]:
        """Where the entries of a guest address are in the second stage, told by hand: 11, 9 and 9 bits."""
        table, way, system = self.second_root, [], self.system
        for index in (gpa >> 30 & 0x7FF, gpa >> 21 & 0x1FF, gpa >> 12 & 0x1FF):
            way.append(table + 8 * index)
            if not system.peek(way[-1]) and len(way) < 3:
                system.poke(way[-1], Pte.of(v=1, ppn=system.page() + self.lift >> 12))
            table = (Pte(system.peek(way[-1])).ppn << 12) - self.lift
        return way

    def guest_page(self) -> int:
        """A page of guest addresses for a table."""
        self._next += PAGE
        return self._next - PAGE

    def map(self, scheme: Scheme, root: int, iova: int, gpa: int) -> list[int]:
        """Map a page in the guest's tables; returns the guest addresses of the entries on the way, the root's first."""
        self.back(gpa)
        table, way = root, []
        for level in reversed(range(scheme.levels)):
            way.append(table + 8 * (iova >> 12 + 9 * level & 0x1FF))
            at = self.back(way[-1])
            if not level:
                self.system.poke(at, LEAF.replace(ppn=gpa >> 12))
            elif not self.system.peek(at):
                self.system.poke(at, Pte.of(v=1, ppn=self.guest_page() >> 12))
            table = Pte(self.system.peek(at)).ppn << 12
        return way

    def first(self, scheme: Scheme, root: int, tree: PageTable | None = None) -> Tables[PageTable]:
        """The guest's tables, behind those of its second stage."""
        return Tables(tree or self.tree(scheme), root, scheme.levels, (VM, 1), behind=self.second_tables)

    def reads(self) -> list[int]:
        """The addresses that are read in memory from now on, as they are."""
        seen: list[int] = []
        memory, commit = self.system.memory, self.system.memory.commit

        def watched(access: Access) -> None:
            seen.append(access.address)
            commit(access)

        memory.commit = watched  # type: ignore[method-assign]
        return seen

    def walk(self, tables: Tables[PageTable], iova: int) -> None:
        """Walk to a leaf and on to where it leads; the entry and the address are put into `done`."""

        def routine() -> Iterator[Any]:
            walker = self.system.translation.walker
            with walker.begin(Miss(Transaction(1, iova, 8)), tables, iova) as walk:
                entry = yield from walker.walk(walk)
                gpa, address = tables.tree.leads_to(entry, iova), None
                if gpa is not None:
                    address, _ = yield from walker.behind(walk, gpa)
                self.done.append((entry, address, self.system.sim.now))

        rank = self.system.sim.initiator("nic0").rank(Rank.TRANSACTION)
        self.system.sim.start(routine(), rank)

    def translate(self, tables: Tables[PageTable], iova: int) -> tuple[TableEntry, int | None]:
        """Carry one walk out."""
        self.walk(tables, iova)
        self.system.run()
        entry, address, _ = self.done.pop()
        return entry, address


@pytest.mark.parametrize("executor", [Agenda, Plain])
@pytest.mark.parametrize("scheme", [SV39, SV48], ids=lambda scheme: scheme.name)
def test_a_walk_of_two_stages_reads_what_the_hypervisor_extension_says(scheme: Scheme, executor: Any) -> None:
    """Without caches each of the guest's tables, and then its page, costs a walk of the second stage."""
    guest = Guest(executor)
    root = guest.guest_page()
    way = guest.map(scheme, root, IOVA, GUEST_DATA)
    expected = []
    for gpa in way:
        expected += [*guest.second_way(gpa), guest.back(gpa)]
    expected += guest.second_way(GUEST_DATA)
    tables, reads = guest.first(scheme, root), guest.reads()
    entry, address = guest.translate(tables, IOVA | 0x9A8)
    assert address == guest.pages[GUEST_DATA] | 0x9A8
    assert reads == expected
    assert len(reads) == (scheme.levels + 1) * (SV39X4.levels + 1) - 1
    assert (entry.level, entry.address) == (0, guest.back(way[-1]))
    assert (tables.tree.reads, guest.second.reads) == (scheme.levels, SV39X4.levels * (scheme.levels + 1))
    assert (tables.tree.walks, guest.second.walks) == (1, scheme.levels + 1)


@pytest.mark.parametrize("executor", [Agenda, Plain])
def test_a_third_stage_nests_as_the_second_does(executor: Any) -> None:
    """Nothing in the walker counts stages: a third one, here of one level, doubles the reads of the second."""
    guest = Guest(executor, lift=5 << 30)
    root = guest.guest_page()
    guest.map(SV39, root, IOVA, GUEST_DATA)
    third_root, gigabyte = guest.wide_root(), HOST_PAGES >> 30
    guest.system.poke(third_root + 8 * (gigabyte + 5), LEAF.replace(ppn=gigabyte << 18))
    tree = guest.tree(SV39X4)
    third: Tables[Stage] = Tables(tree, third_root, 3, (VM, -3))
    guest.second_tables = Tables(guest.second, guest.second_root + guest.lift, 3, (VM, -2), behind=third)
    reads = guest.reads()
    _, address = guest.translate(guest.first(SV39, root), IOVA)
    assert address == guest.pages[GUEST_DATA]
    assert len(reads) == (3 + 1) * (3 + 1) * (1 + 1) - 1
    assert (guest.second.walks, tree.walks, tree.reads) == (3 + 1, (3 + 1) * (3 + 1), (3 + 1) * (3 + 1))


def test_only_walks_of_the_same_tables_behind_the_same_tables_go_together() -> None:
    """Of one tree, root, depth and tag, all the way through: what one walk reads is then for the other one as well."""
    guest = Guest()
    tree, second = guest.tree(SV39), guest.second_tables
    elsewhere: Tables[Stage] = Tables(guest.second, guest.wide_root(), 3, (VM, -2))

    def key(
        tree: PageTable = tree,
        root: int = 0x8000,
        levels: int = 3,
        tag: tuple[int, int] = (VM, 1),
        behind: Tables[Stage] | None = second,
    ) -> int:
        return Tables(tree, root, levels, tag, behind=behind).key

    tags = [key(tag=tag) for tag in ((VM, 2), (VM + 1, 1), (VM, -1), (-1, 1))]
    others = [key(guest.tree(SV48)), key(root=0x9000), key(levels=2), key(behind=None), key(behind=elsewhere)]
    assert key() == key()
    assert len({key(), *tags, *others}) == 1 + len(tags) + len(others)


def test_pointers_of_both_stages_are_cached_and_spare_the_reads_above_them() -> None:
    guest = Guest(nonleaf_entries=16)
    root = guest.guest_page()
    guest.map(SV39, root, IOVA, GUEST_DATA)
    guest.map(SV39, root, IOVA + PAGE, GUEST_DATA + PAGE)
    tables = guest.first(SV39, root)
    guest.translate(tables, IOVA)
    reads = guest.reads()
    assert guest.translate(tables, IOVA + PAGE)[1] == guest.pages[GUEST_DATA + PAGE]
    assert len(reads) == 2 + 1  # the leaf of the guest's table by its leaf in the second stage, then that of the page


@pytest.mark.parametrize("flags", [0, Pte.of(v=1, r=1, a=1), Pte.of(v=1, x=1, u=1, a=1), Pte.of(v=1, r=1, u=1)])
def test_a_table_that_the_second_stage_does_not_let_be_read_ends_the_walk(flags: int) -> None:
    """Not mapped, not a user's, not readable, or not accessed: the entry says by which entry behind it was blocked."""
    guest = Guest()
    root = guest.guest_page()
    way = guest.map(SV39, root, IOVA, GUEST_DATA)
    leaf = guest.second_way(way[1])[-1]
    guest.system.poke(leaf, Pte(flags).replace(ppn=guest.pages[way[1] & -PAGE] >> 12) if flags else 0)
    entry, address = guest.translate(guest.first(SV39, root), IOVA)
    assert address is None
    assert (entry.level, entry.address, entry.response) == (1, way[1], Response.ACCESS_FAULT)
    assert entry.behind is not None
    assert entry.behind.address == leaf


@pytest.mark.parametrize("executor", [Agenda, Plain])
def test_walks_of_one_page_go_together_and_those_of_others_wait_for_the_walker(executor: Any) -> None:
    """One walker, five walks: nobody is left waiting for an inner walk that waits for him."""
    guest = Guest(executor, memory_ps=5000)
    root = guest.guest_page()
    for page in range(2):
        guest.map(SV39, root, IOVA + page * PAGE, GUEST_DATA + page * PAGE)
    tables = guest.first(SV39, root)
    for page in (0, 0, 1, 0, 1):
        guest.walk(tables, IOVA + page * PAGE)
    guest.system.run()
    assert sorted(address for _, address, _ in guest.done) == sorted(
        guest.pages[GUEST_DATA + page * PAGE] for page in (0, 0, 0, 1, 1)
    )
    assert guest.system.translation.walker.slots.free == 1
    assert tables.tree.reads == 3 + 1  # the second page's walk goes on by itself from the table they have in common


@pytest.mark.parametrize("command", [Iotinval.gvma(gscid=VM), Iotinval.gvma()], ids=["machine", "all"])
@pytest.mark.parametrize(("at_ps", "reads"), [(15_000, (2, 0)), (35_000, (3, 1))])
def test_an_invalidation_of_the_machine_overtakes_a_walk_that_has_only_read_the_second_stage(
    at_ps: int, reads: tuple[int, int], command: Iotinval
) -> None:
    """In the second read of the first inner walk, and in the first read of the guest's own tables; nothing is cached of
    that machine. Of another request nobody knows yet whose it is."""
    guest = Guest(memory_ps=10_000)
    root = guest.guest_page()
    guest.map(SV39, root, IOVA, GUEST_DATA)
    table = guest.tree(SV39)
    space = AddressSpace(table, root, VM, 1, sade=False, behind=guest.second_tables)
    invalidations, walker = guest.system.invalidations, guest.system.translation.walker
    outcome: list[str] = []

    def routine() -> Iterator[Any]:
        miss = Miss(Transaction(1, IOVA, 8))
        miss.lacks_leaf(DeviceContext(1, Dc.of(tc=1), space, SV39X4), space)
        invalidations.begin(miss)
        assert space.tables is not None
        try:
            with walker.begin(miss, space.tables, IOVA) as walk:
                yield from walker.walk(walk)
        except StartAgain:
            outcome.append("starts again")
        invalidations.end(miss)

    guest.system.sim.start(routine(), guest.system.sim.initiator("nic0").rank(Rank.TRANSACTION))
    guest.system.run(at_ps)
    assert table.reads == 0
    invalidations.begin(Miss(Transaction(2, IOVA, 8)))
    invalidations.invalidate_gvma(Iotinval.gvma(gscid=VM + 1))
    assert not invalidations.overtaken
    invalidations.invalidate_gvma(command)
    assert invalidations.overtaken == 1
    guest.system.run()
    assert outcome == ["starts again"]
    assert (guest.second.reads, table.reads) == reads
    assert walker.slots.free == walker.slots.slots


def test_a_walk_that_has_waited_for_a_walker_goes_on_from_what_was_cached_meanwhile() -> None:
    """A walk of two stages has the only walker; one of the second stage alone then reads a leaf and no more."""
    guest = Guest(nonleaf_entries=8, memory_ps=100_000)
    root = guest.guest_page()
    guest.map(SV39, root, IOVA, GUEST_DATA)
    beside = GUEST_DATA + PAGE
    guest.back(beside)
    expected = [guest.second_way(gpa)[-1] for gpa in (GUEST_DATA, beside)]
    seen, walker = guest.reads(), guest.system.translation.walker
    tops: list[int] = []

    def second() -> Iterator[Any]:
        with walker.begin(Miss(Transaction(1, beside, 8)), guest.second_tables, beside) as walk:
            yield from walker.walk(walk)
            tops.append(walk.top)

    tables = guest.first(SV39, root)
    guest.walk(tables, IOVA)
    guest.system.sim.start(second(), guest.system.sim.initiator("nic1").rank(Rank.TRANSACTION))
    guest.system.run()
    assert seen[-2:] == expected
    assert tops == [1], "the pointer to the last table is all that it used of those above"
    looked_up = guest.pointers.levels[1].hits + guest.pointers.levels[1].misses
    assert looked_up == tables.tree.walks + guest.second.walks, "once for each walk, whatever it waits for"
