"""Every step of a policy can be taken out alone, by its name, and what a driver does then differs in that alone.

A short life of two devices is run with the policy whole and without the step, and what matters for order is compared:
barriers, sections, commands, grace periods, references. The command queue is replaced by a list where it is not the
policy in question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cosim.sim import operations as ops
from cosim.sim.chooser import Scheduled
from cosim.sim.loaded import Loaded, at_of
from cosim.spec.queues import Command, Iotinval
from cosim.sw.driver.own import VariantError
from cosim.sw.driver.policies.queue import FENCE
from cosim.sw.driver.table import CELLS, NEEDS, ROWS
from cosim.sw.driver.variants import variant
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.steps import idle_steps, steps, without
from cosim.units.quantities import MS, US, S
from tests.sw.driver.machine import DRAM, Machine, spell
from tests.sw.driver.test_command_queue import doorbells, executed, map_and_unmap

PAGE, HUGE, IOVA = 4096, 2 << 20, 0x4000_0000
BOTH = Prot.READ | Prot.WRITE

Tokens = list[str]


@dataclass(frozen=True)
class Listed:
    """A command queue that lists what is sent, and does nothing of it."""

    said: Tokens

    async def send(self, driver: object, iommu: object, command: Command) -> int:
        text = spell((command[0], command[1]))
        whole = text.startswith("IOTINVAL") and "av=" not in text
        self.said.append(text.split("(")[0] + " of all" * whole)
        return 0

    async def wait(self, driver: object, iommu: object, ticket: int, timeout_ps: int) -> bool:
        self.said.append("wait")
        return True

    async def sync(self, driver: object, iommu: object, timeout_ps: int) -> bool:
        return await self.wait(driver, iommu, await self.send(driver, iommu, FENCE), timeout_ps)


class Noted:
    """A routine whose operations are noted; what depends on a load is seen, also where it orders nothing."""

    def __init__(self, body: Coroutine[Any, Any, Any], said: Tokens) -> None:
        self.body, self.said = body, said

    def __await__(self) -> Generator[Any, Any, Any]:
        answer = None
        while True:
            try:
                op = self.body.send(answer)
            except StopIteration as done:
                return done.value
            self.said.extend(token(op))
            answer = yield op
            if isinstance(op, ops.Load):
                answer = Loaded(answer, at_of(answer))


def token(op: object) -> Tokens:
    """What matters of an operation for order."""
    match op:
        case ops.Fence():
            return [f"fence {op.predecessor},{op.successor}"]
        case ops.IrqDisable():
            return ["irqs off"]
        case ops.PreemptDisable():
            return ["preempt off"]
        case ops.Atomic(part="lock"):
            return ["lock"]
        case ops.Atomic():
            return [f"amo{'.aq' * op.acquire}{'.rl' * op.release}"]
        case ops.Store() if op.part != "lock":
            return ["store.rl" if op.release else "store"]
        case ops.Load() if op.part != "lock":
            return ["dependent load"] * isinstance(op.address, Loaded)
    return []


async def life(machine: Machine) -> None:
    """Two devices enter a domain and leave it, one for another domain; pages come and go; the IOMMU is removed."""
    core, driver = machine.core, machine.driver
    await core.probe_iommu(machine.hardware[0])
    for n in range(2):
        await core.probe_device(f"dev{n}", (n,), "iommu0")
    first, second = [await core.domain_alloc(name, "dev0") for name in "ab"]
    for n in range(2):
        await core.attach(f"dev{n}", first)
    await iommu_map(driver, first, IOVA, DRAM, PAGE, BOTH)
    await iommu_unmap(driver, first, IOVA, PAGE)
    await iommu_map(driver, first, IOVA, DRAM, HUGE, BOTH)
    await core.replace("dev0", second)
    for n in range(2):
        await core.release_device(f"dev{n}")
    await core.remove_iommu("iommu0")


def lived(row: str, **cells: Any) -> Counter[str]:
    """What matters for order in a driver's life, and how often: the same driver lives once for all of its steps."""
    driver = (row, repr(cells))
    if driver not in LIVES:
        LIVES[driver] = live_through(row, cells)
    return LIVES[driver]


