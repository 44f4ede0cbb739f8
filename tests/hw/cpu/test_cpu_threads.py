"""Threads on a CPU: where their time goes, how they start and end, and who runs when."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.events import Switched, ThreadEnded
from cosim.sim.operations import (
    Amo,
    Atomic,
    Fence,
    Instant,
    IrqDisable,
    IrqEnable,
    Load,
    Membarrier,
    MmioRead,
    Now,
    Oops,
    Op,
    PreemptDisable,
    PreemptEnable,
    Self,
    Sleep,
    Spawn,
    Store,
    Work,
)
from cosim.units.quantities import NS, US
from tests.hw.machines import BOOT, DEVICE, Machine, X, Y, timed

CAS = Atomic(Amo.CAS, Y, 1, expect=0, part="lock")


# --- Accounting ----------------------------------------------------------------------------------------------------


def test_every_picosecond_of_a_life_goes_to_one_part() -> None:
    machine = Machine(2, timing={"drain": "500 ns"})
    clocks: list[Instant] = []

    async def busy() -> None:
        for _ in range(5):
            await Store(X, 1)
            await Fence("rw", "rw")
            await Load(Y, part="lock")
            clocks.append(await Now())
            await Sleep(3 * US)
            await Work(200 * NS, part="cq_full")
            await MmioRead(DEVICE)
            clocks.append(await Now())

    for name in ("a", "b", "c"):
        machine.cpu.start(name, busy())
    machine.run()
    for clock in clocks:
        assert sum(clock.parts.values()) == clock.time
    first, second = clocks[0], clocks[-1]
    assert sum(second.since(first).values()) == second.time - first.time


def test_parts_name_where_the_time_went() -> None:
    machine = Machine()
    spent: list[dict[str, int]] = []

    async def body() -> None:
        before = await Now()
        await Work(5 * NS)
        await Load(X, part="lock")
        await MmioRead(DEVICE)
        await Sleep(10 * NS)
        await Sleep(0)
        spent.append((await Now()).since(before))

    machine.cpu.start("t0", body())
    machine.run()
    assert spent == [{"cpu": 5 * NS, "lock": 2 * NS, "mmio": 150 * NS, "sleep": 10 * NS + 1, "preempted": BOOT}]


@pytest.mark.parametrize(
    ("op", "takes"), [(Load(Y, part="lock"), 2), (Atomic(Amo.SWAP, Y, 1, part="lock"), 20), (CAS, 20)]
)
def test_what_a_fence_keeps_back_waits_as_a_part_of_the_fence(op: Op[Any], takes: int) -> None:
    """The fence takes 10 ns, and what it keeps back waits for a nanosecond until the store has left."""
    machine = Machine(timing={"drain": "1 us"})
    clocks: list[Instant] = []
    for moment in (BOOT + 12 * NS - 1, BOOT + (12 + takes) * NS - 1):  # while it waits, and behind that
        machine.at(moment, lambda: clocks.append(machine.cpu.clocks()["cpu0.t0"]))
    before, *_, after = (value for _, value in timed(machine, Now(), Store(X, 1), Fence("w", "rw"), op, Now()))
    assert after.since(before) == {"cpu": 1 * NS, "fence_instr": 11 * NS, "lock": takes * NS}
    assert clocks[0].since(before) == {"cpu": 1 * NS, "fence_instr": 11 * NS - 1}
    assert clocks[1].since(before) == {"cpu": 1 * NS, "fence_instr": 11 * NS, "lock": takes * NS - 1}


# --- The life of threads -------------------------------------------------------------------------------------------


def test_a_thread_knows_its_name_and_cpu() -> None:
    ((_, view),) = timed(Machine(), Self())
    assert view == ("cpu0.t0", "cpu0")


def test_a_thread_that_touches_no_memory_dies_and_the_others_go_on() -> None:
    machine = Machine()
    ended: list[ThreadEnded] = []
    machine.sim.probe(ThreadEnded).watch(ended.append)

    async def wild() -> None:
        await Load(0)

    async def tame() -> None:
        await Work(1 * US)

    machine.cpu.start("wild", wild())
    machine.cpu.start("tame", tame())
    machine.run()
    assert [(event.who, event.reason) for event in ended] == [
        ("cpu0.wild", "cpu0.wild accesses 0x0 as memory, where nothing is"),
        ("cpu0.tame", ""),
    ]
    assert not machine.cpu.threads


def test_an_oops_can_be_handled_by_the_thread() -> None:
    machine = Machine()
    caught: list[str] = []

    async def body() -> None:
        try:
            await Load(DEVICE)
        except Oops as oops:
            caught.append(str(oops))
        await Work(1)
        try:
            await Store(X + 2, 1)
        except Oops as oops:
            caught.append(str(oops))

    machine.cpu.start("t0", body())
    machine.run()
    assert caught == [
        "cpu0.t0 accesses 0x3000000 as memory, where device0 is",
        "cpu0.t0 accesses 8 bytes at 0x80000002, which is not aligned",
    ]


def test_any_other_exception_is_an_error_of_the_simulation() -> None:
    machine = Machine()

    async def body() -> None:
        await Work(1)
        raise KeyError("x")

    machine.cpu.start("t0", body())
    with pytest.raises(KeyError):
        machine.run()


def test_awaiting_what_is_no_operation_is_an_error() -> None:
    class Strange(Op[None]):
        part = "cpu"

    machine = Machine()
    with pytest.raises(TypeError, match=r"cpu0.t0 awaited .*Strange.*, which is no operation of a CPU"):
        timed(machine, Strange())


def test_starting_a_thread_elsewhere_hands_over_all_stores_before_it() -> None:
    machine = Machine(2, timing={"drain": "5 us"})
    seen: list[int] = []
    parted: list[int] = []

    async def child() -> None:
        seen.append(await Load(X))

    async def parent() -> None:
        await Store(X, 7)
        view = await Spawn("child", child(), "cpu1")
        assert view == ("cpu1.child", "cpu1")
        parted.append(machine.sim.now)

    machine.cpu.start("parent", parent())
    machine.run()
    assert seen == [7]
    assert parted == [BOOT + 1 * NS + 10 * NS + 1 * NS], "the store leaves at once"


def test_starting_a_thread_on_no_cpu_is_an_error_that_lists_them() -> None:
    machine = Machine(2)

    async def child() -> None:
        pass

    body = child()
    with pytest.raises(ValueError, match="starts child on cpu7; there are: cpu0, cpu1"):
        timed(machine, Spawn("child", body, "cpu7"))
    body.close()


@pytest.mark.parametrize("counts", [(1, 0), (1, 1), (1, 4), (4, 1)])
def test_a_membarrier_empties_every_buffer_at_once(counts: tuple[int, int]) -> None:
    """It is over with the last store of whichever CPU has most of them: each CPU's leave one after the other."""
    machine = Machine(3, timing={"drain": "5 us"})
    order: list[tuple[int, str]] = []

    async def stores(place: int, count: int) -> None:
        for n in range(count):
            await Store(place + 8 * n, 1)
        await Work(50 * US)

    async def barrier() -> None:
        await Work(1 * US)
        before = await Now()
        await Membarrier()
        order.append((machine.sim.now, "barrier"))
        assert (await Now()).since(before) == {"cpu": 10 * NS + max(counts) * NS}

    for cpu, place, count in zip(machine.cpus, (X, Y), counts, strict=False):
        cpu.start("stores", stores(place, count))
        for n in range(count):
            machine.memory.watch(place + 8 * n, lambda: order.append((machine.sim.now, "store")))
    machine.cpus[2].start("barrier", barrier())
    machine.run()
    began = BOOT + 1 * US + 10 * NS
    left = [(began + n * NS, "store") for count in counts for n in range(1, count + 1)]
    assert order == [*sorted(left), (began + max(counts) * NS, "barrier")]


