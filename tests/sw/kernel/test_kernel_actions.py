"""What the kernel does beside its words is in conflict with whom it concerns, and a schedule may hold or fail it."""

from __future__ import annotations

import errno
from collections.abc import Mapping

import pytest

from cosim.sim.actions import Taken
from cosim.sim.chooser import Scheduled
from cosim.sim.footprints import Footprint, conflict, meet, words
from cosim.sim.operations import Load, Op, Sleep, Touch, Work
from cosim.sim.simulation import Sim
from cosim.spec.pagetable import PAGE
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.irq import IrqReturn
from cosim.sw.kernel.objects import Object, cell
from cosim.sw.kernel.options import KernelOptions
from cosim.units.quantities import MS, US
from tests.sw.machine import Machine

HOLD = 50 * US


class Item(Object):
    number = cell()
    other = cell()


class Explored(Machine):
    """A machine of three real CPUs that follows a schedule from the kernel's start on."""

    def __init__(self, schedule: Mapping[str, int] | None = None, *, exploring: bool = True) -> None:
        sim = Sim(Scheduled(0, schedule or {}), hold_ps=HOLD)
        super().__init__(cpus=3, model="rvwmo", sim=sim, options=KernelOptions(kfree_rcu_delay="0 ns"))
        self.taken: list[Taken] = []
        sim.actions.watchers.append(self.taken.append)
        self.kernel.boot()
        if exploring:
            sim.explore()

    def of(self, name: str) -> Taken:
        return next(taken for taken in self.taken if taken.name == name)

    def touching(self, agent: str, address: int, size: int) -> list[Taken]:
        """The effects of an agent that touch some of these bytes."""
        return [each for each in self.taken if each.agent == agent and meet(each.footprint, words(address, size))]


def freed(schedule: Mapping[str, int], where: str) -> tuple[Explored, int]:
    """One thread frees a page or an object while another loads from it; which address."""
    machine = Explored(schedule)
    pages = machine.kernel.pages
    addresses: list[int] = []

    async def owner() -> None:
        address = await (pages.alloc(purpose="table") if where == "page" else pages.kmalloc(24, purpose="Item"))
        addresses.append(address)
        await Work(5 * US)
        await pages.kfree(address)

    async def user() -> None:
        await Work(3 * US)
        await Load(addresses[0] + 16)

    machine.start(owner(), "cpu0", "owner")
    machine.start(user(), "cpu1", "user")
    machine.go(10 * MS)
    return machine, addresses[0]


@pytest.mark.parametrize(("where", "size"), [("page", PAGE), ("object", 32)])
def test_the_atomic_by_which_memory_is_freed_touches_all_of_it(where: str, size: int) -> None:
    machine, address = freed({}, where)
    (free,) = machine.touching("cpu0.owner.amo", address, size)
    assert free.asks
    assert words(address, size)[0] in free.footprint
    (load,) = machine.touching("cpu1.user.ld", address, size)
    assert conflict(free, load)
    assert not machine.touched


@pytest.mark.parametrize("where", ["page", "object"])
def test_a_load_that_is_held_for_a_conflict_comes_just_after_the_free(where: str) -> None:
    machine, address = freed({"cpu1.user.ld#0": 1}, where)
    (free,) = machine.touching("cpu0.owner.amo", address, 8)
    assert machine.of("cpu1.user.ld#0").time == free.time + 1
    assert [event.who for event in machine.touched] == ["cpu1.user"]


def test_the_free_is_held_as_the_atomic_that_it_is() -> None:
    machine, address = freed({}, "page")
    (free,) = machine.touching("cpu0.owner.amo", address, 8)
    held, _ = freed({free.name: 2, "cpu1.user.ld#0": 2}, "page")
    assert held.of(free.name).time == free.time + HOLD
    assert not held.touched


def test_a_neighbour_in_the_slab_is_no_conflict() -> None:
    machine, address = freed({}, "object")
    assert not machine.touching("cpu0.owner.amo", address + 32, 32)