LIVES: dict[tuple[str, str], Counter[str]] = {}


def live_through(row: str, cells: dict[str, Any]) -> Counter[str]:
    said: Tokens = []
    machine = Machine(replace(variant(row, cells), queue=Listed(said)))
    rcu = machine.kernel.rcu
    for name, what in (("read", "rcu_read_lock"), ("kfree", "kfree_rcu")):
        called = getattr(rcu, name)

        def noted(*given: Any, called: Any = called, what: str = what) -> Any:
            said.append(what)
            return called(*given)

        setattr(rcu, name, noted)

    async def noting() -> None:
        await Noted(life(machine), said)

    machine.run(noting())
    assert not [line for line in machine.log if "oops" in line]
    return Counter(said)


# --- What a driver does without a step -------------------------------------------------------------------------------

ROWS_OF_STEPS = ("merged", "current", "latest", "ideal")

FLUSH = {"IOTINVAL.VMA of all", "IOFENCE.C", "wait", "fence rw,rw", "rcu_read_lock"}
LOST: dict[str, dict[str, set[str]]] = {
    "pscid": {"lock": {"lock", "preempt off"}},
    "bonds": {
        "lock": {"lock", "preempt off"},
        "release": {"store.rl"},
        "waits-for-readers": {"kfree_rcu"},
        "dependency": {"dependent load"},
        "synchronize": {"fence rw,rw", "amo.aq.rl"},
        "reference": {"store"},
        "mark-gone": {"amo"},
    },
    "attach": {
        "waits-for-readers": {"kfree_rcu"},
        "barrier": {"fence rw,rw"},
        "written": {"fence ow,ow"},
        "iodir-of-old": {"IODIR.INVAL_DDT"},
        "iodir-of-new": {"IODIR.INVAL_DDT"},
        "iotinval-of-old": {"IOTINVAL.VMA of all"},
        "iotinval-of-new": {"IOTINVAL.VMA of all"},
        "iotinval-of-leave": {"IOTINVAL.VMA of all"},
        "fence-of-old": {"IOFENCE.C", "wait"},
        "fence-of-new": {"IOFENCE.C", "wait"},
        "fence-of-leave": {"IOFENCE.C", "wait"},
    },
    "tables": {
        "release": {"amo.rl"},
        "directory-release": {"amo.rl"},
        "flush-of-replaced": FLUSH,
    },
    "invalidate": {
        "barrier": {"fence rw,rw"},
        "reading": {"rcu_read_lock"},
        "iotinval": {"IOTINVAL.VMA", "IOTINVAL.VMA of all"},
        "fence": {"IOFENCE.C", "wait"},
        "wait": {"wait"},
        "flush-of-tables": FLUSH,
        "flush-of-freed": {"IOTINVAL.VMA of all"},
    },
    "bringup": {
        "iodir-of-all": {"IODIR.INVAL_DDT"},
        "iotinval-of-all": {"IOTINVAL.VMA of all"},
        "fence-of-all": {"IOFENCE.C", "wait"},
    },
    "groups": {"mutex": {"lock"}},
}
"""What is no longer there without a step."""

FOUND: dict[tuple[str, str], set[str]] = {
    ("bonds", "release"): {"store"},
    ("bonds", "reference"): {"IOTINVAL.VMA of all", "IOFENCE.C", "wait", "amo.rl"},
    ("tables", "release"): {"amo"},
    ("tables", "directory-release"): {"amo"},
    ("invalidate", "flush-of-freed"): {"IOTINVAL.VMA"},
}
"""What is there instead: a plain access, a flush of the pages alone, a flush too early, a number given back twice."""


PROBE_WAITS = ("waits-for-ddtp", "waits-for-queues")
"""Without one of these there is no life: see below."""


