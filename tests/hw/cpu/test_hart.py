"""A hart by itself, in a time that the test sets: which state a load may return, and what an atomic leaves."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from cosim.hw.cpu.hart import Hart
from cosim.hw.cpu.ordering import MODELS, Rules
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.loaded import Loaded
from cosim.sim.operations import Amo, Atomic, Fence, Load, MmioRead, MmioWrite, Op, Store, StoreBlock
from cosim.sim.simulation import Sim
from cosim.spec.page import PAGE
from cosim.study.conform.litmus.search import StillExecutor

BASE = 0x8000_0000
LONG = 1 << 40


class Bench:
    """A memory that remembers, and a hart, under RVWMO unless told; other harts write memory by `write`."""

    def __init__(self, rules: Rules = MODELS["rvwmo"]) -> None:
        self.sim = Sim(executor=StillExecutor)
        self.memory = Memory(self.sim, "dram0", MemoryOptions(kind="memory", base=BASE, size="1 MiB"))
        self.memory.remember(LONG)
        self.hart = Hart(rules, lambda address, size: self.memory, lambda address: "device")

    def write(self, now: int, address: int, size: int, value: int) -> None:
        self.sim.now = now
        self.memory.write(address, size, value)

    def oldest(self, now: int, load: Load) -> int:
        """The oldest state that the hart may return."""
        self.sim.now = now
        return int(self.hart.execute(load, now, lambda n: n - 1))

    def newest(self, now: int, load: Load) -> Any:
        self.sim.now = now
        return self.hart.execute(load, now, lambda n: 0)


def test_a_load_may_return_what_was_there_before_another_hart_wrote() -> None:
    bench = Bench()
    bench.write(5, BASE, 8, 1)
    assert bench.oldest(9, Load(BASE)) == 0
    assert bench.newest(9, Load(BASE)) == 1
    assert bench.oldest(9, Load(BASE)) == 1, "coherent: no older than what was read"


@pytest.mark.parametrize("model", ["sequential", "tso"])
def test_under_a_stronger_model_a_load_returns_what_is_there_now(model: str) -> None:
    bench = Bench(MODELS[model])
    bench.write(5, BASE, 8, 1)
    assert bench.oldest(9, Load(BASE)) == 1


def test_under_tso_a_load_may_be_older_than_a_register_read_unless_an_atomic_or_a_fence_is_between_them() -> None:
    """Ztso orders what is in main memory."""
    amo, fence = Atomic(Amo.ADD, BASE + 64, 1), Fence("i", "r")
    between: list[tuple[Op[Any] | None, int]] = [(None, 0), (Fence("rw", "rw"), 0), (amo, 1), (fence, 1)]
    for op, oldest in between:
        bench = Bench(MODELS["tso"])
        bench.write(5, BASE, 8, 1)
        bench.sim.now = 9
        for each in (MmioRead(0x1000), op):
            if each is not None:
                bench.hart.execute(each, 9, lambda n: 0)
        assert bench.oldest(9, Load(BASE)) == oldest


def test_under_tso_a_register_read_that_a_fence_has_ordered_lets_no_later_load_be_old() -> None:
    for fence, oldest in ((Fence("r", "r"), 0), (Fence("i", "r"), 2)):
        bench = Bench(MODELS["tso"])
        bench.sim.now = 4
        for op in (MmioRead(0x1000), fence):
            bench.hart.execute(op, 4, lambda n: 0)
        bench.write(5, BASE, 8, 1)
        bench.write(7, BASE, 8, 2)
        assert bench.oldest(9, Load(BASE)) == oldest


def test_a_load_is_no_older_than_what_its_address_or_what_it_comes_after_was_computed_from() -> None:
    bench = Bench()
    bench.write(5, BASE, 8, 1)
    bench.write(6, BASE + 64, 8, 8)
    assert bench.oldest(9, Load(BASE)) == 0
    bench.sim.now = 9
    loaded = bench.hart.execute(Load(BASE + 64), 9, lambda n: 0)
    assert bench.oldest(9, Load(BASE)) == 0, "without a dependency"
    assert bench.oldest(9, Load(BASE, after=loaded + 1)) == 1
    bench.hart.forget(9)
    assert bench.oldest(9, Load(BASE)) == 0
    assert bench.oldest(9, Load(loaded + BASE - 8)) == 1


@pytest.mark.parametrize("model", ["sequential", "rvwmo"])
def test_a_load_is_as_new_as_its_state_and_as_all_that_it_depends_on(model: str) -> None:
    bench = Bench(MODELS[model])
    for now, offset in ((5, 64), (6, 128)):
        bench.write(now, BASE + offset, 8, 8)
    older, newer = (Loaded(8, at) for at in (5, 6))
    for address, after, at in ((older + 56, newer, 6), (newer + 56, older, 6), (older + 120, 0, 6), (older + 56, 0, 5)):
        loaded = bench.newest(9, Load(address + BASE, after=after))
        assert (loaded, loaded.at) == (8, at)


def test_a_load_of_a_store_in_the_buffer_is_as_new_as_its_data_and_both_addresses() -> None:
    for stored, data, loaded in permutations((5, 6, 7)):
        bench = Bench()
        bench.hart.execute(Store(Loaded(BASE, stored), Loaded(1, data)), 9, lambda n: 0)
        found = bench.newest(9, Load(Loaded(BASE, loaded)))
        assert (found, found.at) == (1, 7)


def test_what_a_fence_orders_before_loads_is_the_newest_that_was_read_and_the_last_register_write() -> None:
    """A compare-and-swap that stores nothing has read something older than the load before it."""
    swap = Atomic(Amo.CAS, BASE + 64, 9, expect=3)
    for fence, oldest in ((Fence("r", "r"), 1), (Fence("o", "r"), 2)):
        bench = Bench()
        bench.write(4, BASE + 64, 8, 7)
        for now in (5, 7):
            bench.write(now, BASE, 8, now // 2 - 1)
        bench.write(6, BASE + 128, 8, 1)
        assert bench.newest(8, Load(BASE + 128)).at == 6
        bench.hart.execute(swap, 8, lambda n: 0)
        bench.hart.accepted(bench.hart.execute(MmioWrite(0x1000, 1), 8, lambda n: 0), 8)
        bench.hart.execute(fence, 9, lambda n: 0)
        assert bench.oldest(9, Load(BASE)) == oldest


def test_a_load_of_a_word_is_no_older_than_what_was_read_of_either_half() -> None:
    for half in (0, 4):
        bench = Bench()
        bench.write(5, BASE + half, 4, 1)
        assert bench.newest(9, Load(BASE + half, 4)) == 1
        assert bench.oldest(9, Load(BASE)) == 1 << 8 * half


@pytest.mark.parametrize("rules", [Rules(), Rules(loads_coherent=False), Rules(loads_follow_stores=False)])
def test_a_load_is_no_older_than_what_this_hart_has_read_or_written_there_unless_the_model_lacks_the_rule(
    rules: Rules,
) -> None:
    """A compare-and-swap that stores nothing has read, and any other atomic has written."""

    def may_go_back(op: Op[Any]) -> bool:
        bench = Bench(rules)
        bench.write(5, BASE, 8, 1)
        bench.sim.now = 9
        entry = bench.hart.execute(op, 9, lambda n: 0)
        if isinstance(op, (Store, StoreBlock)):
            bench.hart.drain(entry, 9)
        return bench.oldest(10, Load(BASE)) == 0

    swaps = [Atomic(Amo.CAS, BASE, 9, size, expect=expect) for expect in (3, 1) for size in (4, 8)]
    page = StoreBlock(BASE, (3,) * (PAGE // 8))
    reads: list[Op[Any]] = [Load(BASE), Load(BASE, 4), *swaps[:2]]
    writes: list[Op[Any]] = [Store(BASE, 2), page, Atomic(Amo.ADD, BASE, 1), *swaps[2:]]
    assert {may_go_back(op) for op in reads} == {not rules.loads_coherent}
    assert {may_go_back(op) for op in writes} == {not rules.loads_follow_stores}


def test_a_load_behind_a_fence_w_r_is_no_older_than_an_atomic_before_it() -> None:
    bench = Bench()
    bench.write(5, BASE, 8, 1)
    bench.sim.now = 9
    bench.hart.execute(Atomic(Amo.ADD, BASE + 64, 1), 9, lambda n: 0)
    bench.hart.execute(Fence("r", "w"), 9, lambda n: 0)
    assert bench.oldest(9, Load(BASE)) == 0
    bench.hart.forget(9)
    bench.hart.execute(Fence("w", "r"), 9, lambda n: 0)
    assert bench.oldest(9, Load(BASE)) == 1


@pytest.mark.parametrize("rules", [Rules(), Rules(atomic_result=False)])
@pytest.mark.parametrize(("atomic", "written"), [(True, None), (True, BASE), (True, BASE + 128), (False, BASE)])
def test_what_depends_on_a_load_is_no_older_than_its_value_but_for_an_own_atomic_s_where_the_model_lacks_the_rule(
    rules: Rules, atomic: bool, written: int | None
) -> None:
    """Whatever another hart has written there, or of another word than the atomic's, is no result of it."""
    bench = Bench(rules)
    bench.write(5, BASE + 64, 8, 1)
    bench.sim.now = 6
    if atomic:
        bench.hart.execute(Atomic(Amo.ADD, BASE, 1), 6, lambda n: 0)
    if written is not None:
        bench.write(7, written, 8, 3)
    bench.sim.now = 9
    loaded = bench.hart.execute(Load(written or BASE), 9, lambda n: 0)
    assert loaded == (1 if written is None else 3)
    may_be_old = written is None and not rules.atomic_result
    assert bench.oldest(9, Load(BASE + 64, after=loaded)) == (0 if may_be_old else 1)


