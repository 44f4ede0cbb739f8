"""Timers fire at ticks, on the CPU on which they were armed, on the small machine and on real CPUs."""

from __future__ import annotations

import pytest

from cosim.events import KernelLog
from cosim.sim.operations import Oops, Sleep, Work
from cosim.sw.kernel.options import KernelOptions
from cosim.sw.kernel.timers import TIMER_VECTOR, Timer
from cosim.units.quantities import MS, US, S
from tests.sw.machine import Machine

MODELS = ["", "rvwmo"]


def fired_at(machine: Machine, start: int, delay: int) -> list[int]:
    fired: list[int] = []

    async def note() -> None:
        fired.append(machine.sim.now)

    timer = machine.kernel.timers.new("test", note)

    async def body() -> None:
        await Sleep(start)
        assert not await machine.kernel.timers.arm(timer, delay)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    return fired


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("start", [0, 100 * US, 3900 * US, 4100 * US])
def test_ten_milliseconds_at_250_hz_are_three_ticks_and_one(model: str, start: int) -> None:
    """Seen on a real kernel: 13.4 to 16.0 ms."""
    machine = Machine(model=model)
    (at,) = fired_at(machine, start, 10 * MS)
    armed = start - start % (4 * MS)
    assert 0 <= at - (armed + 16 * MS) < 10 * US


def test_a_timer_at_1000_hz_is_finer() -> None:
    (at,) = fired_at(Machine(options=KernelOptions(hz=1000)), 100 * US, 10 * MS)
    assert 0 <= at - 11 * MS < 10 * US


@pytest.mark.parametrize("model", MODELS)
def test_a_timer_that_is_armed_again_fires_once_and_a_cancelled_one_never(model: str) -> None:
    machine = Machine(model=model)
    fired: list[int] = []

    async def note() -> None:
        fired.append(machine.sim.now)

    timers = machine.kernel.timers
    again, never = timers.new("again", note), timers.new("never", note)

    async def body() -> None:
        await timers.arm(again, 10 * MS)
        await timers.arm(never, 10 * MS)
        await Sleep(5 * MS)
        assert await timers.arm(again, 40 * MS)
        assert await timers.cancel(never)
        assert not await timers.cancel(never)

    machine.start(body())
    machine.go(until=1 * S)
    (at,) = fired
    assert 0 <= at - 48 * MS < 10 * US


def test_a_timer_that_another_cpu_arms_anew_fires_there_alone() -> None:
    """Also where the first CPU has a timer of its own that is due at the same tick."""
    machine = Machine()
    timers, fired = machine.kernel.timers, list[str]()

    async def note() -> None:
        fired.append((await machine.kernel.context()).cpu)

    moved, own = timers.new("moved", note), timers.new("own", note)

    async def arm(timer: Timer, at: int) -> None:
        await Sleep(at)
        await timers.arm(timer, 30 * MS - at)

    machine.start(arm(moved, 1 * MS), "cpu0")
    machine.start(arm(own, 2 * MS), "cpu0")
    machine.start(arm(moved, 3 * MS), "cpu1")
    machine.go(until=1 * S)
    assert sorted(fired) == ["cpu0", "cpu1"]
    assert moved.cpu == "cpu1"
    assert not [timer for pending in timers._pending.values() for timer in pending]


