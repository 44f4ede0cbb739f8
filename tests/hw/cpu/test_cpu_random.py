"""Random threads, interrupts and latencies: the sums hold, nothing gets lost, and both executors run alike."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import Switched, ThreadEnded
from cosim.sim.executor import Executor
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
    MmioWrite,
    Now,
    Op,
    Park,
    Poll,
    PreemptDisable,
    PreemptEnable,
    Sleep,
    Spawn,
    Store,
    StoreBlock,
    Work,
)
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from tests.hw.machines import DEVICE, EXECUTORS, Machine, X, Y

PLACES = [X, X + 8, Y]
SETS = ["r", "w", "rw", "o", "i", "iorw"]
COSTS = ["load", "store", "drain", "block", "atomic", "fence", "mmio_read", "mmio_write", "mmio_arrival"]

durations = st.integers(0, 300)
places = st.sampled_from(PLACES)
registers = st.sampled_from([DEVICE, DEVICE + 4, DEVICE + 4096])
operations = st.one_of(
    st.builds(lambda place: lambda: Load(place), places),
    st.builds(lambda place, value: lambda: Store(place, value), places, st.integers(0, 3)),
    st.builds(lambda: lambda: StoreBlock(X, (1, 2))),
    st.builds(lambda place: lambda: Atomic(Amo.ADD, place, 1, release=True), places),
    st.builds(lambda before, after: lambda: Fence(before, after), st.sampled_from(SETS), st.sampled_from(SETS)),
    st.builds(lambda register: lambda: MmioRead(register), registers),
    st.builds(lambda register, value: lambda: MmioWrite(register, value), registers, st.integers(0, 3)),
    st.builds(lambda time: lambda: Work(time, part="lock"), durations),
    st.builds(lambda time: lambda: Sleep(time), durations),
    st.builds(
        lambda place, seen, time, spin: lambda: Park(place, seen, timeout_ps=time, poll_ps=7, spin=spin),
        *(places, st.integers(0, 2), durations, st.booleans()),
    ),
    st.builds(
        lambda seen, time, pause, sleep: lambda: Poll(DEVICE, seen, timeout_ps=time, pause_ps=pause, sleep=sleep),
        *(st.integers(0, 2), durations, st.integers(1, 40), st.booleans()),
    ),
    st.builds(lambda: lambda: Membarrier()),
    st.sampled_from([IrqDisable, PreemptDisable]),
)
threads = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.lists(operations, max_size=8)), min_size=1, max_size=4
)
CLOSING: dict[type, type[Op[Any]]] = {IrqDisable: IrqEnable, PreemptDisable: PreemptEnable}


class Run:
    """A random machine, run to its end: what each thread read and when, and what the CPUs did."""

    def __init__(
        self,
        bodies: list[tuple[int, int, list[Callable[[], Op[Any]]]]],
        interrupts: list[tuple[int, int]],
        executor: Callable[[Sim], Executor],
        **options: Any,
    ) -> None:
        machine = self.machine = Machine(2, executor=executor, **options)
        self.log: list[Any] = []
        self.clocks: dict[str, list[Instant]] = {}
        machine.sim.probe(Switched).watch(lambda event: self.log.append((event.time, event.who, event.thread)))
        machine.sim.probe(ThreadEnded).watch(lambda event: self.log.append((event.time, event.who, event.reason)))
        for cpu in machine.cpus:
            cpu.interrupts.connect(1, lambda cpu=cpu: self._handler(cpu))
        for time, number in interrupts:
            machine.at(time, lambda cpu=machine.cpus[number]: cpu.wire(1, True), Stage.INTERRUPT)
        for number, (where, priority, body) in enumerate(bodies):
            machine.cpus[where].start(f"t{number}", self._body(f"t{number}", body), priority=priority)
        machine.run()

    async def _handler(self, cpu: Any) -> None:
        await Load(X)
        cpu.wire(1, False)
        await MmioWrite(DEVICE + 8, 1)

    async def _body(self, name: str, body: list[Callable[[], Op[Any]]]) -> None:
        clocks = self.clocks.setdefault(name, [await Now()])
        open_sections: list[type[Op[Any]]] = []
        for make in body:
            op = make()
            if type(op) in (Sleep, Park, Poll, Membarrier):
                while open_sections:
                    await open_sections.pop()()
            if type(op) in CLOSING:
                open_sections.append(CLOSING[type(op)])
            result = await op
            clocks.append(await Now())
            self.log.append((name, type(op).__name__, result, clocks[-1].time))
        while open_sections:
            await open_sections.pop()()


options = st.fixed_dictionaries(
    {
        "memory_model": st.sampled_from(["sequential", "tso", "rvwmo"]),
        "preempt": st.sampled_from(["full", "voluntary"]),
        "slice": st.sampled_from(["50 ps", "1 ns"]),
        "store_buffer": st.integers(1, 4),
        "timing": st.fixed_dictionaries(
            {
                **{cost: st.integers(0, 40).map(lambda ps: f"{ps} ps") for cost in COSTS},
                "switch": st.sampled_from([0, "20 ps"]),
                "interrupt": st.just("10 ps"),
            }
        ),
    }
)
interrupts = st.lists(st.tuples(st.integers(1, 900), st.integers(0, 1)), max_size=4)


def all_ended(run: Run) -> bool:
    return not any(cpu.threads for cpu in run.machine.cpus)


def check(bodies: Any, raised: Any, its: Any) -> None:
    plain, agenda = (Run(bodies, raised, executor, **its) for executor in EXECUTORS)
    assert plain.log == agenda.log
    assert plain.machine.memory.snapshot() == agenda.machine.memory.snapshot()
    assert plain.machine.device.log == agenda.machine.device.log
    assert all_ended(plain)
    for clocks in plain.clocks.values():
        for earlier, later in pairwise(clocks):
            assert sum(later.since(earlier).values()) == later.time - earlier.time
        assert sum(clocks[-1].parts.values()) == clocks[-1].time
    assert sum(cpu.busy_ps for cpu in plain.machine.cpus) <= 2 * plain.machine.sim.now


@settings(derandomize=True, deadline=None, max_examples=6)
@given(threads, interrupts, options)
def test_random_threads_account_for_all_their_time_and_run_alike_on_either_executor(
    bodies: Any, raised: Any, its: Any
) -> None:
    check(bodies, raised, its)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=800)
@given(threads, interrupts, options)
def test_many_random_threads_account_for_all_their_time_and_run_alike_on_either_executor(
    bodies: Any, raised: Any, its: Any
) -> None:
    check(bodies, raised, its)


@settings(derandomize=True, deadline=None, max_examples=8)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=6), options)
def test_a_chain_of_threads_hands_its_stores_over(cpus: list[int], its: Any) -> None:
    """Each thread adds to what the one before it stored, with plain loads and stores: starting one is hand-over."""
    machine = Machine(2, **its)
    seen: list[int] = []

    async def link(left: list[int]) -> None:
        value = await Load(X)
        seen.append(value)
        await Store(X, value + 1)
        if left:
            await Spawn(f"link{len(left)}", link(left[1:]), f"cpu{left[0]}")

    machine.cpus[cpus[0]].start("link", link(cpus[1:]))
    machine.run()
    assert seen == list(range(len(cpus)))