@pytest.mark.parametrize("fills", [False, True])
def test_what_is_forgotten_has_ended_and_what_has_not_is_still_coherent(fills: bool) -> None:
    """What this hart has read, and what it has overwritten with a whole page."""
    for before, oldest in ((4, 1), (5, 0)):
        bench = Bench()
        if fills:
            bench.sim.now = 5
            bench.hart.drain(bench.hart.execute(StoreBlock(BASE, (1,) * (PAGE // 8)), 5, lambda n: 0), 5)
        else:
            bench.write(5, BASE, 8, 1)
            assert bench.newest(9, Load(BASE)) == 1
        bench.hart.forget(before)
        assert bench.oldest(9, Load(BASE)) == oldest


def test_what_is_written_has_the_bytes_of_its_size_and_no_more() -> None:
    hart = Bench().hart
    for op in (Store(BASE, 0x1_0000_0005, 4), MmioWrite(0x1000, 0x1_0000_0005, 4), Store(BASE + 8, -251, 1)):
        assert hart.execute(op, 6, lambda n: 0).words == (5,)


def test_an_atomic_waits_for_a_store_to_any_byte_of_its_word() -> None:
    hart = Bench().hart
    entry = hart.execute(Store(BASE, 1), 6, lambda n: 0)
    for offset, size, waits in ((0, 8, True), (0, 4, True), (4, 4, True), (8, 8, False)):
        assert bool(hart.writes.blockers(Atomic(Amo.ADD, BASE + offset, 1, size))) is waits
    assert hart.writes.blockers(Atomic(Amo.ADD, BASE, 1)) == [entry]


def test_a_compare_and_swap_that_finds_another_value_stores_nothing() -> None:
    """Its load may have returned the value that it expects, and memory have changed since."""
    bench = Bench()
    bench.write(5, BASE, 8, 3)
    assert bench.hart.execute(Atomic(Amo.CAS, BASE, 9, expect=4), 6, lambda n: 0) == 3
    assert bench.memory.read(BASE, 8) == 3
    assert bench.hart.execute(Atomic(Amo.CAS, BASE, 9, expect=3), 7, lambda n: 0) == 3
    assert bench.memory.read(BASE, 8) == 9


def test_what_a_compare_and_swap_finds_that_stores_nothing_is_as_new_as_all_that_it_depends_on() -> None:
    """Like a load: its address, what it comes after, and the state of memory that it has seen."""
    bench = Bench()
    for now, offset in ((5, 64), (6, 128)):
        bench.write(now, BASE + offset, 8, 8)
    older, newer = (bench.hart.execute(Load(BASE + offset), 9, lambda n: 0) for offset in (64, 128))
    for address, after, at in ((older, newer, 6), (newer, older, 6), (older, 0, 5), (8, older, 5)):
        swap = Atomic(Amo.CAS, address + BASE - 8, 9, expect=3, after=after)
        assert bench.hart.execute(swap, 9, lambda n: 0).at == at
    bench.write(7, BASE, 8, 1)
    assert bench.hart.execute(Atomic(Amo.CAS, BASE, 9, expect=3, after=newer), 9, lambda n: 0).at == 7


def test_a_load_is_no_older_than_the_page_that_this_hart_has_filled() -> None:
    """Whatever of it others had written before; what they write after that may be returned."""
    bench = Bench()
    words = (0, 8, PAGE - 8)
    for word in (*words, PAGE):
        bench.write(5, BASE + word, 8, 1)
    bench.sim.now = 6
    bench.hart.drain(bench.hart.execute(StoreBlock(BASE, (3,) * (PAGE // 8)), 6, lambda n: 0), 6)
    assert [bench.oldest(9, Load(BASE + word)) for word in (*words, PAGE)] == [3, 3, 3, 0]
    kept = bench.hart.snapshot()
    bench.hart.forget(9)
    bench.hart.restore(kept)
    bench.write(10, BASE + 8, 8, 4)
    assert bench.oldest(11, Load(BASE + 8)) == 3
    assert bench.newest(11, Load(BASE + 8)) == 4


@pytest.mark.parametrize(("first", "second"), [((0, 8), (4, 4)), ((4, 4), (0, 8)), ((0, 8), (0, 8)), ((2, 2), (0, 4))])
def test_stores_that_overlap_take_hold_in_order_whichever_begins_lower(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    hart = Bench().hart
    earlier, later, beside = (
        hart.execute(Store(BASE + offset, 1, size), 1, lambda n: 0) for offset, size in (first, second, (8, 8))
    )
    assert [hart.writes.ready(entry) for entry in (earlier, later, beside)] == [True, False, True]
