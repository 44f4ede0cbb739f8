"""A CPU in time: what operations cost, when they take hold, and what they wait for."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from cosim.events import FreedTouched
from cosim.sim.loaded import Loaded
from cosim.sim.operations import (
    Amo,
    Atomic,
    Fence,
    Load,
    Membarrier,
    MmioRead,
    MmioWrite,
    Op,
    Park,
    Poll,
    PollEither,
    Sleep,
    Spawn,
    Store,
    StoreBlock,
    Work,
)
from cosim.units.quantities import NS, US
from tests.hw.machines import BASE, BOOT, DEVICE, EXECUTORS, MODELS, Machine, X, Y, timed


def took(machine: Machine, *ops: Op[Any]) -> list[int]:
    ends = [BOOT, *(end for end, _ in timed(machine, *ops))]
    return [later - earlier for earlier, later in itertools.pairwise(ends)]


# --- What operations cost ------------------------------------------------------------------------------------------


async def idle() -> None:
    pass


@pytest.mark.parametrize("executor", EXECUTORS)
def test_each_operation_takes_its_time(executor: Any) -> None:
    """A register read waits for the write, and a membarrier does not; to yield takes a tick."""
    machine = Machine(executor=executor)
    assert took(
        machine,
        Load(X),
        Store(X, 1),
        StoreBlock(BASE + 4096, (0,) * 512),
        Atomic(Amo.ADD, Y, 1),
        Fence("rw", "rw"),
        Work(7 * NS),
        MmioWrite(DEVICE, 1),
        Membarrier(),
        MmioRead(DEVICE),
        Sleep(0),
        Spawn("child", idle()),
    ) == [2 * NS, 1 * NS, 300 * NS, 20 * NS, 10 * NS, 7 * NS, 30 * NS, 10 * NS, 90 * NS + 150 * NS, 1, 10 * NS]


def test_an_operation_of_no_cost_takes_a_tick() -> None:
    free = dict.fromkeys(["load", "store", "drain", "atomic", "fence", "mmio_read", "mmio_write", "mmio_arrival"], 0)
    machine = Machine(timing={**free, "switch": 0})
    ends = [end for end, _ in timed(machine, Load(X), Store(X, 1), Atomic(Amo.ADD, X, 1), Fence("w", "w"))]
    assert ends == sorted(set(ends))
    assert ends[-1] < 20


@pytest.mark.parametrize(("store", "apart"), [(0, 1), (1, 1), (3, 3)])
def test_stores_that_something_waits_for_leave_as_fast_as_they_may(store: int, apart: int) -> None:
    machine = Machine(timing={"store": f"{store} ps"})
    left: list[int] = []
    for place in (X, Y):
        machine.memory.watch(place, lambda: left.append(machine.sim.now))
    timed(machine, Store(X, 1), Store(Y, 1), Fence("w", "r"), Load(X + 8))
    assert left[1] - left[0] == apart


def test_a_register_read_takes_hold_half_way_and_adds_the_time_of_the_device() -> None:
    machine = Machine()
    machine.device.latency_ps = 40 * NS
    assert took(machine, MmioRead(DEVICE)) == [190 * NS]
    assert machine.device.log == [(BOOT + 75 * NS + 40 * NS, "read", 0, 0)]


@pytest.mark.parametrize("takes", [2, 7, 75_001])
def test_a_register_read_of_an_odd_time_takes_all_of_it_and_its_way_back_is_the_longer_one(takes: int) -> None:
    machine = Machine(timing={"mmio_read": f"{takes} ps"})
    assert took(machine, MmioRead(DEVICE)) == [takes]
    assert machine.device.log == [(BOOT + takes // 2, "read", 0, 0)]


def test_a_posted_register_write_arrives_after_the_thread_has_gone_on() -> None:
    machine = Machine()
    assert took(machine, MmioWrite(DEVICE, 3)) == [30 * NS]
    assert machine.device.log == [(BOOT + 130 * NS, "write", 0, 3)]


def test_reading_where_nothing_answers_gives_all_ones() -> None:
    assert timed(Machine(), MmioRead(0x10))[0][1] == 0xFFFF_FFFF


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_memory_and_registers_answer_remembers_when_it_was_there(executor: Any) -> None:
    one, same, other = (Poll(DEVICE + offset, 0, timeout_ps=0) for offset in (0, 0, 4))
    machine = Machine(executor=executor)
    answers = timed(machine, Load(X), Atomic(Amo.ADD, Y, 1), MmioRead(DEVICE), one, PollEither(same, other))
    loaded, added, read, polled, either = (value for _, value in answers)
    assert type(loaded) is int, "what was there from the beginning orders nothing"
    assert {type(value) for value in (added, read, polled, *either)} == {Loaded}
    assert BOOT < read.at < polled.at < either[0].at < either[1].at


# --- Values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_a_thread_reads_what_it_wrote(model: str) -> None:
    machine = Machine(memory_model=model)
    values = [
        value
        for _, value in timed(
            machine,
            Store(X, 5),
            Load(X),
            Store(X + 4, 7, 4),
            Load(X + 4, 4),
            Load(X),
            StoreBlock(X, (9, 8)),
            Load(X + 8),
            Store(Y, 7 << 32 | 5),
            Load(Y + 4, 4),
            Load(Y, 4),
        )
    ]
    assert values == [None, 5, None, 7, 7 << 32 | 5, None, 8, None, 7, 5]


# --- The store buffer ----------------------------------------------------------------------------------------------


def drained_at(machine: Machine, address: int) -> list[int]:
    times: list[int] = []
    machine.memory.watch(address, lambda: times.append(machine.sim.now))
    return times


def test_a_store_stays_in_the_buffer_for_its_residence() -> None:
    machine = Machine()
    times = drained_at(machine, X)
    assert took(machine, Store(X, 1), Work(100 * NS)) == [1 * NS, 100 * NS]
    assert times == [BOOT + 31 * NS]


@pytest.mark.parametrize(
    "second",
    [
        *(Load(Y), Store(Y, 1), StoreBlock(Y, (1,)), Atomic(Amo.ADD, Y, 1), Fence("w", "w")),
        *(MmioWrite(DEVICE, 1), MmioRead(DEVICE)),
    ],
)
def test_what_is_written_sequentially_takes_hold_before_anything_follows(second: Op[Any]) -> None:
    """A store a tick after it was issued, a register write 100 ns after that."""
    (takes,) = took(Machine(memory_model="sequential"), second)
    machine = Machine(memory_model="sequential")
    times = drained_at(machine, X)
    assert took(machine, Store(X, 1), second) == [1 * NS, 1 + takes]
    assert times == [BOOT + 1 * NS + 1]
    assert took(Machine(memory_model="sequential"), MmioWrite(DEVICE, 1), second) == [30 * NS, 100 * NS + takes]


def test_a_full_buffer_makes_the_next_store_wait_until_the_oldest_has_left() -> None:
    machine = Machine(store_buffer=2)
    times = drained_at(machine, X)
    stores = [Store(X + 8 * n, 1) for n in range(3)]
    assert took(machine, *stores) == [1 * NS, 1 * NS, 2 * NS]
    assert times == [BOOT + 3 * NS]


@pytest.mark.parametrize(("second", "ends"), [(Store(X, 1), [30, 31, 33]), (MmioWrite(DEVICE, 2), [30, 60, 131])])
def test_a_full_buffer_hurries_its_oldest_store_and_no_register_write(second: Op[Any], ends: list[int]) -> None:
    """A register write arrives 100 ns after it was issued, whoever waits; a store behind it does not wait for that."""
    machine = Machine(store_buffer=2)
    times = drained_at(machine, X)
    assert [end - BOOT for end, _ in timed(machine, MmioWrite(DEVICE, 1), second, Store(Y, 1))] == [
        end * NS for end in ends
    ]
    assert times == ([BOOT + 32 * NS] if isinstance(second, Store) else [])
    assert machine.device.log[0] == (BOOT + 130 * NS, "write", 0, 1)


def test_a_fence_makes_a_later_load_wait_for_earlier_stores_and_hurries_them() -> None:
    machine = Machine(timing={"drain": "1 us"})
    times = drained_at(machine, X)
    durations = took(machine, Store(X, 1), Fence("w", "r"), Load(Y))
    assert durations[:2] == [1 * NS, 10 * NS]
    assert times == [BOOT + 12 * NS]
    assert durations[2] == 1 * NS + 2 * NS


def test_without_the_fence_the_load_overtakes_the_store() -> None:
    machine = Machine(timing={"drain": "1 us"})
    times = drained_at(machine, X)
    assert took(machine, Store(X, 1), Load(Y)) == [1 * NS, 2 * NS]
    assert times == [BOOT + 1001 * NS]


def test_a_relaxed_atomic_overtakes_buffered_stores_and_one_with_release_does_not() -> None:
    for release in (False, True):
        machine = Machine(timing={"drain": "1 us"})
        times = drained_at(machine, X)
        timed(machine, Store(X, 1), Atomic(Amo.SWAP, Y, 1, release=release))
        assert (times[0] < BOOT + 1000 * NS) is release


# --- Registers and order -------------------------------------------------------------------------------------------


def test_register_writes_to_one_device_keep_their_order_and_a_read_pushes_them() -> None:
    machine = Machine()
    timed(machine, MmioWrite(DEVICE, 1), MmioWrite(DEVICE + 4, 2), MmioRead(DEVICE + 4))
    assert [(kind, offset, value) for _, kind, offset, value in machine.device.log] == [
        ("write", 0, 1),
        ("write", 4, 2),
        ("read", 4, 2),
    ]


def test_a_doorbell_may_overtake_a_buffered_store_unless_a_fence_orders_it() -> None:
    for fence, overtaken in [(Fence("w", "w"), True), (Fence("w", "o"), False)]:
        machine = Machine(timing={"drain": "1 us"})
        times = drained_at(machine, X)
        timed(machine, Store(X, 1), fence, MmioWrite(DEVICE, 1))
        assert (machine.device.log[0][0] < times[0]) is overtaken


def test_a_store_behind_a_fence_o_w_waits_until_the_device_has_accepted() -> None:
    for fence, overtaken in [(Fence("w", "w"), True), (Fence("o", "w"), False)]:
        machine = Machine()
        times = drained_at(machine, X)
        timed(machine, MmioWrite(DEVICE, 1), fence, Store(X, 1))
        assert (times[0] < machine.device.log[0][0]) is overtaken


def test_a_lock_alone_does_not_keep_the_doorbells_of_its_holders_in_order() -> None:
    """cpu0 rings and unlocks, cpu1 locks and rings; only a fence o,w before the unlock has cpu0's bell arrive first."""
    for unlock, values in [(Fence("rw", "w"), [2, 1]), (Fence("o", "w"), [1, 2])]:
        machine = Machine(timing=[{"mmio_arrival": "1 us"}, {}])

        async def first(unlock: Fence = unlock) -> None:
            await MmioWrite(DEVICE, 1)
            await unlock
            await Store(X, 1)

        async def second() -> None:
            await Park(X, 0)
            await MmioWrite(DEVICE, 2)

        machine.cpus[0].start("first", first())
        machine.cpus[1].start("second", second())
        machine.run()
        assert [value for _, kind, _, value in machine.device.log if kind == "write"] == values


