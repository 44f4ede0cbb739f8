"""Schedules: the actions of a CPU have stable names, and what is told to wait obeys every order that binds it."""

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
    Load,
    Membarrier,
    MmioRead,
    MmioWrite,
    OnInterrupt,
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
from tests.hw.machines import DEVICE, EXECUTORS, Machine, X, Y

HOLD = 5 * US


class Explored:
    """A machine that follows a schedule; `names` are the actions in the order in which they took hold.

    What asks nobody is `told`.
    """

    def __init__(self, schedule: Mapping[str, int], threads: Mapping[str, list[Op[Any]]], **options: Any) -> None:
        cpus = sorted({name.partition(".")[0] for name in threads})
        self.machine = Machine(len(cpus), chooser=Scheduled(0, schedule), hold_ps=HOLD, **options)
        self.taken: list[Taken] = []
        self.results: dict[str, list[Any]] = {name: [] for name in threads}
        self.told: list[Taken] = []
        self.machine.sim.actions.watchers.append(lambda taken: (self.taken if taken.asks else self.told).append(taken))
        self.machine.sim.explore()
        for name, ops in threads.items():
            cpu, _, thread = name.partition(".")
            self.machine.peers[cpu].start(thread, self._body(name, ops))
        self.machine.run()

    async def _body(self, name: str, ops: list[Op[Any]]) -> None:
        for op in ops:
            self.results[name].append(await op)

    @property
    def names(self) -> list[str]:
        return [taken.name for taken in self.taken]

    def time(self, name: str) -> int:
        return next(taken.time for taken in self.taken if taken.name == name)


def test_effects_are_named_by_thread_kind_and_count() -> None:
    run = Explored(
        {},
        {
            "cpu0.t0": [
                *(Store(X, 1), Load(Y), Fence("rw", "rw"), Load(X), Atomic(Amo.ADD, X, 1)),
                *(MmioWrite(DEVICE, 1), MmioRead(DEVICE)),
            ]
        },
    )
    assert run.names == [f"cpu0.t0.{what}" for what in ("ld#0", "st#0", "ld#1", "amo#0", "mw#0", "mr#0")]
    assert {taken.owner for taken in run.taken} == {"cpu0.t0"}


def test_preemption_renames_nothing() -> None:
    ops = [Store(X, 1), Work(3 * US), Load(X), Work(3 * US), Store(Y, 1)]
    alone = Explored({}, {"cpu0.t0": ops})
    shared = Explored({}, {"cpu0.t0": ops, "cpu0.t1": [Work(20 * US), Load(Y)]}, slice="1 us")
    assert [name for name in shared.names if "t0" in name] == alone.names


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_held_store_stays_in_the_buffer_and_keeps_its_name(executor: Any) -> None:
    ops = [Store(X, 1), Work(20 * US)]
    free, held = (Explored(schedule, {"cpu0.t0": ops}, executor=executor) for schedule in ({}, {"cpu0.t0.st#0": 2}))
    assert held.names == ["cpu0.t0.st#0"]
    assert held.time("cpu0.t0.st#0") == free.time("cpu0.t0.st#0") + HOLD


def test_a_store_held_for_a_conflict_takes_hold_after_it() -> None:
    threads = {"cpu0.t0": [Store(X, 1), Work(20 * US)], "cpu1.t0": [Work(1 * US), Load(X)]}
    run = Explored({"cpu0.t0.st#0": 1}, threads)
    assert run.names == ["cpu1.t0.ld#0", "cpu0.t0.st#0"]
    assert run.time("cpu0.t0.st#0") == run.time("cpu1.t0.ld#0") + 1
    assert run.results["cpu1.t0"][-1] == 0


def test_a_load_of_the_same_place_is_no_conflict_for_a_load() -> None:
    threads = {"cpu0.t0": [Load(X)], "cpu1.t0": [Work(1 * US), Load(X)]}
    run = Explored({"cpu0.t0.ld#0": 1}, threads)
    assert run.time("cpu0.t0.ld#0") - HOLD < run.time("cpu1.t0.ld#0")
    assert run.names == ["cpu1.t0.ld#0", "cpu0.t0.ld#0"]