@pytest.mark.parametrize("pause", range(0, 50, 2))
def test_of_two_threads_one_of_which_has_a_membarrier_one_sees_the_others_store(pause: int) -> None:
    """The other needs no fence, wherever the barrier meets it: its CPU passes one behind the first one's store."""
    slow = {"store": "20 ns", "drain": "5 us"}
    machine = Machine(2, timing=[slow, {"drain": "5 us"}])
    seen: list[int] = []

    async def barrier() -> None:
        await Store(X, 1)
        await Membarrier()
        seen.append(await Load(Y))

    async def plain() -> None:
        await Work(pause * NS)
        await Store(Y, 1)
        seen.append(await Load(X))

    machine.cpus[0].start("barrier", barrier())
    machine.cpus[1].start("plain", plain())
    machine.run()
    assert 1 in seen


def test_a_switch_is_a_quiescent_state_and_so_is_idling() -> None:
    machine = Machine()
    switches: list[tuple[int, str]] = []
    quiescent: list[str] = []
    machine.sim.probe(Switched).watch(lambda event: switches.append((event.time, event.thread)))
    machine.cpu.on_quiescent.append(quiescent.append)

    async def body() -> None:
        await Work(1 * US)
        await Sleep(2 * US)

    machine.cpu.start("t0", body())
    machine.run()
    assert switches == [
        (1500 * NS, "cpu0.t0"),
        (2500 * NS, ""),
        (6000 * NS, "cpu0.t0"),
        (6000 * NS, ""),
    ]
    assert quiescent == ["cpu0"] * 4
    assert machine.cpu.running == ""


# --- Preemption ----------------------------------------------------------------------------------------------------