def cells_and_steps() -> Iterator[Any]:
    """Each step of each policy, in the first of the rows that has the policy, or else in merged."""
    for axis, named in CELLS.items():
        for cell, policy in named.items():
            row = next((name for name in ROWS_OF_STEPS if ROWS[name][axis] == cell), "")
            marks = [] if row else [pytest.mark.slow]
            for name in steps(policy) if axis != "queue" else ():
                if name in PROBE_WAITS:
                    continue
                yield pytest.param(row or "merged", axis, cell, name, marks=marks, id=f"{axis}-{cell}-{name}")


@pytest.mark.parametrize(("row", "axis", "cell", "name"), list(cells_and_steps()))
def test_a_driver_without_a_step_differs_in_that_alone(row: str, axis: str, cell: str, name: str) -> None:
    cells = {axis: cell, **NEEDS.get((axis, cell), {})}
    if cell.startswith("with-freelist"):
        cells["tables"] = "generic"
    whole = lived(row, **cells)
    less = lived(row, **cells | {axis: {"policy": cell, "without": name}})
    unimportant = set() if name == "dependency" else {"dependent load"}
    never_there = {"fence rw,rw"} if cell.endswith("no-barrier") else set()
    assert set(whole - less) - unimportant == LOST[axis][name] - (never_there if len(LOST[axis][name]) > 1 else set())
    assert set(less - whole) == FOUND.get((axis, name), set())


@pytest.mark.parametrize("name", PROBE_WAITS)
def test_a_probe_that_does_not_wait_for_the_hardware_gives_up(name: str) -> None:
    machine = Machine(cells={"bringup": {"without": name}})
    with pytest.raises(KernelError, match="EBUSY"):
        machine.run(machine.core.probe_iommu(machine.hardware[0]))


# --- The command queue ------------------------------------------------------------------------------------------------

QUEUES = pytest.mark.parametrize(
    ("row", "queue"),
    [("merged", "tickets"), ("current", "stop-on-error"), ("latest", "locked"), ("ideal", "checked")],
)


def sent(row: str, name: str = "") -> Tokens:
    """What matters for order of the senders' operations in one unmap of a page."""
    machine = Machine(row, cells={"queue": {"without": [name] if name else []}})
    domain = machine.boot()
    said: Tokens = []

    async def there_and_back() -> None:
        await iommu_map(machine.driver, domain, IOVA, DRAM, PAGE, BOTH)
        await Noted(iommu_unmap(machine.driver, domain, IOVA, PAGE), said)

    machine.run(there_and_back())
    return said


BARRIERS = {"filled": "fence ow,ow", "published": "fence o,w", "irqs-off": "irqs off", "lock": "lock"}


@pytest.mark.parametrize(("name", "lost"), list(BARRIERS.items()))
@QUEUES
def test_a_queue_without_a_step_differs_in_that_alone(row: str, queue: str, name: str, lost: str) -> None:
    """A lock that masks no interrupts keeps its CPU all the same."""
    locked = "lock" in steps(CELLS["queue"][queue])
    if name == "lock" and not locked:
        return
    whole, less = Counter(sent(row)), Counter(sent(row, name))
    assert whole - less == {lost: 2}
    assert set(less - whole) == ({"preempt off"} if name == "irqs-off" and locked else set())


@QUEUES
def test_without_its_wait_a_fence_is_behind_whoever_sent_it(row: str, queue: str) -> None:
    for names, waited in (([], True), (["wait"], False)):
        machine = Machine(row, cells={"queue": {"without": names}})
        domain = machine.boot()
        done = executed(machine)
        machine.iommus[0].commands.stall(machine.sim.now, 10 * MS)
        machine.run(map_and_unmap(machine, domain, 1))
        assert bool(done) is waited


