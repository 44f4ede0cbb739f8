"""The command queue under load and under failure: tickets, doorbells, full rings, time-outs, illegal commands."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.events import CommandExecuted, RegisterWritten
from cosim.sim.chooser import Scheduled
from cosim.sim.operations import Now, OnInterrupt
from cosim.spec.queues import Command, Iotinval
from cosim.spec.register_map import CQCSR, CQH, CQT
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Domain, Prot
from cosim.units.quantities import MS, US, S
from tests.sw.driver.machine import DRAM, Machine

PAGE = 4096
IOVA = 0x4000_0000
BOTH = Prot.READ | Prot.WRITE


def doorbells(machine: Machine) -> list[int]:
    """The values that `cqt` takes from here on."""
    rung: list[int] = []

    def saw(event: RegisterWritten) -> None:
        if event.offset == CQT.offset:
            rung.append(event.value)

    machine.sim.probe(RegisterWritten).watch(saw)
    return rung


def executed(machine: Machine) -> list[tuple[int, str]]:
    """When each command is executed from here on, and what it is."""
    done: list[tuple[int, str]] = []
    machine.sim.probe(CommandExecuted).watch(lambda event: done.append((event.time, event.kind)))
    return done


async def map_and_unmap(machine: Machine, domain: Domain, pages: int, iova: int = IOVA) -> int:
    """Returns how long the unmap took."""
    await iommu_map(machine.driver, domain, iova, DRAM, pages * PAGE, BOTH)
    began = (await Now()).time
    assert await iommu_unmap(machine.driver, domain, iova, pages * PAGE) == pages * PAGE
    return (await Now()).time - began


# --- Tickets --------------------------------------------------------------------------------------------------------


def test_a_ring_that_fills_is_waited_for() -> None:
    """The sender that would fill it reads `cqh`; every command is executed, in order."""
    machine = Machine(iommu={"geometry": {"cq_log2": 2, "fq_log2": 2}})
    domain = machine.boot()
    done = executed(machine)
    machine.run(map_and_unmap(machine, domain, 20))
    assert [kind for _, kind in done] == 20 * ["iotinval_vma"] + ["iofence"]
    assert any(line.startswith("R cqh=") for line in machine.trace())
    assert not machine.log


def test_a_ring_with_room_is_never_looked_at() -> None:
    machine = Machine()
    domain = machine.boot()
    machine.run(map_and_unmap(machine, domain, 20))
    assert not any(line.startswith("R cqh") for line in machine.trace())


@pytest.mark.parametrize("variant", ["merged", "current", "latest", "v2"])
def test_senders_on_several_cpus_ring_in_turn(variant: str) -> None:
    """`cqt` goes up by one each time, whoever writes it."""
    machine = Machine(variant, cpus=3)
    domain = machine.boot()
    rung, done = doorbells(machine), executed(machine)
    first = int(machine.iommus[0].registers.cqt)
    for n in range(3):
        machine.start(map_and_unmap(machine, domain, 8, IOVA + 64 * n * PAGE), f"cpu{n}")
    machine.go(machine.sim.now + 1 * MS)
    assert len(done) == 3 * 9
    assert rung == [first + 1 + n for n in range(27)]


def test_senders_at_a_full_ring_may_wait_for_one_another_though_it_is_empty() -> None:
    """One sees the ring full and waits for more than one free slot to be noted; whoever reads `cqh` notes one only.

    From then on nobody reads it, until a time-out loses a ticket. The rule is the same in every variant.
    """
    machine = Machine("v2", cpus=3, iommu={"geometry": {"cq_log2": 4, "fq_log2": 4}})
    domain = machine.boot()
    for n in range(3):
        machine.start(map_and_unmap(machine, domain, 12, IOVA + 64 * n * PAGE), f"cpu{n}")
    machine.go(machine.sim.now + 100 * MS)
    registers = machine.iommus[0].registers
    assert registers.cqh == registers.cqt
    assert not machine.log
    machine.go(machine.sim.now + 300 * MS)
    assert "enqueue failed: the ring is full" in machine.log[0]


def test_a_sender_behind_the_one_that_fills_the_ring_waits_until_two_slots_are_known_to_be_free() -> None:
    """Of four slots three may be taken. Let in with the one that reads `cqh`, it would make the ring look empty."""
    machine = Machine("v2", cpus=2, iommu={"geometry": {"cq_log2": 2, "fq_log2": 8}})
    machine.boot()
    iommu = machine.core.iommus["iommu0"]
    machine.iommus[0].commands.stall(machine.sim.now, 50 * US, 50 * US)
    rung = doorbells(machine)

    async def send(count: int) -> None:
        for _ in range(count):
            await machine.driver.send(iommu, Iotinval.vma(pscid=1))

    machine.start(send(4), "cpu0")
    machine.go(machine.sim.now + 20 * US)
    machine.start(send(1), "cpu1")
    machine.go(machine.sim.now + 60 * US)
    assert len(rung) == 4, "one command was executed, and one slot is known to be free"


def test_a_fence_is_not_done_while_cqh_shows_what_is_no_index() -> None:
    """As that of a device that does not answer."""
    machine, _ = stalled("merged", 1 * S)
    done: list[bool] = []

    async def fence() -> None:
        done.append(await machine.driver.sync(machine.core.iommus["iommu0"], 100 * US))

    machine.start(fence())
    machine.go(machine.sim.now + 20 * US)
    machine.iommus[0].registers.put(CQH, 0xFFFF_FFFF)
    machine.go(machine.sim.now + 200 * US)
    assert done == [False]


@pytest.mark.parametrize("variant", ["merged", "latest", "ideal"])
def test_there_is_no_room_while_cqh_shows_what_is_no_index(variant: str) -> None:
    machine = Machine(variant, iommu={"geometry": {"cq_log2": 2, "fq_log2": 8}})
    machine.boot()
    iommu, registers = machine.core.iommus["iommu0"], machine.iommus[0].registers
    machine.iommus[0].commands.stall(machine.sim.now, 1 * S)
    rung, head = doorbells(machine), registers.cqh

    async def send() -> None:
        for _ in range(4):
            await machine.driver.send(iommu, Iotinval.vma(pscid=1))

    machine.start(send())
    machine.go(machine.sim.now + 20 * US)
    for shown in (4, 0xFFFF_FFFF):
        registers.put(CQH, shown)
        machine.go(machine.sim.now + 100 * US)
        assert len(rung) == 3
    registers.put(CQH, (head + 1) % 4)
    machine.go(machine.sim.now + 100 * US)
    assert len(rung) == 4, "it has gone on looking"


OVERTAKEN = {"cpu0.a.mw#0": 2}
"""The first doorbell of the first sender stays under way for as long as an action may be held."""


@pytest.mark.parametrize(("queue", "overtaken"), [("tickets", False), ("no-mmiowb", True)])
def test_without_mmiowb_a_later_doorbell_overtakes_an_earlier_one(queue: str, overtaken: bool) -> None:
    """C10: `cqt` then goes back, and the IOMMU takes the ring for almost full."""
    machine = Machine(
        cells={"queue": queue},
        cpus=2,
        chooser=Scheduled(0, OVERTAKEN),
        hold_ps=5 * US,
        iommu={"geometry": {"cq_log2": 4}},
    )
    machine.boot()
    rung = doorbells(machine)
    iommu = machine.core.iommus["iommu0"]

    async def send(address: int) -> None:
        await machine.driver.send(iommu, Iotinval.vma(pscid=1, addr=address))

    machine.sim.explore()
    machine.start(send(0x1000), "cpu0", "a")
    machine.start(send(0x2000), "cpu1", "b")
    machine.go(machine.sim.now + 100 * US)
    first, second = rung
    assert (second < first) is overtaken


# --- Time-outs ------------------------------------------------------------------------------------------------------


def stalled(variant: str, duration_ps: int, **options: Any) -> tuple[Machine, Domain]:
    """A machine whose command consumer stops at the next command, for so long."""
    machine = Machine(variant, **options)
    domain = machine.boot()
    machine.iommus[0].commands.stall(machine.sim.now, duration_ps)
    return machine, domain


@pytest.mark.parametrize(("variant", "patience"), [("v2", 150 * MS), ("merged", 90 * S)])
def test_an_unmap_returns_after_its_time_out_as_if_it_had_flushed(variant: str, patience: int) -> None:
    """C8: what it should have flushed is flushed later, in v2 after 150 ms already."""
    machine, domain = stalled(variant, patience + 50 * MS)
    done = executed(machine)
    took = machine.run(map_and_unmap(machine, domain, 1))
    assert patience <= took < patience + 1 * MS
    assert not done
    assert "timed out" in machine.log[0]
    machine.go(machine.sim.now + 60 * MS)
    assert [kind for _, kind in done] == ["iotinval_vma", "iofence"]


def test_a_fence_within_its_time_is_waited_for() -> None:
    """Also the one of three that fills the ring: its sender has read `cqh`, which stands on that fence itself."""
    machine, domain = stalled("merged", 200 * MS, iommu={"geometry": {"cq_log2": 2}})
    done = executed(machine)
    took = machine.run(map_and_unmap(machine, domain, 1))
    assert 200 * MS <= took < 201 * MS
    for count in (3, 4, 5):
        machine.iommus[0].commands.stall(machine.sim.now, 200 * MS)
        assert machine.run(machine.driver.sync(machine.core.iommus["iommu0"], 1 * S))
        assert len(done) == count
    assert not machine.log


def test_the_short_fence_alone_gives_up_after_150_ms() -> None:
    machine, domain = stalled("merged", 200 * MS, cells={"invalidate": "short-fence"})
    assert 150 * MS <= machine.run(map_and_unmap(machine, domain, 1)) < 151 * MS


def test_a_failed_fence_is_reported_once_by_merged_and_each_time_by_v2() -> None:
    for variant, reports in (("merged", 1), ("v2", 2)):
        machine, domain = stalled(variant, 1000 * S)
        for n in range(2):
            machine.run(map_and_unmap(machine, domain, 1, IOVA + n * PAGE))
        assert len(machine.log) == reports


def test_merged_reports_failed_commands_once_and_failed_fences_once() -> None:
    machine, domain = stalled("merged", 1000 * S, iommu={"geometry": {"cq_log2": 2}})
    for n in range(2):
        machine.run(map_and_unmap(machine, domain, 4, IOVA + n * 4 * PAGE))
    assert [line.partition("command ")[2].split()[0] for line in machine.log] == ["enqueue", "execution"]


def test_a_lost_ticket_kills_the_queue() -> None:
    """C11: a sender that times out at a full ring never gives its ticket back; after that nobody's turn comes."""
    machine, domain = stalled("v2", 200 * MS, iommu={"geometry": {"cq_log2": 2}})
    done = executed(machine)
    first = machine.run(map_and_unmap(machine, domain, 4))
    assert first >= 2 * 150 * MS
    assert "the ring is full" in machine.log[0]
    before = len(done)
    second = machine.run(map_and_unmap(machine, domain, 1, IOVA + 64 * PAGE))
    assert second >= 2 * 150 * MS
    assert len(done) == before