def test_timers_that_are_due_at_one_tick_all_fire_and_later_ones_do_not() -> None:
    machine = Machine()
    fired: list[tuple[str, int]] = []
    timers = machine.kernel.timers

    async def body() -> None:
        for name, delay in (("late", 40 * MS), ("one", 10 * MS), ("other", 10 * MS)):

            async def note(name: str = name) -> None:
                fired.append((name, machine.sim.now // MS))

            await timers.arm(timers.new(name, note), delay)

    machine.start(body())
    machine.go(until=1 * S)
    assert fired == [("one", 16), ("other", 16), ("late", 44)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("cpu", ["cpu0", "cpu1"])
@pytest.mark.parametrize("anew", [False, True])
def test_a_timer_that_is_changed_while_others_of_its_tick_run_does_not_fire_then(
    model: str, cpu: str, anew: bool
) -> None:
    """It is cancelled or armed anew by one of them, or by another CPU."""
    machine = Machine(model=model)
    timers, fired = machine.kernel.timers, list[tuple[str, int]]()

    async def change() -> None:
        assert await (timers.arm(other, 20 * MS) if anew else timers.cancel(other))

    async def slow() -> None:
        fired.append(("slow", machine.sim.now // MS))
        if cpu == "cpu0":
            await change()
        await Work(20 * US)

    async def note() -> None:
        fired.append(("other", machine.sim.now // MS))

    first, other = timers.new("slow", slow), timers.new("other", note)

    async def body() -> None:
        for timer in (first, other):
            await timers.arm(timer, 1 * MS)

    async def elsewhere() -> None:
        await Sleep(8 * MS + 10 * US)
        if cpu == "cpu1":
            await change()

    machine.start(body(), "cpu0")
    machine.start(elsewhere(), "cpu1")
    machine.go(until=1 * S)
    assert fired == [("slow", 8), *([("other", 32)] if anew else [])]


def test_a_cancelled_timer_costs_no_tick() -> None:
    """Besides arming and cancelling, nobody touches the timer's word."""
    machine = Machine()

    async def never() -> None:
        raise AssertionError("a cancelled timer fires")

    timer = machine.kernel.timers.new("never", never)

    async def body() -> None:
        await machine.kernel.timers.arm(timer, 10 * MS)
        await machine.kernel.timers.cancel(timer)

    machine.start(body())
    machine.go(until=1 * S)
    assert machine.operations["Atomic"] == 2
    assert not machine.log


def test_only_the_tick_at_which_a_timer_is_due_interrupts_its_cpu() -> None:
    """Not one at which it was due before it was cancelled, or armed anew for later."""
    machine = Machine()
    timers, rung = machine.kernel.timers, list[tuple[int, int]]()
    machine.cpus["cpu0"].message = lambda vector: rung.append((vector, machine.sim.now))

    async def note() -> None:
        """Nothing: nobody serves the interrupt here."""

    async def body() -> None:
        again, never = timers.new("again", note), timers.new("never", note)
        for timer in (again, never):
            await timers.arm(timer, 10 * MS)
        await timers.arm(again, 40 * MS)
        await timers.cancel(never)

    machine.start(body())
    machine.go(until=1 * S)
    assert rung == [(TIMER_VECTOR, 44 * MS)]


def test_a_timer_waits_for_interrupts_to_be_unmasked() -> None:
    machine = Machine(model="rvwmo")
    fired: list[int] = []

    async def note() -> None:
        fired.append(machine.sim.now)

    timer = machine.kernel.timers.new("late", note)

    async def body() -> None:
        await machine.kernel.timers.arm(timer, 1 * MS)
        async with machine.kernel.irqs_off():
            await Work(50 * MS)

    machine.start(body())
    machine.go(until=1 * S)
    assert 50 * MS <= fired[0] < 51 * MS


def test_a_timer_may_arm_itself() -> None:
    machine = Machine(model="rvwmo")
    fired: list[int] = []

    async def note() -> None:
        fired.append(machine.sim.now // MS)
        if len(fired) < 3:
            await machine.kernel.timers.arm(timer, 4 * MS)

    timer = machine.kernel.timers.new("periodic", note)
    machine.start(machine.kernel.timers.arm(timer, 4 * MS))
    machine.go(until=1 * S)
    assert fired == [8, 16, 24]


def test_an_oops_in_a_timer_is_told_with_its_name() -> None:
    machine = Machine()

    async def dies() -> None:
        raise Oops("null pointer")

    machine.start(machine.kernel.timers.arm(machine.kernel.timers.new("iova-flush", dies), 4 * MS))
    machine.go(until=1 * S)
    assert machine.log == ["oops: in interrupt: timer iova-flush: null pointer"]


def test_a_page_that_a_timer_frees_twice_is_told_with_what_it_was() -> None:
    machine = Machine()
    pages = machine.kernel.pages
    told = list[str]()
    machine.sim.probe(KernelLog).watch(lambda event: told.append(event.more))

    async def twice() -> None:
        page = await pages.alloc(purpose="table")
        await pages.free(page)
        await pages.free(page)

    machine.start(machine.kernel.timers.arm(machine.kernel.timers.new("test", twice), 4 * MS))
    machine.go(until=1 * S)
    assert len(told) == 1
    assert told[0].startswith("; what was there (table) was allocated by")
