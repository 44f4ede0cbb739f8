"""Grace periods end when the readers begun before them have, and nothing else decides how long they take."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import KernelLog, ReadSectionBegun, ReadSectionEnded, Switched
from cosim.sim.operations import OnInterrupt, Oops, Sleep, Work
from cosim.sw.kernel.irq import IrqReturn
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.locks import Section
from cosim.sw.kernel.options import KernelOptions
from cosim.units.quantities import MS, US, S
from tests.sw.machine import STEP, Machine

MODELS = ["", "sequential", "rvwmo"]
SCAN = KernelOptions().gp_scan
TICK = 4 * MS
VECTOR = 17


def machine_of(model: str = "rvwmo", cpus: int = 4, **options: object) -> Machine:
    machine = Machine(cpus=cpus, options=KernelOptions.model_validate(options), model=model)
    machine.kernel.boot()
    return machine


async def read(machine: Machine, start: int, duration: int, ends: list[int]) -> None:
    await Sleep(start)
    async with machine.kernel.rcu.read():
        await Work(duration)
        ends.append(machine.sim.now)


async def synchronize(machine: Machine, start: int, ends: list[int]) -> None:
    await Sleep(start)
    await machine.kernel.rcu.synchronize()
    ends.append(machine.sim.now)


@pytest.mark.parametrize("model", MODELS)
def test_a_grace_period_waits_for_the_reader_that_began_before_it(model: str) -> None:
    machine = machine_of(model)
    readers: list[int] = []
    writers: list[int] = []
    machine.start(read(machine, 0, 30 * MS, readers), cpu="cpu0")
    machine.start(synchronize(machine, 5 * MS, writers), cpu="cpu1")
    machine.go(until=200 * MS)
    assert readers[0] <= writers[0] < readers[0] + 2 * SCAN


@pytest.mark.parametrize("model", MODELS)
def test_a_reader_that_begins_later_is_not_waited_for(model: str) -> None:
    machine = machine_of(model)
    readers: list[int] = []
    writers: list[int] = []
    machine.start(synchronize(machine, 5 * MS, writers), cpu="cpu1")
    machine.start(read(machine, 5 * MS + 500 * US, 100 * MS, readers), cpu="cpu0")
    machine.go(until=200 * MS)
    assert writers[0] < 5 * MS + 2 * SCAN
    assert readers[0] > 100 * MS


@pytest.mark.parametrize("model", MODELS)
def test_on_an_idle_machine_it_takes_one_look(model: str) -> None:
    machine = machine_of(model)
    writers: list[int] = []
    machine.start(synchronize(machine, 0, writers), cpu="cpu1")
    machine.go(until=200 * MS)
    assert SCAN <= writers[0] < SCAN + 100 * US


@pytest.mark.parametrize("masked", [False, True])
def test_a_busy_cpu_is_quiescent_at_its_tick_unless_its_interrupts_are_masked(masked: bool) -> None:
    machine = machine_of()
    ends: list[int] = []
    writers: list[int] = []

    async def busy() -> None:
        if masked:
            async with machine.kernel.irqs_off():
                await Work(50 * MS)
        else:
            await Work(50 * MS)
        ends.append(machine.sim.now)

    machine.start(busy(), cpu="cpu0")
    machine.start(synchronize(machine, 5 * MS, writers), cpu="cpu1")
    machine.go(until=200 * MS)
    if masked:
        assert ends[0] <= writers[0] < ends[0] + TICK + 2 * SCAN
    else:
        assert writers[0] < 5 * MS + TICK + 2 * SCAN < ends[0]


@pytest.mark.parametrize("inside", ["preempt_off", "irqs_off", "handler"])
def test_a_cpu_that_may_be_preempted_again_is_quiescent_at_its_next_tick(inside: str) -> None:
    """A tick has found it without preemption, or in the handler of an interrupt; it computes on for long after that."""
    machine = machine_of()
    writers: list[int] = []

    async def handle() -> IrqReturn:
        await Work(20 * MS)
        return IrqReturn.HANDLED

    async def busy() -> None:
        if inside == "handler":
            await machine.kernel.irq.request("cpu0", VECTOR, "slow", handle, handle)
            machine.sim.at(500 * US, 1 << 62, lambda: machine.cpus["cpu0"].message(VECTOR))
        else:
            async with getattr(machine.kernel, inside)():
                await Work(20 * MS)
        await Work(200 * MS)

    machine.start(busy(), cpu="cpu0")
    machine.start(synchronize(machine, 1 * MS, writers), cpu="cpu1")
    machine.go(until=500 * MS)
    assert 20 * MS <= writers[0] < 20 * MS + TICK + 2 * SCAN


def test_a_cpu_that_goes_from_one_section_to_the_next_is_quiescent_in_between() -> None:
    """Once a tick has found it in a section, leaving that one counts; the next tick may come too late."""
    machine = machine_of()
    ends: list[int] = []
    writers: list[int] = []

    async def reader() -> None:
        for _ in range(3):
            async with machine.kernel.rcu.read():
                await Work(50 * MS)
            ends.append(machine.sim.now)

    machine.start(reader(), cpu="cpu0")
    machine.start(synchronize(machine, 1 * MS, writers), cpu="cpu1")
    machine.go(until=500 * MS)
    assert ends[0] < writers[0] < ends[0] + 2 * SCAN


@pytest.mark.parametrize("section", [Kernel.preempt_off, Kernel.irqs_off])
def test_a_cpu_that_leaves_a_read_section_inside_another_section_is_not_quiescent_yet(
    section: Callable[[Kernel], Section],
) -> None:
    """A tick has found it in both; what is still to be left is as good a read section as the one that it has left."""
    machine = machine_of()
    ends: list[int] = []
    writers: list[int] = []

    async def reader() -> None:
        async with section(machine.kernel):
            async with machine.kernel.rcu.read():
                await Work(10 * MS)
            await Work(20 * MS)
            ends.append(machine.sim.now)

    machine.start(reader(), cpu="cpu0")
    machine.start(synchronize(machine, 1 * MS, writers), cpu="cpu1")
    machine.go(until=500 * MS)
    assert ends[0] <= writers[0] < ends[0] + TICK + 2 * SCAN


def test_a_preempted_reader_is_waited_for() -> None:
    """Its CPU has changed threads, which is a quiescent state of the CPU and not of the reader."""
    machine = machine_of()
    ends: list[int] = []
    writers: list[int] = []

    async def other() -> None:
        await Sleep(1 * MS)
        await Work(40 * MS)

    machine.start(read(machine, 0, 20 * MS, ends), cpu="cpu0", name="reader")
    machine.start(other(), cpu="cpu0", name="other")
    machine.start(synchronize(machine, 2 * MS, writers), cpu="cpu1")
    machine.go(until=500 * MS)
    assert machine.cpus["cpu0"].switches > 4
    assert ends[0] > 30 * MS
    assert ends[0] <= writers[0] < ends[0] + 2 * SCAN


def test_only_the_outermost_beginning_and_end_of_a_section_count() -> None:
    machine = machine_of()
    ends: list[int] = []
    writers: list[int] = []
    told: list[type] = []
    for kind in (ReadSectionBegun, ReadSectionEnded):
        machine.sim.probe(kind).watch(lambda event: told.append(type(event)))

    async def nested() -> None:
        async with machine.kernel.rcu.read():
            async with machine.kernel.rcu.read():
                await Work(10 * MS)
            await Work(10 * MS)
            ends.append(machine.sim.now)

    machine.start(nested(), cpu="cpu0")
    machine.start(synchronize(machine, 5 * MS, writers), cpu="cpu1")
    machine.go(until=200 * MS)
    assert writers[0] >= ends[0] > 20 * MS
    assert told == [ReadSectionBegun, ReadSectionEnded]


@pytest.mark.parametrize("model", MODELS)
def test_those_who_ask_before_a_grace_period_begins_share_it(model: str) -> None:
    machine = machine_of(model)
    writers: list[int] = []
    machine.start(synchronize(machine, 0, writers), cpu="cpu0", name="first")
    machine.start(synchronize(machine, 300 * US, writers), cpu="cpu1", name="second")
    machine.start(synchronize(machine, 400 * US, writers), cpu="cpu2", name="third")
    machine.go(until=200 * MS)
    assert len(writers) == 3
    assert machine.kernel.counters()["grace_periods"] == 2, "the second began after the first had been asked for"


def test_who_looks_late_finds_its_grace_period_over() -> None:
    """Others have passed since: a thread that comes first has had the CPU."""
    machine = machine_of()
    late: list[int] = []
    others: list[int] = []

    async def busy() -> None:
        await Work(50 * MS)

    async def keep() -> None:
        await Sleep(100 * US)
        await machine.kernel.spawn("busy", busy(), "cpu0", priority=1)

    async def again() -> None:
        for _ in range(5):
            await synchronize(machine, 0, others)

    machine.start(synchronize(machine, 0, late), cpu="cpu0", name="late")
    machine.start(keep(), cpu="cpu0", name="keep")
    machine.start(again(), cpu="cpu1")
    machine.go(until=500 * MS)
    assert others[-1] < 50 * MS < late[0] < 51 * MS


@pytest.mark.parametrize("at", range(1, 12))
def test_a_request_that_was_interrupted_takes_back_no_later_one(at: int) -> None:
    """While its CPU is kept, the grace period that it asks for begins, and another thread asks for the next."""
    machine = machine_of("")
    ends: list[int] = []

    async def keep() -> None:
        await Work(300 * US)

    async def interrupted() -> None:
        await OnInterrupt(99, keep)
        await synchronize(machine, 5 * MS - machine.sim.now, ends)

    machine.sim.at(5 * MS + at * STEP, 1 << 62, lambda: machine.cpus["cpu0"].message(99))
    machine.start(interrupted(), cpu="cpu0")
    machine.start(synchronize(machine, 5 * MS + 50 * US, ends), cpu="cpu1")
    machine.start(synchronize(machine, 5 * MS + 150 * US, ends), cpu="cpu2")
    machine.go(until=100 * MS)
    assert len(ends) == 3
    assert machine.kernel.counters()["grace_periods"] == 2


@pytest.mark.parametrize("outer", [0, 1])
def test_a_reader_that_dies_in_its_section_holds_up_nobody(outer: int) -> None:
    """Nor does one that dies in a section inside of another one."""
    machine = machine_of()
    writers: list[int] = []

    async def dies() -> None:
        for _ in range(outer):
            await machine.kernel.rcu.read().__aenter__()
        async with machine.kernel.rcu.read():
            await Work(10 * MS)
            raise Oops("null pointer")

    machine.start(dies(), cpu="cpu0")
    machine.start(synchronize(machine, 5 * MS, writers), cpu="cpu1")
    machine.go(until=200 * MS)
    assert writers
    assert writers[0] < 13 * MS


def test_waiting_for_a_grace_period_inside_a_read_section_is_reported() -> None:
    machine = machine_of()

    async def body() -> None:
        async with machine.kernel.rcu.read():
            await machine.kernel.rcu.synchronize()

    machine.start(body())
    machine.go(until=100 * MS)
    assert machine.log == ["oops: waiting for a grace period in an RCU read section"]


# --- Always ----------------------------------------------------------------------------------------------------------

SECTION = st.tuples(st.integers(0, 2), st.integers(0, 8000), st.integers(1, 9000))


@given(
    st.lists(SECTION, max_size=8), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8000)), min_size=1, max_size=4)
)
@settings(derandomize=True, deadline=None, max_examples=10)
def test_no_section_lies_across_a_whole_grace_period(
    sections: list[tuple[int, int, int]], waits: list[tuple[int, int]]
) -> None:
    """Whatever began before a wait did has ended when the wait has, and every wait ends."""
    machine = machine_of()
    spans: list[list[int]] = []
    periods: list[list[int]] = []

    async def reader(start: int, duration: int) -> None:
        await Sleep(start)
        async with machine.kernel.rcu.read():
            span = [machine.sim.now]
            spans.append(span)
            await Work(duration)
            span.append(machine.sim.now)

    async def writer(start: int) -> None:
        await Sleep(start)
        period = [machine.sim.now]
        periods.append(period)
        await machine.kernel.rcu.synchronize()
        period.append(machine.sim.now)

    for index, (cpu, start, duration) in enumerate(sections):
        machine.start(reader(start * US, duration * US), cpu=f"cpu{cpu}", name=f"reader{index}")
    for index, (cpu, start) in enumerate(waits):
        machine.start(writer(start * US), cpu=f"cpu{cpu}", name=f"writer{index}")
    machine.go(until=1 * S)
    assert all(len(period) == 2 for period in periods)
    for began, ended in periods:
        for entered, left in spans:
            assert not (entered < began and ended < left)


# --- Stalls ----------------------------------------------------------------------------------------------------------


def test_a_reader_of_ninety_seconds_is_warned_of_at_21_s_and_costs_little() -> None:
    machine = machine_of()
    ends: list[int] = []
    writers: list[int] = []
    machine.start(read(machine, 0, 90 * S, ends), cpu="cpu0", name="reader")
    machine.start(synchronize(machine, 3 * S, writers), cpu="cpu1")
    switches: list[Switched] = []
    machine.sim.probe(Switched).watch(switches.append)
    warned: list[int] = []
    machine.sim.probe(KernelLog).watch(lambda event: warned.append(event.time))
    machine.go(until=200 * S)
    assert len(switches) < 30, "nobody looks while nothing changes"
    assert 90 * S < writers[0] < 90 * S + 2 * SCAN
    stalls = [text.partition(" for ")[2].split(" (")[0] for text in machine.log]
    assert stalls == ["21 s on cpu0.reader", "84 s on cpu0.reader"]
    assert [abs(at - 3 * S - age * S) <= SCAN for at, age in zip(warned, (21, 84), strict=True)] == [True] * 2


def test_a_cpu_that_keeps_its_interrupts_masked_is_warned_of_by_its_name() -> None:
    machine = machine_of()
    writers: list[int] = []

    async def masked() -> None:
        async with machine.kernel.irqs_off():
            await Work(30 * S)

    machine.start(masked(), cpu="cpu0")
    machine.start(synchronize(machine, 1 * S, writers), cpu="cpu1")
    machine.go(until=40 * S)
    assert machine.log == ["warning: rcu: grace period 1 has stalled for 21 s on cpu0"]
    assert writers