def test_the_turn_is_waited_for_with_interrupts_masked() -> None:
    """While a dead queue is waited for, the CPU serves no interrupt."""
    machine, domain = stalled("v2", 200 * MS, iommu={"geometry": {"cq_log2": 2}})
    machine.run(map_and_unmap(machine, domain, 4))
    served: list[int] = []

    async def handler() -> None:
        served.append((await Now()).time)

    async def connect() -> None:
        await OnInterrupt(99, handler)

    machine.run(connect())
    machine.start(map_and_unmap(machine, domain, 1, IOVA + 64 * PAGE))
    machine.go(machine.sim.now + 10 * MS)
    raised = machine.sim.now
    machine.cpus["cpu0"].message(99)
    machine.go(machine.sim.now + 400 * MS)
    assert served[0] - raised > 100 * MS


# --- Errors ---------------------------------------------------------------------------------------------------------


def illegal(machine: Machine, timeout_ps: int) -> tuple[bool, int]:
    """Send a command that is none and a fence; whether the fence is taken for done, and how long that took."""
    iommu = machine.core.iommus["iommu0"]

    async def send() -> tuple[bool, int]:
        began = (await Now()).time
        await machine.driver.send(iommu, Command((0x7F, 0)))
        done = await machine.driver.sync(iommu, timeout_ps)
        return done, (await Now()).time - began

    return machine.run(send(), "cpu1")


