"""Pages and objects: by node, reused last in first out, poisoned when free, and never lost silently."""

from __future__ import annotations

import errno
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import PageAllocated, PageFreed
from cosim.sim.operations import Load, Oops, Store
from cosim.spec.pagetable import PAGE
from cosim.sw.kernel.buddy import MAX_ORDER, Buddies, Region
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import Object, cell
from cosim.sw.kernel.options import KernelOptions
from cosim.units.quantities import MIB
from tests.sw.machine import BASE, Machine


class Small(Object):
    a = cell()
    b = cell()
    c = cell()


# --- The free lists --------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), max_size=60),
    st.integers(1, 200),
    st.integers(0, 8),
)
@settings(derandomize=True, deadline=None, max_examples=12)
def test_blocks_are_aligned_apart_and_complete(steps: list[tuple[int, int]], pages: int, hot: int) -> None:
    """Against a set of free pages: no block overlaps another, and what was given out comes back."""
    base = 3 * PAGE
    buddies = Buddies(0, hot)
    buddies.add([Region(base, pages * PAGE)])
    free = {base + index * PAGE for index in range(pages)}
    used: list[tuple[int, int]] = []
    for order, choice in steps:
        if choice % 3 == 0 and used:
            address, order = used.pop(choice % len(used))
            buddies.give(address, order)
            free |= set(range(address, address + (PAGE << order), PAGE))
        else:
            found = buddies.take(order)
            whole = [start for start in free if not start % (PAGE << order)]
            whole = [start for start in whole if free >= set(range(start, start + (PAGE << order), PAGE))]
            assert (found is not None) == bool(whole)
            if found is not None:
                assert found % (PAGE << order) == 0
                assert found in whole
                free -= set(range(found, found + (PAGE << order), PAGE))
                used.append((found, order))
        assert buddies.free_bytes == len(free) * PAGE


def test_the_page_that_was_freed_last_is_given_out_next() -> None:
    buddies = Buddies(0, hot_pages=4)
    buddies.add([Region(0, MIB)])
    first, second, third = (buddies.take(0) for _ in range(3))
    assert (first, second, third) == (0, PAGE, 2 * PAGE)
    buddies.give(PAGE, 0)
    buddies.give(0, 0)
    assert [buddies.take(0), buddies.take(0)] == [0, PAGE]


@pytest.mark.parametrize("pages", [2, 4])
def test_pages_that_lie_on_the_stack_merge_when_a_block_is_wanted(pages: int) -> None:
    """Also if that makes one block alone, which is larger."""
    buddies = Buddies(0, hot_pages=4)
    buddies.add([Region(0, pages * PAGE)])
    for page in [buddies.take(0) for _ in range(pages)]:
        assert page is not None
        buddies.give(page, 0)
    assert buddies.take(1) == 0


def test_of_the_pages_on_a_full_stack_those_that_were_freed_first_fall_off() -> None:
    buddies = Buddies(0, hot_pages=4)
    buddies.add([Region(0, MIB)])
    pages = [buddies.take(0) for _ in range(8)]
    for page in pages[:5]:
        assert page is not None
        buddies.give(page, 0)
    assert buddies.take(1) == pages[0], "the two that fell off have merged"
    assert [buddies.take(0) for _ in range(3)] == [*reversed(pages[2:5])]


def test_the_stack_holds_as_many_pages_as_it_may() -> None:
    buddies = Buddies(0, hot_pages=4)
    buddies.add([Region(0, MIB)])
    pages = [buddies.take(0) for _ in range(4)]
    for page in pages:
        assert page is not None
        buddies.give(page, 0)
    assert [buddies.take(0) for _ in range(4)] == pages[::-1]


def test_what_falls_off_the_stack_merges_again() -> None:
    buddies = Buddies(0, hot_pages=0)
    buddies.add([Region(0, PAGE << MAX_ORDER)])
    pages = [buddies.take(0) for _ in range(1 << MAX_ORDER)]
    assert buddies.take(0) is None
    for page in pages:
        assert page is not None
        buddies.give(page, 0)
    assert buddies.take(MAX_ORDER) == 0


# --- Pages -----------------------------------------------------------------------------------------------------------


def test_a_page_is_zeroed_unless_asked_not_to_be() -> None:
    machine = Machine()
    pages = machine.kernel.pages

    async def body() -> list[int]:
        found: list[int] = []
        dirty = await pages.alloc(purpose="buffer")
        await Store(dirty + 8, 7)
        await pages.free(dirty)
        same = await pages.alloc(zero=False, purpose="buffer")
        assert same == dirty
        found.append(await Load(same + 8))
        await pages.free(same)
        zeroed = await pages.alloc(purpose="table")
        found.append(await Load(zeroed + 8))
        block = await pages.alloc(1, purpose="ring")
        await Store(block + PAGE + 8, 7)
        await pages.free(block)
        assert await pages.alloc(1, purpose="ring") == block
        return [*found, await Load(block + PAGE + 8)]

    assert machine.run(body()) == [7, 0, 0]


