"""IOVAs: from the top down, in magazines for each CPU, and back at once on the CPU that freed them."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.sim.operations import OnInterrupt, Sleep
from cosim.sw.iova import IovaAllocator, IovaOptions, Ranges
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import MS, US, S
from tests.sw.machine import STEP, Machine

PAGE = 4096
TOP_32 = 0xFFFF_F000


def allocator(machine: Machine, last: int = (1 << 38) - 1, **options: object) -> IovaAllocator:
    return IovaAllocator(machine.kernel, last, IovaOptions.model_validate(options))


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 40)), max_size=50), st.integers(8, 63))
@settings(derandomize=True, deadline=None, max_examples=25)
def test_the_highest_aligned_place_that_is_free_is_taken(steps: list[tuple[int, int]], last: int) -> None:
    """Against a search of every frame."""
    ranges = Ranges(lowest=1)
    used: dict[int, int] = {}
    for count, choice in steps:
        if choice % 2 and used:
            start = sorted(used)[choice % len(used)]
            assert ranges.give(start, used.pop(start))
            continue
        taken = {frame for start, size in used.items() for frame in range(start, start + size)}
        align = 1 << (count - 1).bit_length()
        places = [
            start
            for start in range(1, last - count + 2)
            if start % align == 0 and not taken & set(range(start, start + count))
        ]
        found = ranges.take(count, last)
        assert found == max(places, default=None)
        if found is not None:
            used[found] = count
    assert len(ranges) == len(used)


def test_a_range_is_returned_only_as_it_was_taken() -> None:
    ranges = Ranges(lowest=1)
    start = ranges.take(4, 100)
    assert start is not None
    assert not ranges.give(start, 3)
    assert not ranges.give(start + 1, 4)
    assert ranges.give(start, 4)
    assert not ranges.give(start, 4)


def test_addresses_below_4_gib_come_first_and_then_the_whole_aperture() -> None:
    machine = Machine()
    iovas = allocator(machine, last=(1 << 33) - 1, classes=0)

    async def body() -> list[int]:
        below = [await iovas.alloc(1 << 31), await iovas.alloc(1 << 30)]
        above = [await iovas.alloc(1 << 31)]
        return below + above

    assert machine.run(body()) == [0x8000_0000, 0x4000_0000, 0x1_8000_0000]
    machine = Machine()
    high = allocator(machine, last=(1 << 33) - 1, prefer_32bit=False)
    assert machine.run(high.alloc(PAGE)) == (1 << 33) - PAGE


def test_what_is_cached_above_the_limit_is_left_there_while_there_is_something_below() -> None:
    machine = Machine()
    iovas = allocator(machine, last=(1 << 33) - 1)

    async def body() -> None:
        await iovas.free(0x1_0000_0000, PAGE)
        first, second = await iovas.alloc(PAGE), await iovas.alloc(PAGE)
        assert (first, second) == (TOP_32, TOP_32 - PAGE)
        for iova in (first, second, 0x1_0000_1000):
            await iovas.free(iova, PAGE)
        assert [await iovas.alloc(PAGE) for _ in range(3)] == [second, first, TOP_32 - 2 * PAGE]

    machine.run(body())


def test_what_was_freed_last_is_what_its_cpu_gets_next() -> None:
    machine = Machine()
    iovas = allocator(machine)

    async def body() -> None:
        first, second = await iovas.alloc(PAGE), await iovas.alloc(PAGE)
        assert (first, second) == (TOP_32, TOP_32 - PAGE)
        await iovas.free(first, PAGE)
        assert await iovas.alloc(PAGE) == first
        await iovas.free(second, PAGE)
        await iovas.free(first, PAGE)
        assert [await iovas.alloc(PAGE), await iovas.alloc(PAGE)] == [first, second]

    machine.run(body())


def test_a_magazine_and_a_search_cost_what_the_options_say() -> None:
    """Each time that they are used: as (searches, magazines)."""
    machine = Machine()
    iovas = allocator(machine, cache_cost="1 us", search_cost="1 ms")
    costs: list[tuple[int, int]] = []

    async def measured(call: Any) -> Any:
        began = machine.sim.now
        result = await call
        took = machine.sim.now - began
        costs.append((took // MS, took % MS // US))
        return result

    async def body() -> None:
        for size in (PAGE, PAGE, 64 * PAGE):
            await measured(iovas.free(await measured(iovas.alloc(size)), size))

    machine.run(body())
    assert costs == [(1, 1), (0, 1), (0, 1), (0, 1), (1, 0), (1, 0)]


def test_another_cpu_gets_another_one() -> None:
    machine = Machine()
    iovas = allocator(machine)
    got: list[int] = []

    async def free() -> None:
        await iovas.free(await iovas.alloc(PAGE), PAGE)

    async def take() -> None:
        await Sleep(10_000_000)
        got.append(await iovas.alloc(PAGE))

    machine.start(free(), cpu="cpu0")
    machine.start(take(), cpu="cpu1")
    machine.go()
    assert got == [TOP_32 - PAGE]


def test_sizes_that_are_cached_are_rounded_up_and_larger_ones_are_searched_for() -> None:
    machine = Machine()
    iovas = allocator(machine)

    async def body() -> None:
        three = await iovas.alloc(3 * PAGE)
        assert three == 0x1_0000_0000 - 4 * PAGE
        await iovas.free(three, 3 * PAGE)
        assert await iovas.alloc(4 * PAGE) == three, "of the same class"
        large = await iovas.alloc(33 * PAGE)
        assert large == 0x1_0000_0000 - 64 * PAGE, "the rest of its 64 is in use"
        await iovas.free(large, 33 * PAGE)
        assert await iovas.alloc(33 * PAGE) == large, "the highest place again"

    machine.run(body())


@pytest.mark.parametrize(("count", "gets"), [(12, (7, 6, 5, 4)), (16, (11, 10, 9, 8))])
def test_magazines_fill_two_to_a_cpu_and_then_the_depot_which_serves_other_cpus(
    count: int, gets: tuple[int, ...]
) -> None:
    """By the magazine that came last."""
    machine = Machine()
    iovas = allocator(machine, magazine=4, trim="0 ns")
    got: list[int] = []

    async def fill() -> None:
        taken = [await iovas.alloc(PAGE) for _ in range(count)]
        for iova in taken:
            await iovas.free(iova, PAGE)

    async def take() -> None:
        await Sleep(50_000_000)
        got.extend([await iovas.alloc(PAGE) for _ in range(4)])

    machine.start(fill(), cpu="cpu0")
    machine.start(take(), cpu="cpu1")
    machine.go()
    assert got == [TOP_32 - index * PAGE for index in gets]


@pytest.mark.parametrize("again", [0, 5])
def test_what_fits_into_a_cpus_two_magazines_is_for_no_other(again: int) -> None:
    """Also if some of it was taken again from both of them, and given back."""
    machine = Machine()
    iovas = allocator(machine, magazine=4, trim="0 ns")

    async def fill() -> None:
        for count in (8, again):
            for iova in [await iovas.alloc(PAGE) for _ in range(count)]:
                await iovas.free(iova, PAGE)

    async def take() -> None:
        await Sleep(50_000_000)
        got.append(await iovas.alloc(PAGE))

    got: list[int] = []
    machine.start(fill(), cpu="cpu0")
    machine.start(take(), cpu="cpu1")
    machine.go()
    assert got == [TOP_32 - 8 * PAGE]


def test_when_nothing_is_left_what_cpus_have_cached_is_given_up() -> None:
    machine = Machine()
    iovas = allocator(machine, last=16 * PAGE - 1, magazine=4, trim="0 ns")

    async def body() -> None:
        pages = [await iovas.alloc(PAGE) for _ in range(15)]
        for iova in pages:
            await iovas.free(iova, PAGE)
        assert await iovas.alloc(8 * PAGE) == 8 * PAGE
        with pytest.raises(KernelError) as failure:
            await iovas.alloc(8 * PAGE)
        assert failure.value.code == errno.ENOMEM
        assert await iovas.alloc(4 * PAGE) == 4 * PAGE

    machine.run(body())


def test_what_is_given_up_is_used_also_above_4_gib() -> None:
    """All is in use below; above, there are 16 pages, which were given out one by one."""
    machine = Machine()
    iovas = allocator(machine, last=0x1_0000_FFFF)

    async def body() -> int:
        for lg2 in range(31, 11, -1):
            assert await iovas.alloc(1 << lg2) < 1 << 32
        above = [await iovas.alloc(PAGE) for _ in range(16)]
        assert min(above) == 1 << 32
        for iova in above:
            await iovas.free(iova, PAGE)
        return await iovas.alloc(8 * PAGE)

    assert machine.run(body()) == 0x1_0000_8000


def test_of_two_cpus_that_ask_the_depot_for_its_last_magazine_one_searches() -> None:
    """Both see that it is there, and then wait for its lock."""
    machine = Machine(cpus=3)
    iovas = allocator(machine, magazine=4, trim="0 ns")
    got: list[int] = []

    async def fill() -> None:
        for iova in [await iovas.alloc(PAGE) for _ in range(12)]:
            await iovas.free(iova, PAGE)

    async def take() -> None:
        got.append(await iovas.alloc(PAGE))

    machine.run(fill())
    for cpu in ("cpu1", "cpu2"):
        machine.start(take(), cpu=cpu)
    machine.go()
    assert sorted(got) == [TOP_32 - 12 * PAGE, TOP_32 - 7 * PAGE]


@pytest.mark.parametrize("size", [PAGE, 2 * PAGE])
def test_a_depot_with_more_magazines_than_cpus_gives_one_back_every_100_ms(size: int) -> None:
    """Whatever the depots of smaller sizes have."""
    machine = Machine(cpus=1)
    iovas = allocator(machine, magazine=4)
    searches: list[int] = []

    async def body() -> None:
        taken = [await iovas.alloc(size) for _ in range(24)]
        for iova in taken:
            await iovas.free(iova, size)
        await Sleep(500 * MS)
        # Three magazines have gone back, the highest places with the first of them.
        taken = [await iovas.alloc(size) for _ in range(24)]
        searches.extend(taken)

    machine.start(body())
    machine.go(until=1 * S)
    assert len(set(searches)) == 24
    assert searches[12:] == [TOP_32 + PAGE - (index + 1) * size for index in range(8, 20)]
    assert not machine.log
    before = machine.operations.total()
    machine.go(until=2 * S)
    assert machine.operations.total() == before, "nothing is to be given back, and no timer runs"


@pytest.mark.parametrize(
    ("counts", "trim", "kept"),
    [((16,), "100 ms", 16), ((24,), "100 ms", 16), ((24,), "0 ns", 24), ((28, 20), "100 ms", 32)],
)
def test_a_depot_keeps_as_many_magazines_as_there_are_cpus_and_all_if_it_is_not_trimmed(
    counts: tuple[int, ...], trim: str, kept: int
) -> None:
    """Beside the two that the CPU has; each size by itself."""
    machine = Machine()
    iovas = allocator(machine, magazine=4, trim=trim)

    async def body() -> None:
        for size, count in zip((PAGE, 2 * PAGE), counts, strict=False):
            for iova in [await iovas.alloc(size) for _ in range(count)]:
                await iovas.free(iova, size)

    machine.start(body())
    machine.go(until=2 * S)
    assert len(iovas._ranges) == kept


def test_a_depot_that_fills_on_does_not_put_off_what_it_is_to_give_back() -> None:
    iovas = allocator(machine := Machine(cpus=1), magazine=4)

    async def body() -> None:
        taken = [await iovas.alloc(PAGE) for _ in range(24)]
        for some in (taken[:20], taken[20:]):
            for iova in some:
                await iovas.free(iova, PAGE)
            await Sleep(60 * MS)

    machine.start(body())
    for until, kept in ((90, 24), (130, 20)):
        machine.go(until=until * MS)
        assert len(iovas._ranges) == kept


@pytest.mark.parametrize("cached", [False, True])
def test_an_interrupt_may_take_and_free_iovas_wherever_it_comes(cached: bool) -> None:
    """Magazines, depot and search: what it finds under way on its CPU it does not have to wait for."""
    machine = Machine(cpus=1)
    iovas = allocator(machine, last=256 * PAGE - 1, magazine=1, classes=1, cache_cost="1 ns", search_cost="1 ns")
    served: list[list[int]] = []

    async def use() -> list[int]:
        taken = [await iovas.alloc(PAGE) for _ in range(3)]
        for iova in taken:
            await iovas.free(iova, PAGE)
        await iovas.free(await iovas.alloc(2 * PAGE), 2 * PAGE)
        return taken

    async def handle() -> None:
        served.append(await use())

    async def body() -> None:
        await OnInterrupt(99, machine.kernel.handler(handle))
        for at in range(1, 150, 4):
            if cached:
                await use()
            machine.sim.at(machine.sim.now + at * STEP, 1 << 62, lambda: machine.cpus["cpu0"].message(99))
            taken = await use()
            with pytest.raises(KernelError):
                await iovas.alloc(256 * PAGE)
            await Sleep(1 * US)
            assert len(served.pop()) == len(set(taken)) == 3

    machine.run(body())
    assert not served
    assert not machine.log


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 1), st.integers(0, 50)), max_size=40))
@settings(derandomize=True, deadline=None, max_examples=15)
def test_ranges_in_use_never_overlap(steps: list[tuple[int, int, int]]) -> None:
    machine = Machine()
    iovas = allocator(machine, last=400 * PAGE - 1, magazine=2)
    used: dict[int, int] = {}

    async def body(cpu: int) -> None:
        for pages, where, choice in steps:
            if where != cpu:
                continue
            if choice % 3 == 0 and used:
                start = sorted(used)[choice % len(used)]
                await iovas.free(start, used.pop(start) * PAGE)
                continue
            try:
                start = await iovas.alloc(pages * PAGE)
            except KernelError:
                continue
            assert all(start + pages * PAGE <= other or other + used[other] * PAGE <= start for other in used)
            assert 0 < start <= (400 - pages) * PAGE
            used[start] = pages

    machine.start(body(0), cpu="cpu0")
    machine.start(body(1), cpu="cpu1")
    machine.go()
    assert not machine.log


def test_freeing_what_is_not_in_use_is_warned_of_where_it_can_be_seen() -> None:
    """A magazine takes anything, as in Linux; the search knows better."""
    machine = Machine()
    iovas = allocator(machine)

    async def body() -> None:
        await iovas.free(0x10_0000, 64 * PAGE)
        await iovas.free(0x5000, PAGE)
        assert await iovas.alloc(PAGE) == 0x5000

    machine.run(body())
    assert machine.log == ["warning: iova: 0x100000 was freed but is not in use"]