@pytest.mark.parametrize(("variant", "done"), [("merged", False), ("current", True), ("latest", True)])
def test_from_7_1_on_an_error_of_the_queue_is_taken_for_the_completion_of_a_fence(variant: str, done: bool) -> None:
    """Waiting ends as soon as `cqcsr` shows the error; 6.13 waits for all of its time."""
    machine = Machine(variant, cpus=2)
    machine.boot()
    finished, took = illegal(machine, 100 * US)
    assert finished is done
    assert (took < 50 * US) is done


@pytest.mark.parametrize("error", ["cqmf", "cmd_to"])
@pytest.mark.parametrize(("variant", "done"), [("current", True), ("latest", True), ("ideal", False)])
def test_a_wait_ends_with_whatever_error_stops_the_queue(variant: str, done: bool, error: str) -> None:
    machine = Machine(variant, cpus=2)
    machine.boot()
    machine.iommus[0].commands.stall(machine.sim.now, 1 * S)
    found: list[bool] = []

    async def fence() -> None:
        found.append(await machine.driver.sync(machine.core.iommus["iommu0"], 10 * MS))

    machine.start(fence(), "cpu1")
    machine.go(machine.sim.now + 20 * US)
    machine.iommus[0].commands.queue.fail(**{error: 1})
    machine.go(machine.sim.now + 100 * US)
    assert found == [done]