@QUEUES
def test_without_the_wait_for_room_commands_are_overwritten(row: str, queue: str) -> None:
    room = "waits-for-room" if "waits-for-room" in steps(CELLS["queue"][queue]) else "room"
    for names, lost in (([], False), ([room], True)):
        small = {"geometry": {"cq_log2": 2, "fq_log2": 8}}
        machine = Machine(row, cells={"queue": {"without": names}}, iommu=small)
        domain = machine.boot()
        done = executed(machine)
        machine.iommus[0].commands.stall(machine.sim.now, 10 * MS)
        machine.start(map_and_unmap(machine, domain, 20))
        machine.go(machine.sim.now + 1 * S)
        assert (len(done) < 21) is lost


@pytest.mark.parametrize("queue", ["tickets", "stop-on-error"])
def test_a_turn_that_is_not_awaited_lets_a_later_doorbell_ring_first(queue: str) -> None:
    for names, early in (([], False), (["turn"], True)):
        held = Scheduled(0, {"cpu0.a.st#0": 2})
        cells = {"queue": {"policy": queue, "without": names}}
        machine = Machine(cells=cells, cpus=2, chooser=held, hold_ps=5 * US)
        machine.boot()
        rung = doorbells(machine)
        machine.sim.explore()
        for n, name in enumerate("ab"):
            send = machine.driver.send(machine.core.iommus["iommu0"], Iotinval.vma(pscid=1))
            machine.start(send, f"cpu{n}", name)
        machine.go(machine.sim.now + 100 * US)
        first, second = rung
        assert (second < first) is early


# --- How a step is named ----------------------------------------------------------------------------------------------


def test_every_step_has_a_name_of_its_own_and_a_sentence() -> None:
    for axis, named in CELLS.items():
        for cell, policy in named.items():
            for name, one in steps(policy).items():
                assert name == one.name
                assert one.about, f"{axis}: {cell}: {name} has no docstring"


@pytest.mark.parametrize("names", [["barrier", "written"], "barrier,written", "barrier, written"])
def test_several_steps_can_be_taken_out_at_once(names: object) -> None:
    both = variant("merged", {"attach": {"without": names}}).attach
    assert not {"barrier", "written"} & set(live(both))
    assert set(live(both)) == set(steps(CELLS["attach"]["bond-first"])) - {"barrier", "written"}


def test_of_steps_that_are_taken_out_one_after_the_other_each_is_idle_until_it_is_come_to() -> None:
    policy = without(without(CELLS["attach"]["bond-first"], ["barrier"]), ["written"])
    assert idle_steps(policy) == ["barrier", "written"]


def live(policy: object) -> list[str]:
    """The steps that are still there: those that were taken out are no steps of their class any more."""
    return list(steps(policy))


def test_a_policy_without_a_step_keeps_its_numbers_and_the_table_its_policies() -> None:
    row = variant("merged", {"invalidate": {"policy": "short-fence", "fence_ps": "10 ms", "without": "barrier"}})
    assert row.invalidate.fence_ps == 10 * MS
    assert "barrier" in steps(CELLS["invalidate"]["short-fence"])
    assert isinstance(row.invalidate, type(CELLS["invalidate"]["short-fence"]))
    assert without(CELLS["invalidate"]["per-iommu"], ["fence"]) == without(CELLS["invalidate"]["per-iommu"], ["fence"])


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        ({"attach": {"without": "bariers"}}, "driver: attach: bond-first has no step 'bariers'; did you mean barrier?"),
        ({"attach": {"without": ["barrier", "turn"]}}, "driver: attach: bond-first has no step 'turn'; there are: "),
        ({"capable": {"without": "lock"}}, "driver: capable: none has no step 'lock'; it has none that could be taken"),
        ({"attach": {"without": 3}}, "driver: attach: bond-first: without: a step or a list of steps, not 3"),
        ({"queue": {"policy": "locked", "without": "turn"}}, "driver: queue: locked has no step 'turn'; there are: "),
    ],
)
def test_a_step_that_is_not_there_is_answered_with_the_nearest(cells: dict[str, Any], text: str) -> None:
    with pytest.raises(VariantError) as error:
        variant("merged", cells)
    assert str(error.value).startswith(text)