# --- Freed memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_a_thread_that_touches_freed_memory_is_named(model: str) -> None:
    """Also where its own store answers the load: then the load is told before the store, which is still buffered."""
    machine = Machine(memory_model=model)
    touched: list[FreedTouched] = []
    machine.sim.probe(FreedTouched).watch(touched.append)
    machine.at(1, lambda: machine.memory.poison(X, 64, "cpu1.free", "bond"))
    timed(machine, Load(X), Store(X + 8, 1), Load(X + 8), Load(Y), Fence("rw", "rw"), Load(X + 8))
    buffered = [(8, False), (8, True)]
    if model == "sequential":
        buffered.reverse()
    assert [(event.address - X, event.write) for event in touched] == [(0, False), *buffered, (8, False)]
    assert {(event.who, event.freed_by) for event in touched} == {("cpu0.t0", "cpu1.free")}


def test_a_store_that_leaves_the_buffer_is_its_own_threads_whoever_has_the_cpu_by_then() -> None:
    machine = Machine(timing={"switch": 0, "drain": "1 us"})
    touched: list[tuple[str, bool]] = []
    machine.sim.probe(FreedTouched).watch(lambda event: touched.append((event.who, event.write)))
    machine.at(1, lambda: machine.memory.poison(X, 64, "cpu1.free", "bond"))

    async def stores() -> None:
        await Store(X, 1)

    async def goes_on() -> None:
        await Store(Y, 1)
        await Work(2 * US)
        await Load(X + 8)

    machine.cpu.start("stores", stores())
    machine.cpu.start("goes_on", goes_on())
    machine.run()
    assert touched == [("cpu0.stores", True), ("cpu0.goes_on", False)]


def test_waiting_for_a_word_of_freed_memory_is_touching_it() -> None:
    machine = Machine()
    touched: list[str] = []
    machine.sim.probe(FreedTouched).watch(lambda event: touched.append(event.who))
    machine.at(1, lambda: machine.memory.poison(X, 64, "cpu1.free", "lock"))
    machine.cpu.start("t0", waiting_for(X))
    machine.run(until=1 * US)
    assert not touched
    machine.run(until=5 * US)
    assert touched == ["cpu0.t0"]


async def waiting_for(address: int) -> None:
    await Park(address, 0)
