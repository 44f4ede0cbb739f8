"""A CPU whose access a schedule holds goes on without it, as far as program order and its masks allow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from cosim.sim.actions import Taken
from cosim.sim.chooser import Scheduled
from cosim.sim.operations import (
    Amo,
    Atomic,
    Fence,
    IrqDisable,
    IrqEnable,
    Load,
    MaskInterrupt,
    Membarrier,
    MmioRead,
    Now,
    OnInterrupt,
    Op,
    PreemptDisable,
    Sleep,
    Store,
    Touch,
    Work,
)
from cosim.units.quantities import NS, US
from tests.hw.machines import DEVICE, EXECUTORS, Machine, X, Y, Z

HOLD = 20 * US
INTERRUPTED = 5 * US
VECTOR = 3


class Held:
    """A machine whose `ops` run in ``cpu0.t0``, with an interrupt at 5 us whose handler does `handler`."""

    def __init__(
        self,
        schedule: Mapping[str, int],
        *ops: Op[Any],
        handler: tuple[Op[Any], ...] = (Load(Z),),
        beside: Mapping[str, tuple[Op[Any], ...]] | None = None,
        touches: tuple[int, ...] = (),
        **options: Any,
    ) -> None:
        self.chooser = Scheduled(0, schedule)
        self.machine = machine = Machine(2, chooser=self.chooser, hold_ps=HOLD, **options)
        self.taken: list[Taken] = []
        self.results: dict[str, list[Any]] = {}
        machine.sim.actions.watchers.append(self.taken.append)
        machine.sim.explore()

        async def interrupt() -> None:
            await self.body("irq", *handler)

        ops = (OnInterrupt(VECTOR, interrupt, lambda: touches), *ops)
        for name, its in {"cpu0.t0": ops, **(beside or {})}.items():
            cpu, _, thread = name.partition(".")
            machine.peers[cpu].start(thread, self.body(name, *its))
        machine.at(INTERRUPTED, lambda: machine.cpu.message(VECTOR))
        machine.run()
        clocks = machine.cpu.clocks()
        assert all(sum(clock.parts.values()) == clock.time for clock in clocks.values())

    async def body(self, name: str, *ops: Op[Any]) -> None:
        results = self.results[name] = []
        for op in ops:
            results.append(await op)

    def time(self, name: str) -> int:
        return next(taken.time for taken in self.taken if taken.name == name)

    def held(self, name: str) -> int:
        """How long an action was kept from taking hold."""
        return next(taken.time - taken.asked for taken in self.taken if taken.name == name)


HELD = {"ld": Load(X), "amo": Atomic(Amo.ADD, X, 1)}


@pytest.mark.parametrize("verb", HELD)
def test_an_interrupt_is_taken_before_a_held_access_which_then_asks_again_when_its_hold_ends(verb: str) -> None:
    run = Held({f"cpu0.t0.{verb}#0": 2}, HELD[verb])
    assert run.time("cpu0.irq#0") == INTERRUPTED + 1
    assert run.time("cpu0.irq3.ld#0") < run.time(f"cpu0.t0.{verb}#0")
    assert run.held(f"cpu0.t0.{verb}#0") == HOLD


def test_a_handler_that_outlasts_the_hold_ends_before_the_held_access_asks_again() -> None:
    run = Held({"cpu0.t0.ld#0": 2}, Load(X), handler=(Work(2 * HOLD), Store(X, 7)))
    assert run.held("cpu0.t0.ld#0") > 2 * HOLD
    assert run.results["cpu0.t0"] == [None, 7], "what the handler has stored comes before it"


def test_a_held_load_is_ordered_anew_behind_what_the_handler_has_stored() -> None:
    """The handler's store to half of the word cannot be forwarded: the load waits until it has left the buffer."""
    handler = (Work(HOLD - INTERRUPTED), Store(X, 7, 4))
    run = Held({"cpu0.t0.ld#0": 2}, Load(X), handler=handler, timing={"drain": "5 us"})
    names = [taken.name for taken in run.taken]
    assert names.index("cpu0.irq3.st#0") < names.index("cpu0.t0.ld#0")
    assert run.held("cpu0.t0.ld#0") > HOLD
    assert run.results["cpu0.t0"] == [None, 7]


@pytest.mark.parametrize("before", [IrqDisable(), MaskInterrupt(VECTOR, True)])
def test_no_interrupt_is_taken_that_is_masked(before: Op[Any]) -> None:
    after = IrqEnable() if isinstance(before, IrqDisable) else MaskInterrupt(VECTOR, False)
    run = Held({"cpu0.t0.ld#0": 2}, before, Load(X), after, Work(1 * US))
    assert run.time("cpu0.irq#0") >= run.time("cpu0.t0.ld#0")


def test_a_held_load_of_a_handler_keeps_the_cpu() -> None:
    run = Held({"cpu0.irq3.ld#0": 2}, Work(10 * US), Load(X), beside={"cpu0.t1": (Load(Y),)})
    assert run.held("cpu0.irq3.ld#0") == HOLD
    assert run.time("cpu0.t0.ld#0") > run.time("cpu0.irq3.ld#0")


