"""What a look at a page table finds: leaves of every size, as they will be once all stores have taken hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cosim.events import TableSeen
from cosim.events.domains import SeenLeaf
from cosim.sim.operations import Fence, Store, StoreBlock
from cosim.spec.page import PAGE, PAGE_LG2
from cosim.spec.pagetable import Pte
from cosim.spec.translation import Fsc, IosatpMode
from cosim.sw.iommu_ops import Domain, DomainKind
from cosim.sw.kernel.objects import Object
from cosim.sw.tables_seen import TablesSeen, lets_pass
from tests.sw.fake_driver import FakeDriver
from tests.sw.machine import BASE, Machine

ROOT, MIDDLE, LAST = (BASE + 0x40_0000 + n * PAGE for n in range(3))
FRAME = 0x1_4000_0000
RW = Pte.of(v=1, r=1, w=1, u=1, a=1, d=1)


class OfOneTable(FakeDriver):
    """A driver whose domains have all the same table."""

    def table(self, domain: Domain, word: Callable[[int], int]) -> Fsc | None:
        return Fsc.of(mode=IosatpMode.SV39, ppn=word(BASE + 0x3F_0000) >> PAGE_LG2)


def entry(pte: Pte, address: int, **fields: int) -> int:
    return int(pte.replace(ppn=address >> PAGE_LG2, **fields))


def put(machine: Machine, table: int, index: int, value: int) -> None:
    machine.memory.poke(table + 8 * index, 8, value)


@pytest.fixture
def machine() -> Machine:
    made = Machine(model="rvwmo")
    made.memory.poke(BASE + 0x3F_0000, 8, ROOT)
    put(made, ROOT, 3, entry(Pte.of(v=1), MIDDLE))
    put(made, MIDDLE, 5, entry(Pte.of(v=1), LAST))
    return made


def leads(leaves: list[SeenLeaf]) -> list[SeenLeaf]:
    """The same without the entries themselves."""
    return [leaf._replace(pte=0, level=0, above=0) for leaf in leaves]


def look(machine: Machine, iova: int = 0, size: int = 1 << 64) -> list[SeenLeaf]:
    found: list[TableSeen] = []
    machine.sim.probe(TableSeen).watch(found.append)
    domain = Domain("mine", DomainKind.PAGING, Object(BASE))
    looks = TablesSeen(machine.kernel, OfOneTable(machine.kernel))
    if size == 1 << 64:
        looks.of_all([domain])
    else:
        looks.of_range("t", domain, iova, size)
    (event,) = found
    assert (event.domain, event.iova, event.size) == ("mine", iova, size)
    return list(event.leaves)


AT = 3 << 30 | 5 << 21
"""The IOVA of the first entry of the last table."""


def test_a_leaf_is_found_with_its_frame_and_what_it_permits(machine: Machine) -> None:
    put(machine, LAST, 7, entry(RW, FRAME))
    put(machine, LAST, 8, entry(RW, FRAME, w=0))
    put(machine, LAST, 9, entry(RW, FRAME, u=0))
    put(machine, LAST, 10, entry(RW, FRAME, v=0))
    put(machine, LAST, 11, entry(RW, FRAME, g=1))
    put(machine, LAST, 12, entry(Pte.of(v=1), FRAME))
    put(machine, LAST, 13, entry(RW, FRAME, r=0, w=0, x=1))
    places = [AT + n * PAGE for n in (7, 8, 9, 11, 13)]
    assert leads(look(machine)) == [
        SeenLeaf(places[0], PAGE, FRAME, "rw"),
        SeenLeaf(places[1], PAGE, FRAME, "r"),
        SeenLeaf(places[2], PAGE, FRAME, ""),
        SeenLeaf(places[3], PAGE, FRAME, "rw", True),
        SeenLeaf(places[4], PAGE, FRAME, ""),
    ]
    assert look(machine, AT + 7 * PAGE, 7 * PAGE) == look(machine), "a few pages are walked to one by one"


def test_large_leaves_and_those_of_64_kib_lead_where_their_encoding_says(machine: Machine) -> None:
    put(machine, ROOT, 1, entry(RW, 7 << 30))
    put(machine, MIDDLE, 6, entry(RW, 9 << 21))
    for n in range(16, 32):
        put(machine, LAST, n, entry(RW, FRAME + 8 * PAGE, n=1))
    napot = [SeenLeaf(AT + n * PAGE, PAGE, FRAME + (n - 16) * PAGE, "rw") for n in range(16, 32)]
    large = [SeenLeaf(1 << 30, 1 << 30, 7 << 30, "rw"), SeenLeaf(3 << 30 | 6 << 21, 1 << 21, 9 << 21, "rw")]
    assert leads(look(machine)) == [large[0], *napot, large[1]]


@pytest.mark.parametrize("size", [1 << 64, 1 << 39, PAGE], ids=["all", "a range", "a page"])
def test_the_entry_is_told_and_what_those_above_it_have_beside_addresses(machine: Machine, size: int) -> None:
    put(machine, ROOT, 3, entry(Pte.of(v=1, a=1), MIDDLE))
    put(machine, MIDDLE, 5, entry(Pte.of(v=1, n=1), LAST))
    put(machine, LAST, 7, entry(RW, FRAME, d=0))
    (leaf,) = look(machine, 0 if size > PAGE else AT + 7 * PAGE, size)
    assert (leaf.pte, leaf.level, leaf.above) == (entry(RW, FRAME, d=0), 0, Pte.of(v=1, a=1, n=1))
    put(machine, MIDDLE, 5, entry(RW, 9 << 21))
    (leaf,) = look(machine, 0 if size > PAGE else AT, size)
    assert (leaf.pte, leaf.level, leaf.above) == (entry(RW, 9 << 21), 1, Pte.of(v=1, a=1))


@pytest.mark.parametrize(
    ("first", "pages", "found"),
    [(7, 1, [7]), (0, 7, []), (8, 1, []), (0, 512, [7, 100]), (8, 93, [100]), (8, 92, []), (7, 70, [7])],
)
def test_a_look_at_a_range_finds_what_is_in_it(machine: Machine, first: int, pages: int, found: list[int]) -> None:
    put(machine, LAST, 7, entry(RW, FRAME))
    put(machine, LAST, 100, entry(RW, FRAME))
    leaves = look(machine, AT + first * PAGE, pages * PAGE)
    assert [leaf.iova for leaf in leaves] == [AT + n * PAGE for n in found]


def test_the_upper_half_of_a_table_is_for_sign_extended_addresses(machine: Machine) -> None:
    put(machine, ROOT, 511, entry(RW, 7 << 30))
    (leaf,) = look(machine)
    assert leaf.iova == (1 << 64) - (1 << 30)
    assert look(machine, (1 << 64) - PAGE, PAGE) == [leaf]
    assert not look(machine, (1 << 39) - PAGE, PAGE)


def test_what_is_no_table_ends_the_look(machine: Machine) -> None:
    put(machine, MIDDLE, 6, entry(Pte.of(v=1), MIDDLE))
    put(machine, MIDDLE, 7, entry(Pte.of(v=1), ROOT))
    put(machine, ROOT, 1, entry(RW, 7 << 30))
    put(machine, LAST, 7, entry(RW, FRAME))
    assert [leaf.iova for leaf in look(machine)] == [1 << 30, AT + 7 * PAGE]


def test_stores_that_have_yet_to_take_hold_count(machine: Machine) -> None:
    put(machine, LAST, 7, entry(RW, FRAME))
    seen: list[list[int]] = []

    async def body() -> None:
        await StoreBlock(LAST + 8 * 20, (entry(RW, FRAME), entry(RW, FRAME)))
        await Store(LAST + 8 * 7, 0)
        await Store(LAST + 8 * 9, entry(RW, FRAME))
        held = [machine.memory.peek(LAST + 8 * n, 8) for n in (7, 9, 20, 21)]
        assert held == [entry(RW, FRAME), 0, 0, 0], "they are in the store buffer yet"
        seen.append([leaf.iova for leaf in look(machine)])
        seen.append([leaf.iova for leaf in look(machine, AT, PAGE * 9)])
        await Fence("w", "w")

    machine.run(body())
    assert seen == [[AT + n * PAGE for n in (9, 20, 21)], []]


def test_a_word_that_is_stored_as_0_is_0_whatever_is_in_memory_yet(machine: Machine) -> None:
    kernel = machine.kernel
    assert [kernel.word(ROOT + 24, stored) for stored in ({}, {ROOT + 24: 0})] == [entry(Pte.of(v=1), MIDDLE), 0]


def test_a_table_lets_requests_pass_by_a_leaf_that_permits_something(machine: Machine) -> None:
    fsc = Fsc.of(mode=IosatpMode.SV39, ppn=ROOT >> PAGE_LG2)
    put(machine, LAST, 7, entry(RW, FRAME, u=0))
    assert not lets_pass(machine.kernel, fsc, {})
    assert lets_pass(machine.kernel, fsc, {LAST + 8 * 9: entry(RW, FRAME)})
    assert not lets_pass(machine.kernel, fsc.replace(mode=IosatpMode.BARE), {LAST + 8 * 9: entry(RW, FRAME)})
