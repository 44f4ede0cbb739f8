"""What waits for a grace period is done after it, once, in order, and none of it is left behind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cosim.events import ObjectFreed
from cosim.sim.operations import Body, Sleep, Work
from cosim.sw.kernel.objects import Cell, Object, Ordering, cell
from cosim.sw.kernel.rcu_callbacks import Batch
from cosim.units.quantities import MS, US
from tests.sw.kernel.test_rcu import machine_of
from tests.sw.machine import Machine


class Thing(Object):
    alive = cell()


class Root(Object):
    thing = cell()


async def use_what_is_published(machine: Machine, root: Root, until: int) -> None:
    while machine.sim.now < until:
        async with machine.kernel.rcu.read():
            thing = Thing(await root.thing.rcu_dereference())
            await Work(50 * US)
            await thing.alive.load()


def replaced(*, wait: bool) -> Machine:
    """Readers follow a pointer; a writer replaces what it points to and frees the old one, after waiting or at once."""
    machine = machine_of(kfree_rcu_delay="0 ns")
    root = Root(machine.kernel.static(Root.SIZE))

    async def writer() -> None:
        kernel = machine.kernel
        for _ in range(4):
            fresh = await kernel.pages.new(Thing)
            await fresh.alive.store(1)
            old = Thing(await root.thing.xchg(fresh.address))
            if not old:
                for cpu in ("cpu1", "cpu2"):
                    await kernel.spawn("reader", use_what_is_published(machine, root, 20 * MS), cpu)
            elif wait:
                await kernel.rcu.kfree(old)
            else:
                await kernel.pages.delete(old)
            await Sleep(3 * MS + 17 * US)

    machine.start(writer())
    machine.go(until=100 * MS)
    return machine


@pytest.mark.parametrize(("housekeeping", "cpu"), [("", "cpu3"), ("cpu0", "cpu0")])
def test_a_cpu_that_may_be_chosen_frees_what_has_waited(housekeeping: str, cpu: str) -> None:
    """The last one unless it is said."""
    machine = machine_of(housekeeping=housekeeping)
    freed: list[str] = []
    machine.sim.probe(ObjectFreed).watch(lambda event: freed.append(event.who))

    async def body() -> None:
        await machine.kernel.rcu.kfree(await machine.kernel.pages.new(Thing))

    machine.start(body(), "cpu1")
    machine.go(until=100 * MS)
    assert freed == [f"{cpu}.rcu_free"]


def test_a_cpu_that_is_not_there_frees_nothing() -> None:
    with pytest.raises(ValueError, match="housekeeping: cpu9 is not a CPU; there are: cpu0, cpu1"):
        machine_of(housekeeping="cpu9")


def test_what_is_freed_after_a_grace_period_is_touched_by_no_reader() -> None:
    machine = replaced(wait=True)
    assert not machine.touched
    assert machine.kernel.pages.purposes()["Thing"] == 8, "all but the last one were freed"


def test_what_is_freed_at_once_is() -> None:
    machine = replaced(wait=False)
    assert machine.touched
    assert {touch.what for touch in machine.touched} == {"Thing"}


def test_kfree_rcu_collects_for_a_while_and_then_waits_once() -> None:
    machine = machine_of(kfree_rcu_delay="20 ms")

    async def body() -> None:
        for _ in range(10):
            await machine.kernel.rcu.kfree(await machine.kernel.pages.new(Thing))
        assert machine.kernel.pages.purposes()["Thing"] == 80
        await Sleep(19 * MS)
        assert machine.kernel.pages.purposes()["Thing"] == 80

    machine.start(body())
    machine.go(until=100 * MS)
    assert not machine.kernel.pages.purposes()
    assert machine.kernel.counters()["grace_periods"] == 1


def test_callbacks_run_in_the_order_in_which_they_were_queued() -> None:
    machine = machine_of()
    ran: list[int] = []

    async def note(number: int) -> None:
        ran.append(number)

    async def body() -> None:
        async with machine.kernel.irqs_off():
            for number in range(5):
                await machine.kernel.rcu.call(partial(note, number))
        assert not ran
        assert len(machine.kernel.rcu.callbacks()) == 5

    machine.start(body())
    machine.go(until=100 * MS)
    assert ran == [0, 1, 2, 3, 4]
    assert machine.kernel.rcu.has_called
    assert not machine.kernel.rcu.callbacks(), "none is under way any more"


class BusyWord:
    """The word of a batch, beside which others are at work: once before it is cleared, and behind each addition."""

    def __init__(self, word: Cell) -> None:
        self.word = word
        self.before_clearing: list[Callable[[], Body]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.word, name)

    async def xchg(self, value: int) -> int:
        while self.before_clearing:
            await self.before_clearing.pop()()
        return await self.word.xchg(value)

    async def fetch_add(self, value: int, ordering: Ordering) -> int:
        was = await self.word.fetch_add(value, ordering)
        await Sleep(10 * US)
        return was


class Watched:
    """A batch with such a word: for how many waits it had waited when it ran each of its callbacks."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.ran: list[tuple[int, int]] = []
        self.waits = 0
        self.while_waiting: list[Callable[[], Body]] = []
        self.batch = Batch(self.machine.kernel, self._wait, 0)
        self.word = self.batch._word = BusyWord(self.batch._word)  # type: ignore[assignment]

    async def _wait(self) -> None:
        self.waits += 1
        while self.while_waiting:
            await self.while_waiting.pop()()

    def add(self, number: int) -> Body:
        async def note() -> None:
            self.ran.append((number, self.waits))

        return self.batch.add(note)

    def go(self) -> list[tuple[int, int]]:
        self.machine.start(self.batch.work(), "cpu1")
        self.machine.start(self.add(0))
        self.machine.go(until=1 * MS)
        return self.ran


def test_a_callback_that_comes_while_its_batch_is_taken_waits_for_no_other() -> None:
    watched = Watched()
    watched.word.before_clearing.append(lambda: watched.add(1))
    assert watched.go() == [(0, 1), (1, 1)]


def test_a_callback_that_comes_while_its_batch_waits_is_waited_for_anew() -> None:
    watched = Watched()
    watched.while_waiting.append(lambda: watched.add(1))
    assert watched.go() == [(0, 1), (1, 2)]


def test_a_callback_is_there_when_the_thread_that_calls_it_is_told_of_it() -> None:
    """The thread wakes while whoever adds the callback is interrupted behind its last operation."""
    assert Watched().go() == [(0, 1)]


@pytest.mark.parametrize("delay_ps", [0, 3 * US])
def test_a_batch_lets_others_come_for_its_delay_and_yields_to_nobody_without_one(delay_ps: int) -> None:
    machine = machine_of()
    calls: list[str] = []

    async def noted(what: str) -> None:
        calls.append(what)

    batch = Batch(machine.kernel, lambda: noted("waits"), delay_ps)

    async def works() -> None:
        await batch.add(lambda: noted("called"))
        body, answer, slept = batch.work(), None, []
        while "called" not in calls:
            op = body.send(answer)
            slept += [op.duration_ps] if isinstance(op, Sleep) else []
            answer = await op
        assert slept == [delay_ps] * bool(delay_ps)
        body.close()

    machine.start(works())
    machine.go(until=1 * MS)
    assert calls == ["waits", "called"]
