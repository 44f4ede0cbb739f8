"""Locks exclude, are fair, order what they must and no more, and know what may not be done under them."""

from __future__ import annotations

import errno

import pytest

from cosim.sim.loaded import Loaded
from cosim.sim.operations import Atomic, Fence, Load, OnInterrupt, Oops, Self, Sleep, Store, ThreadView, Work
from cosim.sim.ranks import Stage
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.locks import Mutex, SpinLock
from cosim.sw.kernel.objects import Object, cell, embed
from tests.sw.machine import STEP, Machine

MODELS = ["", "sequential", "tso", "rvwmo"]


class Pair(Object):
    first = embed(SpinLock)
    second = embed(SpinLock)
    mutex = embed(Mutex)
    other = embed(Mutex)
    value = cell()


def pair(machine: Machine) -> Pair:
    return Pair(machine.kernel.static(Pair.SIZE))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["spin", "spin_irqsave", "mutex"])
def test_a_counter_under_a_lock_loses_no_increment(model: str, kind: str) -> None:
    machine = Machine(cpus=3, model=model)
    shared = pair(machine)
    section = getattr(machine.kernel, kind)
    lock = shared.mutex if kind == "mutex" else shared.first

    async def body() -> None:
        for _ in range(10):
            async with section(lock):
                value = await shared.value.load()
                await Work(5_000)
                await shared.value.store(value + 1)

    for cpu in machine.cpus:
        machine.start(body(), cpu=cpu)
    machine.go()
    machine.go()
    assert machine.memory.peek(int(shared.address) + Pair.value.offset, 8) == 30
    assert not machine.log


def test_without_the_lock_increments_are_lost() -> None:
    machine = Machine(cpus=3)
    shared = pair(machine)

    async def body() -> None:
        for _ in range(10):
            value = await shared.value.load()
            await Work(5_000)
            await shared.value.store(value + 1)

    for cpu in machine.cpus:
        machine.start(body(), cpu=cpu)
    machine.go()
    assert machine.memory.peek(int(shared.address) + Pair.value.offset, 8) < 30


@pytest.mark.parametrize("model", MODELS)
def test_who_comes_first_is_served_first(model: str) -> None:
    machine = Machine(cpus=4, model=model)
    shared = pair(machine)
    order: list[str] = []

    async def body(cpu: str, delay: int) -> None:
        await Sleep(delay)
        async with machine.kernel.spin(shared.first):
            order.append(cpu)
            await Work(50_000_000)

    for index, cpu in enumerate(reversed(machine.cpus)):
        machine.start(body(cpu, 10_000_000 * (index + 1)), cpu=cpu)
    machine.go()
    assert order == ["cpu3", "cpu2", "cpu1", "cpu0"]


def test_a_mutex_gives_the_cpu_to_others_while_a_spinlock_keeps_it() -> None:
    def other_ran_meanwhile(kind: str) -> bool:
        machine = Machine(cpus=2)
        shared = pair(machine)
        lock = shared.mutex if kind == "mutex" else shared.first
        ran: list[int] = []

        async def holder() -> None:
            async with getattr(machine.kernel, kind)(lock):
                await Work(1_000_000)

        async def waiter() -> None:
            await Sleep(100_000)
            async with getattr(machine.kernel, kind)(lock):
                ran.append(1)

        async def bystander() -> None:
            await Sleep(200_000)
            ran.append(2)

        machine.start(holder(), cpu="cpu0")
        machine.start(waiter(), cpu="cpu1", name="waiter")
        machine.start(bystander(), cpu="cpu1", name="bystander")
        machine.go()
        return ran == [2, 1]

    assert other_ran_meanwhile("mutex")
    assert not other_ran_meanwhile("spin")


def test_taking_is_an_acquire_and_giving_a_release_and_neither_is_a_full_barrier() -> None:
    machine = Machine()
    lock = pair(machine).first
    made: list[object] = []

    async def body() -> None:
        async with machine.kernel.spin(lock):
            pass

    routine = body()
    answer: object = None
    while True:
        try:
            op = routine.send(answer)
        except StopIteration:
            break
        made.append(op)
        answer = ThreadView("cpu0.t", "cpu0") if isinstance(op, Self) else Loaded(0, 0)
    atomics = [op for op in made if isinstance(op, Atomic)]
    assert [(op.acquire, op.release) for op in atomics] == [(False, False)]
    assert [op.acquire for op in made if isinstance(op, Load)] == [True, False]
    assert [op.release for op in made if isinstance(op, Store)] == [True]
    assert not [op for op in made if isinstance(op, Fence)]


# --- Sections --------------------------------------------------------------------------------------------------------