OTHER = {"cpu0.t1": (Work(2 * US), Load(Y))}


@pytest.mark.parametrize(
    ("options", "before", "first"),
    [
        ({}, (), True),
        ({"preempt": "voluntary"}, (), False),
        ({}, (PreemptDisable(),), False),
        ({}, (IrqDisable(),), False),
    ],
)
def test_another_thread_has_the_cpu_during_a_hold_if_it_might_be_preempted(
    options: dict[str, Any], before: tuple[Op[Any], ...], first: bool
) -> None:
    run = Held({"cpu0.t0.ld#0": 2}, *before, Load(X), beside=OTHER, **options)
    assert (run.time("cpu0.t1.ld#0") < run.time("cpu0.t0.ld#0")) is first


def test_the_other_thread_gives_the_cpu_back_when_the_access_may_ask_again() -> None:
    """Not at the end of its own slice, which is 4 ms."""
    run = Held({"cpu0.t0.ld#0": 2}, Load(X), beside={"cpu0.t1": (Work(100 * US), Load(Y))})
    assert HOLD <= run.held("cpu0.t0.ld#0") < HOLD + 5 * US
    assert run.time("cpu0.t1.ld#0") > run.time("cpu0.t0.ld#0")


def test_two_threads_of_a_cpu_are_in_conflict() -> None:
    run = Held({"cpu0.t0.ld#0": 1}, Load(Y), beside={"cpu0.t1": (Atomic(Amo.ADD, Y, 1),)})
    assert run.time("cpu0.t1.amo#0") < run.time("cpu0.t0.ld#0")
    assert run.held("cpu0.t0.ld#0") < HOLD
    assert run.results["cpu0.t0"] == [None, 1]


def test_a_register_read_that_is_held_has_left_and_keeps_the_cpu() -> None:
    run = Held({"cpu0.t0.mr#0": 2}, MmioRead(DEVICE), beside=OTHER)
    assert run.held("cpu0.t0.mr#0") == HOLD
    assert min(run.time("cpu0.irq#0"), run.time("cpu0.t1.ld#0")) > run.time("cpu0.t0.mr#0")


ACCESSES: list[tuple[str, Op[Any], int]] = [
    ("cpu0.t0.ld#0", Load(X, 4), 4),
    ("cpu0.t0.amo#0", Atomic(Amo.ADD, X, 1), 8),
    ("cpu0.t0.mr#0", MmioRead(DEVICE), 4),
    ("cpu0.t0.lock#0", Touch("lock", (X,), changes=True), 0),
]


@pytest.mark.parametrize("asks_again", [1, 2])
@pytest.mark.parametrize(("name", "op", "size"), [*ACCESSES, ("cpu0.irq3.ld#0", Work(10 * US), 8)])
def test_what_asks_again_may_be_held_again(name: str, op: Op[Any], size: int, asks_again: int) -> None:
    again = {f"{name}.{number}": 2 for number in range(1, asks_again + 1)}
    run = Held({name: 2, **again}, op, Work(200 * US))
    holds = 1 + asks_again
    assert holds * HOLD <= run.held(name) < holds * HOLD + 5 * US
    assert [(taken.holds, taken.size) for taken in run.taken if taken.name == name] == [(holds, size)]


@pytest.mark.parametrize(("name", "op", "size"), ACCESSES)
def test_a_hold_counts_for_the_part_of_what_is_held_and_an_interrupt_during_it_for_that(
    name: str, op: Op[Any], size: int
) -> None:
    free, held = (Held(schedule, op, Work(200 * US), Now()).results["cpu0.t0"][-1] for schedule in ({}, {name: 2}))
    assert held.time - free.time > HOLD - INTERRUPTED
    assert {**free.parts, op.part: free.parts[op.part] + held.time - free.time} == held.parts


@pytest.mark.parametrize(
    "behind",
    [(Fence("w", "r"), Load(Y)), (Load(X),), (Membarrier(),), tuple(Store(Y + 8 * n, 1) for n in range(20))],
    ids=["a fence", "part of a word", "a membarrier", "a full buffer"],
)
def test_what_waits_for_a_held_store_keeps_no_interrupt_from_its_cpu(behind: tuple[Op[Any], ...]) -> None:
    """Another thread would wait for the store as well: to switch threads is a full fence."""
    schedule = {f"cpu0.t0.st#{number}": 2 for number in range(21)}
    run = Held(schedule, Store(X, 1, 4), *behind, store_buffer=4)
    assert run.held("cpu0.t0.st#0") >= HOLD
    assert run.time("cpu0.irq#0") < run.time("cpu0.t0.st#0")


def test_a_membarrier_of_another_cpu_waits_openly_for_a_held_store() -> None:
    barrier = {"cpu1.m": (Store(Z, 1), Work(1 * US), Membarrier())}
    run = Held({"cpu1.m.st#0": 2}, Work(2 * US), Membarrier(), beside=barrier)
    assert run.time("cpu0.irq#0") < run.time("cpu1.m.st#0")