def test_what_is_given_out_is_in_conflict_with_who_touches_it() -> None:
    machine, address = freed({}, "page")
    (given,) = machine.touching("cpu0.owner.allocated", address, PAGE)
    assert (given.asks, given.size) == (False, PAGE)
    assert conflict(given, machine.of("cpu1.user.ld#0"))


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_allocation_fails_where_the_schedule_says_so(failing: int) -> None:
    machine = Explored({f"cpu0.t.alloc#{failing}": 1})
    pages = machine.kernel.pages
    came: list[int] = []

    async def body() -> None:
        for ask in (lambda: pages.alloc(purpose="table"), lambda: pages.new(Item), lambda: pages.alloc(1, purpose="r")):
            try:
                await ask()
                came.append(0)
            except KernelError as error:
                came.append(error.code)

    machine.start(body())
    machine.go(1 * MS)
    assert came == [errno.ENOMEM if number == failing else 0 for number in range(3)]
    assert any("as asked" in line for line in machine.log)


# --- RCU -------------------------------------------------------------------------------------------------------------


def read_beside(schedule: Mapping[str, int], *, exploring: bool = True) -> Explored:
    """A reader on cpu0, and a thread on cpu1 that frees an object after a grace period and waits for another one."""
    machine = Explored(schedule, exploring=exploring)
    kernel = machine.kernel

    async def reader() -> None:
        async with kernel.rcu.read(), kernel.rcu.read():
            await Work(100 * US)

    async def writer() -> None:
        item = await kernel.pages.new(Item)
        await Work(5 * US)
        await kernel.rcu.kfree(item)
        await kernel.rcu.synchronize()

    machine.start(reader(), "cpu0", "reader")
    machine.start(writer(), "cpu1", "writer")
    machine.go(200 * MS)
    return machine


def test_a_grace_period_is_in_conflict_with_the_read_sections_and_with_what_the_cpus_run() -> None:
    machine = read_beside({})
    ours = ("cpu0.reader.rcu#0", "cpu0.reader.rcu#1", "cpu0.switch#0", "cpu1.writer.wake#0")
    for end in ("cpu2.rcu_gp.gp#0", "cpu2.rcu_gp.gp#1"):
        assert all(conflict(machine.of(end), machine.of(other)) for other in ours)
    assert machine.of("cpu0.reader.rcu#1").time < machine.of("cpu2.rcu_gp.gp#1").time
    assert not conflict(machine.of("cpu0.reader.rcu#0"), machine.of("cpu0.reader.rcu#1"))
    assert "cpu0.reader.rcu#2" not in [taken.name for taken in machine.taken], "a section inside one is none"


def test_a_read_section_is_told_of_where_the_outermost_one_begins_and_ends() -> None:
    machine = Explored()
    spans: list[int] = []

    async def reader() -> None:
        async with machine.kernel.rcu.read():
            spans.append(machine.sim.now)
            await Work(10 * US)
            async with machine.kernel.rcu.read():
                await Work(10 * US)
            await Work(10 * US)
            spans.append(machine.sim.now)

    machine.start(reader(), "cpu0", "reader")
    machine.go(1 * MS)
    begun, ended = [taken.time for taken in machine.taken if taken.agent == "cpu0.reader.rcu"]
    assert begun <= spans[0]
    assert spans[1] <= ended


def test_a_tick_that_a_grace_period_waits_for_is_in_conflict_with_what_its_cpu_runs_and_not_with_the_period() -> None:
    machine = read_beside({})
    tick = machine.of("cpu0.tick#0")
    others = {taken.agent for taken in machine.taken if conflict(tick, taken)}
    assert "cpu0.switch" in others
    assert not others & {"cpu1.switch", "cpu0.tick", "cpu2.rcu_gp.gp"}
    assert not read_beside({}, exploring=False).taken


def test_a_read_section_whose_end_is_held_holds_up_the_grace_period() -> None:
    free, held = read_beside({}), read_beside({"cpu0.reader.rcu#1": 2})
    assert held.of("cpu0.reader.rcu#1").time == free.of("cpu0.reader.rcu#1").time + HOLD
    assert held.of("cpu2.rcu_gp.gp#1").time >= held.of("cpu0.reader.rcu#1").time