def test_a_held_load_keeps_its_thread_waiting() -> None:
    free, held = (Explored(schedule, {"cpu0.t0": [Load(X), Load(Y)]}) for schedule in ({}, {"cpu0.t0.ld#0": 2}))
    assert held.names == ["cpu0.t0.ld#0", "cpu0.t0.ld#1"]
    assert held.time("cpu0.t0.ld#1") == free.time("cpu0.t0.ld#1") + HOLD


def test_a_fence_binds_a_held_store() -> None:
    ops = [Store(X, 1), Fence("w", "w"), Store(Y, 1), Work(20 * US)]
    assert Explored({"cpu0.t0.st#0": 2}, {"cpu0.t0": ops}).names == ["cpu0.t0.st#0", "cpu0.t0.st#1"]


def test_without_the_fence_a_later_store_overtakes_a_held_one() -> None:
    ops = [Store(X, 1), Store(Y, 1), Work(20 * US)]
    run = Explored({"cpu0.t0.st#0": 2}, {"cpu0.t0": ops})
    assert [taken.footprint for taken in run.taken] == [(Y,), (X,)]


def test_under_tso_a_held_store_holds_up_those_behind_it() -> None:
    ops = [Store(X, 1), Store(Y, 1), Work(20 * US)]
    run = Explored({"cpu0.t0.st#0": 2}, {"cpu0.t0": ops}, memory_model="tso")
    assert [taken.footprint for taken in run.taken] == [(X,), (Y,)]


def test_a_held_register_write_holds_up_the_next_one_to_that_device_alone() -> None:
    ops = [MmioWrite(DEVICE, 1), MmioWrite(DEVICE, 2), MmioWrite(DEVICE + 4096, 3), Work(20 * US)]
    run = Explored({"cpu0.t0.mw#0": 2}, {"cpu0.t0": ops})
    assert run.machine.other.log[0][0] < run.machine.device.log[0][0]
    assert [value for _, _, _, value in run.machine.device.log] == [1, 2]


def test_a_load_may_be_told_to_return_a_past_state() -> None:
    threads = {"cpu0.t0": [Store(X, 1), Work(5 * US)], "cpu1.t0": [Work(2 * US), Load(X)]}
    assert Explored({}, threads).results["cpu1.t0"][-1] == 1
    assert Explored({"cpu1.t0.ld#0.past": 1}, threads).results["cpu1.t0"][-1] == 0


def test_a_past_state_that_a_fence_or_dependency_rules_out_is_not_offered() -> None:
    def results(*loads: Op[Any]) -> list[Any]:
        threads = {
            "cpu0.t0": [Store(X, 1), Fence("w", "w"), Store(Y, 1), Work(5 * US)],
            "cpu1.t0": [Work(2 * US), *loads],
        }
        schedule = {"cpu1.t0.ld#1.past": 1}
        return [value for value in Explored(schedule, threads).results["cpu1.t0"] if value is not None]

    assert results(Load(Y), Load(X)) == [1, 0]
    assert results(Load(Y), Fence("r", "r"), Load(X)) == [1, 1]
    assert results(Load(Y, acquire=True), Load(X)) == [1, 1]
    assert results(Atomic(Amo.CAS, Y, 9, expect=5), Load(X)) == [1, 0]
    assert results(Atomic(Amo.CAS, Y, 9, expect=5, acquire=True), Load(X)) == [1, 1], "also if it stores nothing"


def test_states_older_than_the_limit_are_not_offered() -> None:
    threads = {"cpu0.t0": [Store(X, 1), Work(5 * US)], "cpu1.t0": [Work(3 * US), Load(X)]}
    for history, seen in [("5 us", 0), ("1 us", 1)]:
        run = Explored({"cpu1.t0.ld#0.past": 1}, threads, history=history)
        assert run.results["cpu1.t0"][-1] == seen


def test_a_load_goes_back_behind_nothing_that_was_read_before_very_much_was_written() -> None:
    """A hart that has so much to remember forgets what has ended, and that alone."""
    much = StoreBlock(X + 4096, (1,) * 4104)
    threads: dict[str, list[Op[Any]]] = {
        "cpu0.t0": [Store(X, 1), Work(50 * US)],
        "cpu1.t0": [Work(2 * US), Load(X), much, Fence("w", "w"), Work(1 * US), Load(Y), Load(X)],
    }
    run = Explored({"cpu1.t0.ld#2.past": 1}, threads, history="1 ms")
    assert [value for value in run.results["cpu1.t0"] if value is not None] == [1, 0, 1]