# --- Interrupts ------------------------------------------------------------------------------------------------------


def test_a_held_interrupt_is_taken_after_what_it_wakes_has_been_touched_by_another() -> None:
    other = {"cpu1.w": (Work(8 * US), Atomic(Amo.OR, Z, 1))}
    free = Held({}, Work(50 * US), touches=(Z,), beside=other)
    held = Held({"cpu0.irq#0": 1}, Work(50 * US), touches=(Z,), beside=other)
    assert free.time("cpu0.irq#0") < free.time("cpu1.w.amo#0")
    assert 0 < held.time("cpu0.irq#0") - held.time("cpu1.w.amo#0") < 1 * NS
    unrelated = Held({"cpu0.irq#0": 1}, Work(50 * US), beside=other)
    assert unrelated.held("cpu0.irq#0") == HOLD + 1


async def ignored() -> None:
    pass


@pytest.mark.parametrize("op", [MaskInterrupt(VECTOR, False), OnInterrupt(VECTOR, ignored)])
def test_a_switch_and_a_wake_up_and_what_raises_masks_or_connects_an_interrupt_are_told(op: Op[Any]) -> None:
    run = Held({}, op, Load(X))
    told = {taken.agent: taken.footprint for taken in run.taken if not taken.asks}
    assert told == {
        "cpu0.t0.wake": (("cpu0", "running"),),
        "cpu0.switch": (("cpu0", "running"),),
        "cpu0.t0.mask": (("cpu0", "irq", VECTOR),),
        "cpu0.message": (("cpu0", "irq", VECTOR),),
    }


def test_each_wake_up_is_told_when_it_comes() -> None:
    """What is added to twice 10 us are the switches, and the interrupt."""
    run = Held({}, Sleep(10 * US), Sleep(10 * US))
    assert [taken.time // US for taken in run.taken if taken.agent == "cpu0.t0.wake"] == [0, 11, 23]


def test_an_interrupt_that_is_withdrawn_while_it_is_held_takes_its_name_along() -> None:
    chooser = Scheduled(0, {"cpu0.irq#0": 2})
    machine = Machine(chooser=chooser, hold_ps=HOLD)
    taken: list[Taken] = []
    machine.sim.actions.watchers.append(lambda each: taken.append(each) if each.asks else None)

    async def handler() -> None:
        machine.cpu.wire(VECTOR, False)

    async def body() -> None:
        await OnInterrupt(VECTOR, handler)
        await Work(50 * US)

    machine.cpu.start("t0", body())
    for time, level in ((5, True), (10, False), (15, True)):
        machine.at(time * US, partial(machine.cpu.wire, VECTOR, level))
    machine.sim.explore()
    machine.run()
    assert [(each.name, each.time // US) for each in taken] == [("cpu0.irq#1", 15)]


def test_of_two_interrupts_at_once_each_is_asked_for_by_a_name_of_its_own() -> None:
    machine = Machine(chooser=Scheduled(0, {"cpu0.irq#1": 2}), hold_ps=HOLD)
    taken: list[Taken] = []
    machine.sim.actions.watchers.append(lambda each: taken.append(each) if each.asks else None)

    async def body() -> None:
        for vector in (VECTOR, VECTOR + 1):
            await OnInterrupt(vector, ignored)
        await Work(50 * US)

    machine.cpu.start("t0", body())
    for vector in (VECTOR, VECTOR + 1):
        machine.at(INTERRUPTED, partial(machine.cpu.message, vector))
    machine.sim.explore()
    machine.run()
    assert [(each.name, each.holds) for each in taken] == [("cpu0.irq#0", 0), ("cpu0.irq#1", 1)]


@pytest.mark.parametrize(
    ("withdraw", "again"),
    [
        (MaskInterrupt(VECTOR, True), MaskInterrupt(VECTOR, False)),
        (OnInterrupt(VECTOR, None), OnInterrupt(VECTOR, ignored)),
    ],
    ids=["masked", "disconnected"],
)
def test_so_does_one_that_software_keeps_away_while_it_is_held(withdraw: Op[Any], again: Op[Any]) -> None:
    run = Held({"cpu0.irq#0": 2}, Work(8500 * NS), withdraw, Work(5 * US), again, Work(50 * US))
    taken = [(each.name, each.time // US) for each in run.taken if each.agent == "cpu0.irq"]
    assert taken == [("cpu0.irq#1", 15)]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_either_executor_lets_the_same_go_on(executor: Any) -> None:
    schedule = {"cpu0.t0.ld#0": 2, "cpu0.t0.st#0": 2, "cpu0.irq#0": 1, "cpu0.t1.ld#0": 1}
    ops = (Store(X, 1), Load(Y), Fence("rw", "rw"), Load(X))
    plain, other = (Held(schedule, *ops, beside=OTHER, executor=each) for each in (EXECUTORS[0], executor))
    assert [(each.name, each.time, each.holds) for each in plain.taken] == [
        (each.name, each.time, each.holds) for each in other.taken
    ]