def finishing_order(machine: Machine, bodies: dict[str, Any], **priorities: int) -> list[tuple[str, int]]:
    order: list[tuple[str, int]] = []

    async def run(name: str, body: Any) -> None:
        await body
        order.append((name, machine.sim.now))

    for name, body in bodies.items():
        machine.cpu.start(name, run(name, body), priority=priorities.get(name, 0))
    machine.run()
    return order


async def work(*durations: int) -> None:
    for duration in durations:
        await Work(duration)


def test_threads_take_turns_when_their_slices_end() -> None:
    machine = Machine(slice="10 us", timing={"switch": 0})
    order = finishing_order(machine, {"a": work(25 * US), "b": work(15 * US)})
    assert [name for name, _ in order] == ["b", "a"]
    assert order[0][1] // US == 35
    assert order[1][1] // US == 40


def test_voluntary_preemption_leaves_a_computing_thread_alone() -> None:
    machine = Machine(slice="10 us", preempt="voluntary", timing={"switch": 0})
    order = finishing_order(machine, {"a": work(25 * US), "b": work(15 * US)})
    assert [(name, time // US) for name, time in order] == [("a", 25), ("b", 40)]


def test_a_thread_that_disables_preemption_keeps_its_cpu() -> None:
    async def atomic() -> None:
        await PreemptDisable()
        await Work(25 * US)
        await PreemptEnable()
        await Work(1)

    machine = Machine(slice="10 us", timing={"switch": 0})
    order = finishing_order(machine, {"a": atomic(), "b": work(5 * US)})
    assert [(name, time // US) for name, time in order] == [("b", 30), ("a", 30)]


def test_a_thread_that_yields_goes_behind_the_others() -> None:
    async def polite() -> None:
        await Sleep(0)
        await Work(1 * US)

    machine = Machine(timing={"switch": 0})
    order = finishing_order(machine, {"a": polite(), "b": work(5 * US)})
    assert [(name, time // US) for name, time in order] == [("b", 5), ("a", 6)]


def test_a_thread_that_yields_to_nobody_has_a_new_slice_and_no_change_of_threads() -> None:
    async def polite() -> None:
        await Work(4 * US)
        await Sleep(0)
        await Work(20 * US)

    async def late() -> None:
        await Sleep(5 * US)
        await Work(1 * US)

    machine = Machine(slice="10 us", timing={"switch": 0})
    order = finishing_order(machine, {"b": late(), "a": polite()})
    assert [(name, time // US) for name, time in order] == [("b", 15), ("a", 25)]
    assert machine.cpu.switches == 4


def test_a_thread_of_higher_priority_takes_the_cpu_at_once_whoever_else_waits_for_it() -> None:
    async def urgent() -> None:
        await Sleep(5 * US)
        await Work(1 * US)

    machine = Machine(timing={"switch": 0})
    order = finishing_order(machine, {"a": work(20 * US), "b": urgent(), "c": work(1 * US)}, b=1)
    assert [(name, time // US) for name, time in order] == [("b", 6), ("c", 7), ("a", 22)]


def test_no_thread_is_running_while_the_cpu_changes_from_one_to_another() -> None:
    machine = Machine()
    seen: list[str] = []
    for moment in (BOOT - 1, BOOT + 1, BOOT + US + 1, 2 * BOOT + US - 1, 2 * BOOT + US + 1):
        machine.at(moment, lambda: seen.append(machine.cpu.running))
    finishing_order(machine, {"a": work(1 * US), "b": work(1 * US)})
    assert [*seen, machine.cpu.running] == ["", "cpu0.a", "", "", "cpu0.b", ""]


def test_time_off_the_cpu_is_counted_as_preempted() -> None:
    machine = Machine(slice="10 us", timing={"switch": 0})
    spent: list[dict[str, int]] = []

    async def measured() -> None:
        before = await Now()
        await Work(15 * US)
        spent.append((await Now()).since(before))

    machine.cpu.start("a", measured())
    machine.cpu.start("b", work(100 * US))
    machine.run()
    assert {part: ps // US for part, ps in spent[0].items()} == {"cpu": 15, "preempted": 10}


def test_unbalanced_enables_are_errors() -> None:
    with pytest.raises(RuntimeError, match="enables interrupts more often"):
        timed(Machine(), IrqDisable(), IrqEnable(), IrqEnable())
    with pytest.raises(RuntimeError, match="enables preemption more often"):
        timed(Machine(), PreemptEnable())


def test_a_cpu_is_busy_while_a_thread_has_it_and_no_longer() -> None:
    machine = Machine(timing={"switch": 0})
    timed(machine, Work(1 * US), Sleep(5 * US), Work(2 * US))
    assert (machine.run(20 * US).cpu.busy_ps + NS) // US == 3