def test_a_switch_between_threads_is_a_fence() -> None:
    """What a thread loads after it was switched to is not older than the switch."""
    threads = {"cpu0.t0": [Store(X, 1), Work(50 * US)], "cpu1.t0": [Load(Y), Sleep(5 * US), Load(X)]}
    run = Explored({"cpu1.t0.ld#1.past": 1}, threads)
    assert run.results["cpu1.t0"][-1] == 1


def test_a_membarrier_is_a_fence_of_every_cpu() -> None:
    """What another CPU loads after it is not older, and what it stores does not overtake a held store from before."""
    loads: list[Op[Any]] = [Work(2 * US), Load(X)]
    run = Explored({"cpu1.t0.ld#0.past": 1}, {"cpu0.t0": [Store(X, 1), Work(1 * US), Membarrier()], "cpu1.t0": loads})
    assert run.results["cpu1.t0"][-1] == 1
    stores: list[Op[Any]] = [Store(X, 1), Work(2 * US), Store(Y, 1), Work(20 * US)]
    run = Explored({"cpu1.t0.st#0": 2}, {"cpu0.t0": [Work(1 * US), Membarrier()], "cpu1.t0": stores})
    assert run.names == ["cpu1.t0.st#0", "cpu1.t0.st#1"]


def interrupted(schedule: Mapping[str, int], *wires: tuple[int, int, bool]) -> list[int]:
    """When interrupt 1 is taken, of which the wire goes high at 2 us; later `wires` are (time, vector, level)."""
    machine = Machine(chooser=Scheduled(0, schedule), hold_ps=HOLD, timing={"switch": 0})
    log: list[int] = []

    async def handler() -> None:
        machine.cpu.wire(1, False)
        log.append(machine.sim.now // US)

    async def body() -> None:
        await Work(20 * US)

    machine.cpu.interrupts.connect(1, handler)
    machine.cpu.start("t0", body())
    for time, vector, level in ((2, 1, True), *wires):
        machine.at(time * US, partial(machine.cpu.wire, vector, level))
    machine.sim.explore()
    machine.run()
    return log


def test_a_held_interrupt_is_taken_later() -> None:
    assert interrupted({}) == [3]
    assert interrupted({"cpu0.irq#0": 2}) == [8]


def test_a_held_interrupt_is_held_whatever_other_wires_do_and_is_another_one_once_its_own_has_been_low() -> None:
    held = {"cpu0.irq#0": 2}
    assert interrupted(held, (4, 2, True), (5, 2, False)) == [8]
    assert interrupted(held, (4, 1, False)) == []
    assert interrupted(held, (4, 1, False), (5, 1, True)) == [6]
    assert interrupted({**held, "cpu0.irq#1": 2}, (4, 1, False), (5, 1, True)) == [11]


def test_a_schedule_gives_the_same_run_on_either_executor() -> None:
    threads = {
        "cpu0.t0": [Store(X, 1), Store(Y, 1), Load(Y), MmioWrite(DEVICE, 1), Atomic(Amo.ADD, X, 1)],
        "cpu1.t0": [Load(Y), Load(X), Store(X, 5), Fence("w", "o"), MmioWrite(DEVICE, 2), MmioRead(DEVICE)],
    }
    schedule = {"cpu0.t0.st#0": 1, "cpu1.t0.ld#0": 2, "cpu1.t0.mw#0": 1, "cpu0.t0.amo#0": 2}
    plain, agenda = (Explored(schedule, threads, executor=executor) for executor in EXECUTORS)
    assert [(each.time, each.name) for each in plain.taken] == [(each.time, each.name) for each in agenda.taken]
    assert plain.results == agenda.results


def test_a_load_that_holds_for_nothing_else_takes_its_latency() -> None:
    assert Explored({}, {"cpu0.t0": [Load(X)]}).time("cpu0.t0.ld#0") == 1502 * NS


class TestPlaces:
    """An action knows where in the source its operation stands, and how many bytes it touches."""

    PREFIX = f"{__name__}.TestPlaces"

    def taken(self, *bodies: Any, cpus: int = 1, explore: bool = True) -> dict[str, tuple[str, int]]:
        """The place and size of each action that the bodies take, by name."""
        machine = Machine(cpus, chooser=Scheduled(0, {}) if explore else None, hold_ps=HOLD)
        found: list[Taken] = []
        machine.sim.actions.watchers.append(found.append)
        machine.sim.explore()
        for number, body in enumerate(bodies):
            machine.cpus[number].start("t0", body)
        machine.at(30 * US, lambda: machine.cpu.message(3))
        machine.run()
        return {taken.name: (taken.place, taken.size) for taken in found if taken.asks}

    async def link(self) -> None:
        await Store(X, 1, 4)
        await Work(5 * US)
        await Load(X)
        await Atomic(Amo.CAS, X, 2, expect=1)
        await StoreBlock(Y, (0,) * 8)

    async def registers(self) -> None:
        await self.link()
        await MmioWrite(DEVICE, 1)
        await MmioRead(DEVICE)
        await Poll(DEVICE, 1, timeout_ps=1 * US)
        await PollEither(Poll(DEVICE, 1, timeout_ps=1 * US), Poll(DEVICE + 4, 1, timeout_ps=1 * US))
        await Park(X, 0)

    def test_each_effect_names_the_line_that_awaited_it_also_one_that_comes_later(self) -> None:
        found = self.taken(self.registers())
        assert found["cpu0.t0.st#0"] == (f"{self.PREFIX}.link+1", 4)
        assert found["cpu0.t0.ld#0"] == (f"{self.PREFIX}.link+3", 8)
        assert found["cpu0.t0.ld#1"] == (f"{self.PREFIX}.link+4", 8)
        assert found["cpu0.t0.amo#0"] == (f"{self.PREFIX}.link+4", 8)
        assert found["cpu0.t0.st#1"] == (f"{self.PREFIX}.link+5", 64)
        assert found["cpu0.t0.mw#0"] == (f"{self.PREFIX}.registers+2", 4)
        reads = [place.rpartition("+")[2] for name, (place, _) in found.items() if ".mr#" in name]
        assert sorted(set(reads)) == ["3", "4", "5"]
        assert reads == sorted(reads)
        assert found["cpu0.t0.ld#2"] == (f"{self.PREFIX}.registers+6", 8)

    def test_an_interrupt_handler_and_a_spawned_thread_have_places_of_their_own(self) -> None:
        async def handler() -> None:
            await Store(X, 1)

        async def child() -> None:
            await Load(Y)

        async def body() -> None:
            await OnInterrupt(3, handler)
            await Spawn("child", child())
            await Work(60 * US)

        found = self.taken(body())
        here = f"{self.PREFIX}.test_an_interrupt_handler_and_a_spawned_thread_have_places_of_their_own.<locals>"
        assert found["cpu0.irq3.st#0"] == (f"{here}.handler+1", 8)
        assert found["cpu0.child.ld#0"] == (f"{here}.child+1", 8)
        assert found["cpu0.irq#0"] == ("", 0)

    def test_a_place_that_was_set_is_kept_whatever_the_operation_is_made_of(self) -> None:
        kinds: list[Op[Any]] = [
            *(Store(X, 1), Load(X), Atomic(Amo.CAS, X, 2), Fence("rw", "rw"), Park(X, 0), StoreBlock(Y, (0,))),
            *(MmioWrite(DEVICE, 1), MmioRead(DEVICE), Poll(DEVICE, 1, timeout_ps=1)),
            PollEither(Poll(DEVICE, 1, timeout_ps=1), Poll(DEVICE + 4, 1, timeout_ps=1)),
        ]

        async def executed() -> None:
            for line, op in enumerate(kinds):
                op.place = f"iommu.c:{line}"
                await op

        found = self.taken(executed())
        assert {place for place, _ in found.values()} == {f"iommu.c:{line}" for line in range(10) if line != 3}

    def test_an_unexplored_run_looks_at_no_frame(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: object) -> str:
            raise AssertionError

        monkeypatch.setattr("cosim.hw.cpu.thread.place_of", refuse)
        monkeypatch.setattr("cosim.sim.plain.place_of", refuse)
        assert self.taken(self.registers(), explore=False) == {}
        with pytest.raises(AssertionError):
            self.taken(self.registers())
