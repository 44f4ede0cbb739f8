"""What a grace period orders, beside waiting: CPUs that store late and load the oldest that they may."""

from __future__ import annotations

import pytest

from cosim.sim.chooser import Chooser
from cosim.sim.operations import Work
from cosim.sim.simulation import Sim
from cosim.sw.kernel.objects import Object, cell
from cosim.units.quantities import MS, NS, US, S
from tests.sw.machine import Machine


class Late(Chooser):
    """Every load of the thread `reads` returns the oldest state that it may; stores of `stores` are held."""

    exploring = True

    def __init__(self, reads: str = "", stores: str = "") -> None:
        super().__init__(0)
        self.reads, self.stores = reads, stores

    def pick(self, n: int, name: str) -> int:
        if self.reads and f".{self.reads}." in name and name.endswith(".past"):
            return n - 1
        if self.stores and f".{self.stores}.st#" in name and name.count(".") == 2:
            return 2
        return 0


class Root(Object):
    thing = cell()
    other = cell()


def machine_of(chooser: Chooser) -> tuple[Machine, Root]:
    machine = Machine(cpus=4, model="rvwmo", sim=Sim(chooser, hold_ps=40 * MS))
    machine.kernel.boot()
    machine.sim.explore()
    return machine, Root(machine.kernel.static(Root.SIZE))


TICK = 4 * MS


class BehindATick:
    """A CPU passes at its tick, and loads the oldest that it may in a section that it begins `after` that.

    `begun` is when a grace period begins that was asked for `before` the tick, right behind a store.
    """

    def __init__(self, before: int, after: int) -> None:
        self.machine, self.root = machine_of(Late(reads="reader"))
        self.over: list[int] = []
        self.held_until: list[int] = []
        self.begun: list[int] = []
        begun = int(self.machine.kernel.rcu._state.begun.address)
        self.machine.memory.watch(begun, lambda: self.begun.append(self.machine.sim.now))
        self.machine.start(self.writer(TICK - before), cpu="cpu0", name="writer")
        self.machine.start(self.reader(TICK + after), cpu="cpu1", name="reader")
        self.machine.go(until=1 * S)
        assert self.over

    async def writer(self, at: int) -> None:
        await self.root.thing.store(1)
        await Work(at - self.machine.sim.now)
        await self.root.thing.store(0)
        await self.machine.kernel.rcu.synchronize()
        self.over.append(self.machine.sim.now)

    async def reader(self, at: int) -> None:
        await Work(at - self.machine.sim.now)
        async with self.machine.kernel.rcu.read():
            if await self.root.thing.load():
                await Work(30 * MS)
                self.held_until.append(self.machine.sim.now)


@pytest.mark.parametrize("before", range(2 * US, 9 * US, US))
def test_a_section_that_is_not_waited_for_finds_what_was_stored_before_the_wait(before: int) -> None:
    run = BehindATick(before, 100 * NS)
    assert not run.held_until or run.held_until[0] <= run.over[0]


def test_a_section_that_begins_with_the_grace_period_is_waited_for_or_finds_what_was_stored() -> None:
    """The tick comes at each nanosecond of those in which the barrier of the grace period is passed."""
    later = TICK - BehindATick(2 * US, 100 * NS).begun[0]
    for lead in range(12):
        run = BehindATick(2 * US - later + lead * NS, 1 * NS)
        assert run.begun[0] == TICK - lead * NS
        assert not run.held_until or run.held_until[0] <= run.over[0]


def test_what_a_reader_stored_is_in_memory_when_the_wait_for_it_is_over() -> None:
    """The section is over when the CPU passes at its tick, and what it stored is in the store buffer still."""
    machine, root = machine_of(Late(stores="reader"))
    found: list[int] = []

    async def writer() -> None:
        await Work(1 * MS)
        await machine.kernel.rcu.synchronize()
        found.append(int(await root.other.load()))

    async def reader() -> None:
        await Work(TICK - 1 * US - machine.sim.now)
        async with machine.kernel.rcu.read():
            await root.other.store(1)
        assert machine.sim.now < TICK
        await Work(20 * MS)

    machine.start(writer(), cpu="cpu0", name="writer")
    machine.start(reader(), cpu="cpu1", name="reader")
    machine.go(until=1 * S)
    assert found == [1]