def test_zeroing_a_page_is_one_operation() -> None:
    machine = Machine()
    machine.run(machine.kernel.pages.alloc(2, purpose="ring"))
    assert machine.operations["StoreBlock"] == 1


def test_each_page_is_told_of_with_its_size_node_and_purpose() -> None:
    machine = Machine(nodes=2, cpu_nodes={"cpu0": 1})
    events: list[object] = []
    machine.sim.probe(PageAllocated).watch(lambda e: events.append((e.size, e.node, e.purpose, e.who)))
    machine.sim.probe(PageFreed).watch(lambda e: events.append((e.size, e.purpose, e.who)))

    async def body() -> None:
        for node in (0, None):  # that of the CPU
            await machine.kernel.pages.free(await machine.kernel.pages.alloc(1, node=node, purpose="ring"))

    machine.run(body())
    freed = (2 * PAGE, "ring", "cpu0.main")
    assert events == [(2 * PAGE, 0, "ring", "cpu0.main"), freed, (2 * PAGE, 1, "ring", "cpu0.main"), freed]


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 0, 2, 3]])
def test_a_full_node_falls_back_to_the_nearest_and_a_full_machine_is_out_of_memory(order: list[int]) -> None:
    """To the lower one of two."""
    machine = Machine(size=MIB, nodes=4)

    async def body() -> list[int]:
        pages = machine.kernel.pages
        found = []
        with suppress(KernelError):
            while True:
                found.append(await pages.alloc(node=order[0], purpose="buffer"))
        with pytest.raises(KernelError) as failure:
            await pages.alloc(purpose="table")
        assert failure.value.code == errno.ENOMEM
        return found

    found = machine.run(body())
    nodes = [(address - BASE) // (MIB // 4) for address in found]
    assert nodes == sorted(nodes, key=order.index)
    assert machine.log == [f"warning: page allocation failure: order 0, for {what}" for what in ("buffer", "table")]
    assert sum(machine.kernel.pages.free_bytes(node) for node in range(4)) == 0


def test_a_block_that_is_too_large_fails_and_leaves_the_rest() -> None:
    machine = Machine()

    async def body() -> None:
        with pytest.raises(KernelError, match="no block of 2048 pages for ring"):
            await machine.kernel.pages.alloc(11, purpose="ring")
        await machine.kernel.pages.alloc(10, zero=False, purpose="ring")

    machine.run(body())


def test_touching_a_freed_page_names_who_freed_it_and_what_it_was() -> None:
    machine = Machine()

    async def body() -> None:
        page = await machine.kernel.pages.alloc(purpose="table")
        await Load(page)
        await machine.kernel.pages.free(page)
        await Store(page + 16, 1)
        assert await machine.kernel.pages.alloc(purpose="table") == page
        await Load(page)
        block = await machine.kernel.pages.alloc(1, purpose="ring")
        await machine.kernel.pages.free(block)
        await Load(block + PAGE)

    machine.run(body())
    touch, beyond = machine.touched
    assert (beyond.who, beyond.write, beyond.what) == ("cpu0.main", False, "ring page"), "so is each page of a block"
    assert (touch.who, touch.write, touch.freed_by, touch.what) == ("cpu0.main", True, "cpu0.main", "table page")


def test_freeing_twice_or_freeing_what_is_not_a_page_is_an_oops() -> None:
    machine = Machine()

    async def body() -> None:
        page = await machine.kernel.pages.alloc(purpose="table")
        await machine.kernel.pages.free(page)
        with pytest.raises(Oops, match="which is not in use") as caught:
            await machine.kernel.pages.free(page)
        assert caught.value.more.startswith("; what was there (table) was allocated by cpu0.main at ")
        with pytest.raises(Oops, match="which is not in use"):
            await machine.kernel.pages.kfree(page + 8)
        with pytest.raises(Oops, match="which is no object"):
            await machine.kernel.pages.kfree(0x122)
        await machine.kernel.pages.kfree(0)
        thing = await machine.kernel.pages.kmalloc(PAGE // 2, purpose="thing")
        for page in (thing & -PAGE, thing):
            with pytest.raises(Oops, match="which is not in use"):
                await machine.kernel.pages.free(page)

    machine.run(body())


@pytest.mark.parametrize("size", [Small.SIZE, 2 * PAGE])
def test_what_two_threads_free_at_the_same_time_is_freed_once(size: int) -> None:
    """The other one dies of it."""
    machine = Machine()
    pages = machine.kernel.pages

    def allocate() -> int:
        return int(machine.run(pages.kmalloc(size, purpose="thing")))

    address = allocate()
    for cpu in machine.cpus:
        machine.start(pages.kfree(address), cpu)
    machine.go()
    assert [line.partition(" frees ")[2] for line in machine.log] == [
        f"{address:#x}, which is not in use (freed twice, or never given out)"
    ]
    assert allocate() == address != allocate()


# --- Objects ---------------------------------------------------------------------------------------------------------


def test_the_object_that_was_freed_last_is_given_out_next_zeroed() -> None:
    machine = Machine()

    async def body() -> None:
        pages = machine.kernel.pages
        one, other = await pages.new(Small), await pages.new(Small)
        assert one != other
        await one.b.store(9)
        await pages.delete(one)
        again = await pages.new(Small)
        assert again == one
        assert await again.b.load() == 0

    machine.run(body())
    assert not machine.touched


@given(st.lists(st.tuples(st.integers(1, 9000), st.booleans()), max_size=25))
@settings(derandomize=True, deadline=None, max_examples=12)
def test_objects_of_all_sizes_lie_apart(wanted: list[tuple[int, bool]]) -> None:
    machine = Machine()

    async def body() -> None:
        held: dict[int, int] = {}
        for size, keep in wanted:
            address = await machine.kernel.pages.kmalloc(size, purpose="thing")
            assert address % 8 == 0
            assert all(address + size <= other or other + held[other] <= address for other in held)
            if keep:
                held[address] = size
            else:
                await machine.kernel.pages.kfree(address)
        assert machine.kernel.pages.purposes()["thing"] >= sum(held.values())
        for address in held:
            await machine.kernel.pages.kfree(address)
        assert not machine.kernel.pages.in_use()

    machine.run(body())
    assert not machine.touched


def test_an_object_is_out_of_memory_with_the_pages() -> None:
    machine = Machine(size=MIB // 4)

    async def body() -> None:
        with suppress(KernelError):
            while True:
                await machine.kernel.pages.alloc(purpose="buffer")
        with pytest.raises(KernelError, match="no page for slab"):
            await machine.kernel.pages.new(Small)

    machine.run(body())


def test_what_is_in_use_is_accounted_for_by_purpose_and_quarantine_is_not_a_leak() -> None:
    machine = Machine()
    pages = machine.kernel.pages

    async def body() -> None:
        await pages.new(Small)
        kept = await pages.alloc(purpose="table")
        await pages.alloc(1, purpose="ring")
        pages.quarantine(kept, "its fence did not complete")
        with pytest.raises(Oops, match="which is not in use"):
            pages.quarantine(kept, "again")

    machine.run(body())
    assert pages.purposes() == {"Small": 32, "ring": 2 * PAGE}
    ((allocation, why),) = pages.quarantined
    assert (allocation.purpose, allocation.by, why) == ("table", "cpu0.main", "its fence did not complete")


def test_what_is_in_quarantine_may_be_freed_by_its_owner_and_goes_to_nobody() -> None:
    """The first object of a page of objects is at the same address as that page."""
    machine = Machine()
    pages = machine.kernel.pages

    async def body() -> None:
        thing = await pages.new(Small)
        page = await pages.alloc(purpose="buffer")
        pages.quarantine(thing.address, "reached")
        pages.quarantine_range(page + 100, 8, "reached")
        await pages.delete(thing)
        await pages.free(page)
        assert (await pages.new(Small)).address != thing.address
        assert await pages.alloc(purpose="buffer") != page

    machine.run(body())
    assert [known.purpose for known, _ in pages.quarantined] == ["Small", "buffer"]


@pytest.mark.parametrize(
    ("before", "behind", "kept"), [(0, 0, [1]), (1, 0, [0, 1]), (0, 1, [1, 2]), (-8, -8, [1]), (1, 1, [0, 1, 2])]
)
def test_a_range_in_quarantine_takes_along_what_has_bytes_in_it(before: int, behind: int, kept: list[int]) -> None:
    """Of three pages in a row, for a range that begins and ends so far outside of the second one."""
    machine = Machine()
    pages = machine.kernel.pages

    async def body() -> list[int]:
        return sorted([await pages.alloc(purpose="buffer") for _ in range(3)])

    row = machine.run(body())
    assert row == [*range(row[0], row[0] + 3 * PAGE, PAGE)]
    pages.quarantine_range(row[1] - before, before + PAGE + behind, "reached")
    assert [known.address for known, _ in pages.quarantined] == [row[place] for place in kept]


def test_allocating_takes_the_time_that_the_options_say() -> None:
    def duration(**costs: str) -> int:
        machine = Machine(options=KernelOptions(**costs))  # type: ignore[arg-type]
        machine.run(machine.kernel.pages.alloc(zero=False, purpose="buffer"))
        return machine.sim.now

    assert duration(page_cost="400 ns") - duration(page_cost="100 ns") == 300_000


def test_stores_before_a_free_have_taken_hold_when_the_page_is_poisoned() -> None:
    """A store still in the buffer would otherwise be taken for one to freed memory."""
    machine = Machine(model="rvwmo")

    async def body() -> None:
        page = await machine.kernel.pages.alloc(purpose="table")
        for offset in range(0, 64, 8):
            await Store(page + offset, 1)
        await machine.kernel.pages.free(page)

    machine.run(body())
    machine.go()
    assert not machine.touched