def test_who_waited_for_room_notes_all_that_has_become_free() -> None:
    """In a ring of four, of which three were in use when it was looked at last."""
    machine = Machine(iommu={"geometry": {"cq_log2": 2, "fq_log2": 8}})
    machine.boot()
    iommu, queue = machine.core.iommus["iommu0"], machine.driver.policies.queue

    async def room() -> int:
        consumed = 8 + await iommu.read(CQH)
        await iommu.commands.head.store(consumed - 3)
        assert await queue.room(machine.driver, iommu, consumed, 4)
        return int(await iommu.commands.head.load()) - consumed

    assert machine.run(room()) == 0


def test_an_illegal_command_is_executed_again_each_time_its_error_is_cleared() -> None:
    """A6: nothing repairs it; the queue never gets past it."""
    machine = Machine(cpus=2)
    machine.boot()
    illegal(machine, 100 * US)
    errors = [line for line in machine.log if "illegal 1" in line]
    assert len(errors) > 10
    assert machine.iommus[0].registers.cqh != machine.iommus[0].registers.cqt


def test_an_illegal_command_that_is_replaced_stops_the_queue_once() -> None:
    """The slot holds a fence by the time at which the queue goes on; what is behind it is then executed."""
    machine = Machine(cells={"interrupts": "repairs"}, cpus=2)
    machine.boot()
    finished, _ = illegal(machine, 100 * US)
    assert finished
    assert len([line for line in machine.log if "illegal 1" in line]) == 1
    assert machine.iommus[0].registers.cqh == machine.iommus[0].registers.cqt


def test_a_command_after_the_removal_of_its_iommu_oopses() -> None:
    machine = Machine()
    machine.boot()
    iommu = machine.core.iommus["iommu0"]

    async def remove_and_send() -> None:
        await machine.core.release_device("dev0")
        await machine.core.remove_iommu("iommu0")
        await machine.driver.send(iommu, Iotinval.vma())

    machine.start(remove_and_send())
    machine.go(machine.sim.now + 10 * MS)
    assert any(line.startswith("oops") for line in machine.log)


LATE = {"cpu0.a.st#0": 2, "cpu0.a.st#1": 2}
"""The two stores of the command stay in the store buffer for as long as an action may be held."""


@pytest.mark.parametrize(("queue", "garbage"), [("tickets", False), ("no-dma-wmb", True)])
def test_without_dma_wmb_the_doorbell_overtakes_the_command(queue: str, garbage: bool) -> None:
    """The IOMMU fetches what was in the slot before."""
    machine = Machine(cells={"queue": queue}, chooser=Scheduled(0, LATE), hold_ps=5 * US)
    machine.boot()
    machine.sim.explore()
    machine.start(machine.driver.send(machine.core.iommus["iommu0"], Iotinval.vma(pscid=1)), "cpu0", "a")
    machine.go(machine.sim.now + 100 * US)
    assert any("illegal 1" in line for line in machine.log) is garbage


def test_a_queue_that_is_turned_on_anew_stands_in_no_former_error() -> None:
    machine = Machine()
    machine.boot()
    queue, registers = machine.iommus[0].commands.queue, machine.iommus[0].registers
    machine.iommus[0].commands.stall(machine.sim.now, 1 * S)
    queue.fail(cmd_to=1)
    assert [error.bit for error in queue.errors()] == ["cmd_to"]
    for csr in (0, 1):
        registers.write(CQCSR.offset, 4, csr)
        machine.go(machine.sim.now + 100 * US)
    assert queue.depth
    assert not queue.errors()
