"""A deadlock is told at the end of a run: who waits, for what, and who has it; a long wait alone is none."""

from __future__ import annotations

import pytest

from cosim.sim.operations import Oops, Work
from cosim.sw.kernel.locks import Mutex, SpinLock
from cosim.sw.kernel.objects import Object, embed
from cosim.sw.kernel.thread_context import Held, ThreadContext, deadlocks
from tests.sw.machine import STEP, Machine


class Pair(Object):
    spin = embed(SpinLock)
    first = embed(Mutex)
    second = embed(Mutex)


def pair(machine: Machine) -> Pair:
    return Pair(machine.kernel.static(Pair.SIZE))


def told(machine: Machine) -> list[str]:
    machine.go()
    return [str(found).partition(", since")[0] for found in machine.kernel.deadlocks()]


@pytest.mark.parametrize("model", ["", "rvwmo"])
def test_two_threads_that_wait_for_each_other_are_both_named(model: str) -> None:
    machine = Machine(cpus=2, model=model)
    shared = pair(machine)

    async def nested(outer: Mutex, inner: Mutex) -> None:
        async with machine.kernel.mutex(outer):
            await Work(1_000_000)
            async with machine.kernel.mutex(inner):
                pass

    machine.start(nested(shared.first, shared.second), cpu="cpu0")
    machine.start(nested(shared.second, shared.first), cpu="cpu1")
    assert sorted(told(machine)) == [
        "deadlock: cpu0.t waits for Pair.second, which cpu1.t holds",
        "deadlock: cpu1.t waits for Pair.first, which cpu0.t holds",
    ]


@pytest.mark.parametrize("dies", [False, True])
def test_a_lock_whose_holder_has_ended_is_waited_for_in_vain_by_all(dies: bool) -> None:
    machine = Machine(cpus=3)
    shared = pair(machine)

    async def forgets() -> None:
        await machine.kernel.mutex(shared.first).__aenter__()
        if dies:
            raise Oops("dead")

    async def wants() -> None:
        await Work(1_000_000)
        async with machine.kernel.mutex(shared.first):
            pass

    machine.start(forgets(), cpu="cpu0")
    for cpu in ("cpu1", "cpu2"):
        machine.start(wants(), cpu=cpu)
    assert sorted(told(machine)) == [
        f"deadlock: {waiting} waits for Pair.first, which cpu0.t took and never gave back"
        for waiting in ("cpu1.t", "cpu2.t")
    ]


def test_each_of_the_locks_that_a_thread_has_ended_with_is_waited_for_in_vain() -> None:
    machine = Machine(cpus=3)
    shared = pair(machine)

    async def forgets() -> None:
        for lock in (shared.first, shared.second):
            await machine.kernel.mutex(lock).__aenter__()

    async def wants(lock: Mutex) -> None:
        await Work(1_000_000)
        async with machine.kernel.mutex(lock):
            pass

    machine.start(forgets(), cpu="cpu0")
    machine.start(wants(shared.first), cpu="cpu1")
    machine.start(wants(shared.second), cpu="cpu2")
    assert sorted(told(machine)) == [
        f"deadlock: {waiting} waits for {lock}, which cpu0.t took and never gave back"
        for waiting, lock in (("cpu1.t", "Pair.first"), ("cpu2.t", "Pair.second"))
    ]


def test_who_waits_for_a_thread_that_waits_in_vain_does_so_too() -> None:
    machine = Machine(cpus=3)
    shared = pair(machine)

    async def takes(*locks: Mutex, after: int = 0) -> None:
        """And keeps them."""
        for lock in locks:
            await Work(after)
            await machine.kernel.mutex(lock).__aenter__()

    machine.start(takes(shared.second), cpu="cpu0")
    machine.start(takes(shared.first, shared.second, after=1_000_000), cpu="cpu1")
    machine.start(takes(shared.first, after=2_000_000), cpu="cpu2")
    assert sorted(told(machine)) == [
        "deadlock: cpu1.t waits for Pair.second, which cpu0.t took and never gave back",
        "deadlock: cpu2.t waits for Pair.first, which cpu1.t holds",
    ]


def test_who_takes_a_spinlock_again_waits_for_itself() -> None:
    machine = Machine(cpus=1)
    shared = pair(machine)

    async def twice() -> None:
        async with machine.kernel.spin(shared.spin):
            await Work(1_000_000)
            asked.append(machine.sim.now)
            async with machine.kernel.spin(shared.spin):
                pass

    asked: list[int] = []
    machine.start(twice(), cpu="cpu0")
    assert told(machine) == ["deadlock: cpu0.t waits for Pair.spin, which cpu0.t holds"]
    assert [found.since for found in machine.kernel.deadlocks()] == [asked[0] + STEP], "preemption is off first"


def test_who_waits_for_a_thread_that_is_at_work_is_in_no_deadlock() -> None:
    machine = Machine(cpus=2)
    shared = pair(machine)

    async def works() -> None:
        async with machine.kernel.mutex(shared.first):
            await Work(10**15)

    for cpu in machine.cpus:
        machine.start(works(), cpu=cpu)
    machine.sim.env.run(until=10**9)
    assert machine.kernel.deadlocks() == []


@pytest.mark.parametrize(("lost", "told"), [({}, []), ({0x1000: "gone"}, [("waits", "gone", True)])])
def test_a_lock_that_nobody_holds_is_waited_for_in_vain_only_if_who_had_it_has_ended(
    lost: dict[int, str], told: list[tuple[str, str, bool]]
) -> None:
    """Else it was given back, and is about to be taken. Nor does a thread wait that merely holds a lock."""
    waits = ThreadContext("waits", "cpu0", held=[Held("Pair.first", 0x1000, False)], waits_since=5)
    works = ThreadContext("works", "cpu1", held=[Held("Pair.second", 0x2000, False)])
    assert [(each.thread, each.holder, each.ended) for each in deadlocks([waits, works], lost)] == told


@pytest.mark.parametrize("kind", ["mutex", "spin", "spin_irqsave"])
def test_who_has_had_a_lock_waits_for_none(kind: str) -> None:
    """Neither with the lock nor afterwards, whoever else waits for it."""
    machine = Machine(cpus=2)
    shared = pair(machine)
    lock = shared.first if kind == "mutex" else shared.spin

    async def works() -> None:
        async with getattr(machine.kernel, kind)(lock):
            await Work(10**9)
        await Work(10**15)

    for cpu in machine.cpus:
        machine.start(works(), cpu=cpu)
    for until in (10**8, 15 * 10**8, 10**10):
        machine.sim.env.run(until=until)
        assert machine.kernel.deadlocks() == []