def test_the_end_of_a_grace_period_and_a_callback_may_be_held() -> None:
    free = read_beside({})
    for name in ("cpu2.rcu_gp.gp#1", "cpu2.rcu_free.call#0"):
        held = read_beside({name: 2})
        assert held.of(name).time == free.of(name).time + HOLD
        assert not held.kernel.pages.in_use()


def test_a_callback_frees_what_it_was_made_for() -> None:
    machine = read_beside({})
    (given,) = (taken for taken in machine.taken if taken.agent == "cpu1.writer.allocated" and taken.size < PAGE)
    (free,) = (
        taken
        for taken in machine.taken
        if taken.agent == "cpu2.rcu_free.amo" and meet(taken.footprint, given.footprint)
    )
    assert machine.of("cpu2.rcu_free.call#0").time < free.time


def test_an_unexplored_kernel_awaits_nothing_for_explorers(monkeypatch: pytest.MonkeyPatch) -> None:
    begin, made = Touch.__init__, []

    def note(self: Touch, verb: str, touches: Footprint, *, changes: bool) -> None:
        made.append(verb)
        begin(self, verb, touches, changes=changes)

    monkeypatch.setattr(Touch, "__init__", note)
    read_beside({}, exploring=False)
    assert not made
    read_beside({})
    assert {*made} == {"rcu", "gp", "call"}


def test_exploring_without_a_schedule_takes_no_time() -> None:
    unexplored, explored = read_beside({}, exploring=False), read_beside({})
    assert unexplored.kernel.counters() == explored.kernel.counters()
    assert unexplored.cpus["cpu0"].busy_ps == explored.cpus["cpu0"].busy_ps


# --- Interrupts ------------------------------------------------------------------------------------------------------


def test_the_interrupt_of_a_timer_is_in_conflict_with_who_cancels_it() -> None:
    machine = Explored()
    timers = machine.kernel.timers

    async def fire() -> None:
        pass

    timer = timers.new("flush", fire)

    async def body() -> None:
        await timers.arm(timer, 1 * MS)
        await Work(30 * MS)
        await timers.cancel(timer)

    machine.start(body(), "cpu0", "t")
    machine.go(100 * MS)
    tick = machine.of("cpu0.irq#0")
    cancels = machine.touching("cpu0.t.amo", int(timer.state.address), 8)
    assert len(cancels) == 2
    assert all(conflict(tick, each) for each in cancels)


def test_the_interrupt_of_a_line_is_in_conflict_with_the_threads_that_it_wakes() -> None:
    machine = Explored()
    kernel = machine.kernel
    ran: list[int] = []

    async def hard() -> IrqReturn:
        machine.cpus["cpu0"].wire(7, False)
        return IrqReturn.WAKE_THREAD

    async def thread() -> None:
        ran.append(machine.sim.now)

    async def body() -> None:
        await kernel.irq.request("cpu0", 7, "cq", hard, thread)
        await Sleep(1 * MS)

    machine.start(body(), "cpu0", "t")
    machine.sim.at(2 * MS, 7, lambda: machine.cpus["cpu0"].wire(7, True))
    machine.go(10 * MS)
    assert ran
    irq = machine.of("cpu0.irq#0")
    waker = {taken.agent for taken in machine.taken if conflict(irq, taken) and taken.asks}
    assert {"cpu0.irq7-cq.ld", "cpu0.irq7-cq.amo", "cpu0.irq7.amo"} <= waker
    told = {taken.agent for taken in machine.taken if conflict(irq, taken) and not taken.asks}
    assert {"cpu0.wire", "cpu0.irq7.mask", "cpu0.irq7-cq.mask", "cpu0.irq7-cq.wake", "cpu0.switch"} <= told


def test_touch_is_an_operation_of_no_size() -> None:
    op: Op[None] = Touch("gp", (), changes=False)
    assert op.size == 0