def test_an_error_return_gives_the_lock_back_and_an_oops_keeps_it() -> None:
    machine = Machine()
    shared = pair(machine)

    async def held(lock: SpinLock) -> bool:
        return int(await lock.next.load()) != int(await lock.serving.load())

    async def body() -> tuple[bool, bool]:
        with pytest.raises(KernelError):
            async with machine.kernel.spin(shared.first):
                raise KernelError(errno.ENOMEM)
        with pytest.raises(Oops):
            async with machine.kernel.spin(shared.second):
                raise Oops("null pointer")
        return await held(shared.first), await held(shared.second)

    assert machine.run(body()) == (False, True)


@pytest.mark.parametrize("model", ["", "rvwmo"])
def test_whoever_waits_for_a_lock_whose_holder_has_died_waits_for_ever(model: str) -> None:
    machine = Machine(model=model)
    shared = pair(machine)
    reached: list[int] = []

    async def dies() -> None:
        async with machine.kernel.mutex(shared.mutex):
            raise Oops("use after free")

    async def waits() -> None:
        await Sleep(1_000_000)
        async with machine.kernel.mutex(shared.mutex):
            reached.append(1)

    machine.start(dies(), cpu="cpu0")
    machine.start(waits(), cpu="cpu1")
    machine.go(until=10**12)
    assert machine.log == ["oops: use after free"]
    assert not reached


def test_an_error_that_no_one_handles_ends_its_thread_and_is_logged() -> None:
    machine = Machine()

    async def body() -> None:
        raise KernelError(errno.ENODEV, "no such device")

    machine.start(body())
    machine.go()
    assert machine.log == ["oops: thread ended by an error that it does not handle: -ENODEV: no such device"]


@pytest.mark.parametrize("first", [0, 1])
def test_a_thread_holds_what_it_has_taken_and_not_given_back_in_whatever_order(first: int) -> None:
    machine = Machine()
    shared = pair(machine)
    sections = [machine.kernel.mutex(shared.mutex), machine.kernel.mutex(shared.other)]

    async def held() -> list[str]:
        return [one.lock_class for one in (await machine.kernel.context()).held]

    async def body() -> list[list[str]]:
        found = []
        for section in sections:
            await section.__aenter__()
            found.append(await held())
        for section in (sections[first], sections[1 - first]):
            await section.__aexit__(None, None, None)
            found.append(await held())
        return found

    both = ["Pair.mutex", "Pair.other"]
    assert machine.run(body()) == [both[:1], both, [both[1 - first]], []]


# --- Rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ("spin", "with preemption disabled"),
        ("spin_irqsave", "with interrupts masked"),
        ("irqs_off", "with interrupts masked"),
        ("preempt_off", "with preemption disabled"),
        ("rcu", "in an RCU read section"),
    ],
)
def test_sleeping_where_it_is_not_allowed_is_reported(section: str, why: str) -> None:
    machine = Machine()
    shared, kernel = pair(machine), machine.kernel

    async def body() -> None:
        if section == "rcu":
            entered = kernel.rcu.read()
        elif section.startswith("spin"):
            entered = getattr(kernel, section)(shared.first)
        else:
            entered = getattr(kernel, section)()
        async with entered:
            await kernel.sleep(0)
            async with kernel.mutex(shared.mutex):
                pass

    machine.run(body())
    assert machine.log == [f"oops: sleeping {why}", f"oops: taking Pair.mutex {why}"]


def test_sleeping_under_a_mutex_is_allowed() -> None:
    machine = Machine()
    shared = pair(machine)

    async def body() -> None:
        async with machine.kernel.mutex(shared.mutex), machine.kernel.mutex(shared.other):
            await machine.kernel.sleep(1_000)

    machine.run(body())
    assert not machine.log


@pytest.mark.parametrize("at", range(1, 30))
def test_a_handler_that_takes_the_same_lock_comes_before_or_behind_who_masks_interrupts(at: int) -> None:
    """At whatever nanosecond the interrupt comes, it does not find the lock held by whom it interrupts."""
    machine = Machine()
    cpu, lock = machine.cpus["cpu0"], pair(machine).first
    ends: list[str] = []

    async def handler() -> None:
        async with machine.kernel.spin_irqsave(lock):
            ends.append("handler")

    async def body() -> None:
        await OnInterrupt(3, machine.kernel.handler(handler))
        rank = machine.sim.initiator("wire").rank(Stage.INTERRUPT)
        machine.sim.at(machine.sim.now + at * STEP, rank, lambda: cpu.message(3))
        async with machine.kernel.spin_irqsave(lock):
            await Work(5 * STEP)
        ends.append("thread")

    machine.start(body())
    machine.go(until=1_000 * STEP)
    assert sorted(ends) == ["handler", "thread"]
