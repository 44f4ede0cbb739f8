"""The oracles of the rings that software and IOMMU share: of commands, and of records of faults."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from cosim.events import (
    CommandFetched,
    CommandPassed,
    CommandSent,
    FaultRecorded,
    FellAsleep,
    InterruptRaised,
    KernelEnded,
    LoadSeen,
    QueueFailed,
    RegisterWritten,
    RunEnded,
)
from cosim.oracles import Bounds, CommandRing, FaultRing
from cosim.sim.operations import MmioWrite
from cosim.spec.register_map import CQB, CQCSR, CQT, DDTP, FQB, FQCSR, FQH, IPSR
from cosim.spec.registers import Cqcsr, Fqcsr, Interrupt, IommuMode, QueueBase
from cosim.units.quantities import US
from tests.oracles.judging import Held, Small, judged

POLICIES = "tests/oracles/policies.py"


def of(small: Small, oracle: str) -> list[str]:
    return [signature for signature in small.signatures if signature.startswith(f"{oracle}: ")]


# --- The command ring ------------------------------------------------------------------------------------------------

RING = RegisterWritten(0, "iommu0", CQB.offset, 8, QueueBase.placed(0x8000_0000, 4, 16), "cpu0.boot")
ON = RegisterWritten(5, "iommu0", CQCSR.offset, 4, Cqcsr.cqen.mask, "cpu0.boot")
OFF = RegisterWritten(90, "iommu0", CQCSR.offset, 4, 0, "cpu0.t")


LED = RegisterWritten(6, "iommu0", DDTP.offset, 8, IommuMode.LVL1, "cpu0.boot")
BARE = replace(LED, value=IommuMode.BARE)
UNFILLED = "a slot was published that was not filled"

ILLEGAL = QueueFailed(35, "iommu0", "cq", "cmd_ill", 0)
FAULTED = QueueFailed(35, "iommu0", "cq", "cqmf", 0)


def rung(value: int) -> RegisterWritten:
    return RegisterWritten(20, "iommu0", CQT.offset, 4, value, "cpu0.t")


def sent(slot: int, word: int = 1) -> CommandSent:
    return CommandSent(10, "cpu0.t", "iommu0", slot, (word, 0))


def fetched(slot: int, word: int = 1) -> CommandFetched:
    return CommandFetched(30, "iommu0", slot, (word, 0))


def done(slot: int) -> CommandPassed:
    return CommandPassed(40, "iommu0", slot)


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((sent(0), rung(1), fetched(0), done(0), sent(1), sent(2), rung(3)), ""),
        ((sent(0), sent(1), rung(2), done(0), done(1), sent(2), sent(3), sent(0), rung(1)), ""),
        ((sent(0), sent(1), rung(2), done(0), sent(2), sent(3), rung(0)), ""),
        (
            (sent(0), sent(1), rung(2), done(0), sent(2), sent(3), sent(0), rung(1)),
            "the ring was filled to its last slot",
        ),
        ((rung(1), rung(2), rung(3), rung(0)), "the ring was filled to its last slot"),
        ((rung(3), done(0), done(1), rung(2)), "cqt moved back"),
        ((*(sent(slot) for slot in range(4)), rung(3), rung(1)), "a slot was published that was not filled"),
        ((sent(0), rung(1), OFF, done(0), ON, sent(0), sent(1), sent(2), rung(3)), ""),
        ((sent(0), sent(1), rung(2), rung(1)), "cqt moved back"),
        ((sent(0), rung(1), rung(2)), "a slot was published that was not filled"),
        (
            (sent(0), sent(1), rung(2), done(0), done(1), sent(2), sent(3), rung(0), done(2), done(3), rung(1)),
            "a slot was published that was not filled",
        ),
        ((sent(0), sent(0)), "a slot was overwritten, filled and not passed"),
        ((sent(0), rung(1), sent(0)), "a slot was overwritten, published and not passed"),
        ((sent(0), sent(1), rung(2), sent(1)), "a slot was overwritten, published and not passed"),
        ((sent(0), rung(1), OFF, sent(0), rung(1)), ""),
        ((ON, sent(0), RING, sent(1), rung(2)), ""),
        ((ON, sent(0), OFF, RING, sent(1), rung(2), ON), "a slot was published that was not filled"),
        ((ON, LED, sent(0), BARE, OFF, sent(1), rung(2)), ""),
        ((ON, LED, sent(0), BARE, OFF, sent(1), rung(2), rung(0), ON, sent(0), rung(1), rung(3)), UNFILLED),
        ((ON, LED, sent(0), BARE, OFF, sent(1), rung(2), ON), UNFILLED),
        ((sent(0, 1), rung(1), fetched(0, 1), ILLEGAL, fetched(0, 2), done(0), sent(1), rung(2)), ""),
        ((sent(0, 1), rung(1), fetched(0, 1), FAULTED, fetched(0, 2)), "what was fetched is not what was sent"),
    ],
)
def test_the_ring_is_used_in_order(events: tuple[object, ...], found: str):
    assert [each.signature.removeprefix("command-ring: ") for each in judged(CommandRing, RING, *events)] == [
        each for each in (found,) if each
    ]


TURNED_OFF = ["command-ring: the command queue of an IOMMU in service was turned off"]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((ON, LED, sent(0), rung(1), done(0), OFF, sent(1), rung(2)), TURNED_OFF),
        ((ON, LED, OFF, OFF, sent(0), rung(1), sent(1), rung(2)), TURNED_OFF),
        ((ON, LED, OFF), []),
        ((ON, LED, OFF, rung(0)), []),
        ((ON, LED, OFF, sent(0), rung(1), ON), []),
        ((ON, LED, OFF, sent(0), rung(1), BARE), []),
        ((ON, LED, OFF, sent(0), rung(1), KernelEnded(95)), []),
        ((ON, LED, OFF, sent(0), rung(1), KernelEnded(95), LED), []),
        ((ON, LED, BARE, OFF, sent(0), rung(1)), []),
        ((LED, OFF, sent(0), rung(1)), []),
    ],
)
def test_commands_for_a_queue_that_was_turned_off_and_stays_off_are_told(
    events: tuple[object, ...], found: list[str]
) -> None:
    assert [each.signature for each in judged(CommandRing, RING, *events, RunEnded(200))] == found


def test_of_the_commands_for_a_queue_that_is_off_the_first_is_told() -> None:
    published = [replace(rung(slot), time=90 + 10 * slot, by=f"cpu{slot}.t") for slot in (1, 2, 3)]
    (found,) = judged(CommandRing, RING, ON, LED, OFF, *published, RunEnded(200))
    assert found.message.startswith("iommu0.cqt goes to 1 at 100 ps, by cpu1.t, and no such command is executed")
    assert found.time_ps == 100


EARLY = "a command was fetched before it was in its slot"
OVERWRITTEN = "a command was overwritten in its slot before it was fetched"
NEVER = "a command never came into its slot"
OTHER = "what was fetched is not what was sent"
SLOT1 = 0x8000_0010


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ([], [(1, 0)], EARLY),
        ([], [(1, 7), (1, 0)], EARLY),
        ([(1, 0)], [], EARLY),
        ([(1, 0), (3, 0)], [], OVERWRITTEN),
        ([(1, 7), (3, 0)], [], OVERWRITTEN),
        ([(3, 0)], [], NEVER),
        ([], [(9, 7)], NEVER),
    ],
)
@pytest.mark.parametrize("end", [OFF, RunEnded(200), sent(1, 5)])
def test_how_something_else_came_to_be_fetched(
    before: list[tuple[int, int]], after: list[tuple[int, int]], found: str, end: object
) -> None:
    """The command (1, 0) is for slot 1, where (3, 0) is fetched; `before` and `after` is what is put there."""
    memory = Held()
    puts = [[partial(memory.put, SLOT1, *words) for words in each] for each in (before, after)]
    events = [RING, ON, sent(0), sent(1), *puts[0], rung(2), done(0), fetched(1, 3), done(1), *puts[1], end]
    violations = judged(CommandRing, *events, memory=memory)
    assert [(each.signature, each.time_ps) for each in violations] == [(f"command-ring: {found}", 30)]


def test_what_is_fetched_again_before_the_command_comes_is_told_once() -> None:
    memory = Held()
    events = [RING, ON, sent(0), rung(1), fetched(0, 3), fetched(0, 3), partial(memory.put, SLOT1 - 16, 1, 0), done(0)]
    assert [each.signature for each in judged(CommandRing, *events, memory=memory)] == [f"command-ring: {EARLY}"]


def test_where_memory_forgets_nobody_says_that_a_command_was_never_there() -> None:
    events = [RING, ON, sent(0), rung(1), fetched(0, 3)]
    (found,) = judged(CommandRing, *events, RunEnded(200), memory=Held(remembering=False))
    assert found.signature == f"command-ring: {OTHER}"


@pytest.mark.parametrize(("queue", "found"), [("PutsOver", OVERWRITTEN), ("PutsElsewhere", NEVER)])
def test_what_a_driver_does_to_its_slots_is_told_by_what_they_hold(queue: str, found: str) -> None:
    small = Small(sets=[f"driver.queue={POLICIES}:{queue}"])
    small.system.end([])
    assert set(of(small, "command-ring")) == {f"command-ring: {found}"}


def test_of_a_ring_whose_place_was_never_written_nothing_is_said() -> None:
    """As when an IOMMU has it hardwired."""
    assert not judged(CommandRing, ON, sent(0), rung(1), fetched(0, 2), ILLEGAL, done(0), rung(0), OFF)
    assert not judged(FaultRing, switched(True), RECORD, CAME, CLEARED, served(2), LEFT, RunEnded(200))


def test_doorbells_that_overtake_one_another_are_seen():
    """Defect C10: two doorbells arrive in the other order; here one is simply rung again by a thread."""
    small = Small()
    iova, _ = small.map("nic0")
    small.unmap("nic0", iova)
    assert of(small, "command-ring") == []
    iommu = small.system.iommus["iommu0"]
    tail = iommu.registers.read(CQT.offset, 4)
    small.do(_write(iommu.options.base + CQT.offset, tail - 1))
    assert of(small, "command-ring") == ["command-ring: cqt moved back"]


async def _write(address: int, value: int) -> None:
    await MmioWrite(address, value, 4)


# --- The fault ring --------------------------------------------------------------------------------------------------

FAULTS = RegisterWritten(0, "iommu0", FQB.offset, 8, QueueBase.placed(0x8000_0000, 4, 32), "cpu0.boot")
HALF = RegisterWritten(0, "iommu0", FQB.offset, 4, 0, "cpu0.boot")
RECORD = FaultRecorded(20, "iommu0", 1, 13, 0x1000, 2, True, True, 0)
LOST = FaultRecorded(20, "iommu0", 1, 13, 0x1000, 2, False, True, 0)


def switched(on: bool) -> RegisterWritten:
    """The queue's interrupt stays as it was."""
    return RegisterWritten(10, "iommu0", FQCSR.offset, 4, Fqcsr.of(fqen=on, fie=1), "cpu0.boot")


def served(head: int) -> RegisterWritten:
    return RegisterWritten(30, "iommu0", FQH.offset, 4, head, "cpu0.t")


def load(slot: int) -> LoadSeen:
    return LoadSeen(25, "cpu0.t", 0x8000_0000 + 32 * slot + 8)


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((RECORD, load(0), RECORD, load(1), served(2)), ""),
        ((RECORD, RECORD, load(0), served(1), load(1), served(2)), ""),
        ((RECORD, RECORD, load(1), served(2)), "a record was passed that nobody read"),
        ((RECORD, load(0), RECORD, served(2)), "a record was passed that nobody read"),
        ((load(0), RECORD, served(1)), "a record was passed that nobody read"),
        ((RECORD, load(1), served(1)), "a record was passed that nobody read"),
        ((RECORD, load(0), served(1), load(0), load(0)), "a record was read after it was given back"),
        ((RECORD, load(0), served(1), switched(False), load(0)), ""),
        ((RECORD, load(0), served(1), switched(False), switched(True), load(0)), ""),
        ((RECORD, load(0), served(1), load(1), load(3)), ""),
        ((RECORD, switched(False), served(1)), ""),
        ((RECORD, served(3)), "fqh moved back"),
        ((RECORD, served(3), load(0)), "fqh moved back"),
    ],
)
def test_each_record_is_read_before_it_is_given_back(events: tuple[object, ...], found: str):
    violations = judged(FaultRing, FAULTS, switched(True), *events, memory=Held())
    assert [each.signature for each in violations] == [f"fault-ring: {each}" for each in (found,) if each]


def test_a_slot_has_another_record_once_the_ring_has_come_round():
    rounds = [each for slot in range(4) for each in (RECORD, load(slot), served((slot + 1) % 4))]
    assert not judged(FaultRing, FAULTS, switched(True), *rounds, RECORD, load(0), served(1), memory=Held())
    (found,) = judged(FaultRing, FAULTS, switched(True), *rounds, RECORD, served(1), memory=Held())
    assert found.message.endswith("a word of 1 of these records; the first one is in slot 0, since 20 ps")


def test_whoever_writes_fqb_by_halves_or_where_no_memory_is_has_no_reader_that_is_seen():
    """Neither is it known where the records are, nor who loads them."""
    assert not judged(FaultRing, FAULTS, HALF, switched(True), RECORD, served(1), memory=Held())
    assert not judged(FaultRing, FAULTS, switched(True), RECORD, served(1))


@pytest.mark.parametrize(
    ("interrupts", "found"),
    [
        ("prints-and-clears", []),
        (f"{POLICIES}:ReadsNothing", ["a record was passed that nobody read"]),
        (f"{POLICIES}:ReadsLate", ["a record was read after it was given back"]),
    ],
)
@pytest.mark.parametrize("model", ["rvwmo", "sequential"])
def test_a_driver_that_reads_no_record_or_the_one_before_is_seen(interrupts: str, found: list[str], model: str):
    small = Small(sets=[f"driver.interrupts={interrupts}", f"cpu.memory_model={model}"])
    for _ in range(2):
        small.dma("nic0", 0x1000)
    small.wait(20 * US)
    assert of(small, "fault-ring") == [f"fault-ring: {each}" for each in found]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((RECORD, RECORD, served(1), served(1), served(2)), ""),
        ((RECORD, RECORD, served(2), RECORD, RECORD, served(0)), ""),
        ((RECORD, served(1), switched(True), RECORD, served(2)), ""),
        ((RECORD, served(1), switched(False), served(0), switched(True), RECORD, served(1)), ""),
        ((RECORD, served(1), switched(False), RING, switched(True), served(1)), ""),
        ((RECORD, FAULTS, served(1)), ""),
        ((RECORD, switched(False), FAULTS, switched(True), served(1)), "a slot was passed that had no record"),
        ((RECORD, switched(False), served(0), switched(True), served(1)), "a slot was passed that had no record"),
        ((RECORD, served(3)), "fqh moved back"),
        ((RECORD, RECORD, served(2), served(1)), "fqh moved back"),
        ((RECORD, RECORD, switched(False), HALF, switched(True), RECORD, RECORD, served(3)), "fqh moved back"),
        ((served(1),), "a slot was passed that had no record"),
        ((served(2),), "a slot was passed that had no record"),
        ((LOST, served(1)), "a slot was passed that had no record"),
        ((RECORD, served(1), served(2)), "a slot was passed that had no record"),
    ],
)
def test_the_fault_ring_is_emptied_in_order(events: tuple[object, ...], found: str):
    violations = judged(FaultRing, FAULTS, switched(True), *events)
    assert [each.signature for each in violations] == [f"fault-ring: {each}" for each in (found,) if each]


IRQ = "cpu0.irq16-iommu0"
CAME = InterruptRaised(110, "iommu0", "fip", 1, False)
CLEARED = RegisterWritten(120, "iommu0", IPSR.offset, 4, Interrupt.FQ.pending, IRQ)
LEFT = FellAsleep(140, IRQ, "")


def fault(time: int) -> FaultRecorded:
    return replace(RECORD, time=time)


def passed(time: int, head: int) -> RegisterWritten:
    return replace(served(head), time=time, by=IRQ)


@pytest.mark.parametrize(
    ("events", "unread"),
    [
        ((fault(100), CAME, CLEARED, LEFT), 1),
        ((fault(100), CAME, fault(115), CLEARED, LEFT), 2),
        ((fault(100), CAME, CLEARED, passed(130, 1), LEFT), 0),
        ((fault(100), CAME, fault(115), CLEARED, passed(130, 1), LEFT), 1),
        ((fault(100), CAME, CLEARED, fault(125), passed(130, 1), LEFT), 0),
        ((fault(100), CAME, CLEARED, LEFT, passed(150, 1)), 0),
        ((fault(100), CAME, CLEARED, LEFT, switched(False)), 0),
        ((fault(100), CAME, CLEARED, LEFT, fault(145), replace(CLEARED, time=150)), 1),
        ((fault(100), CAME, CLEARED, LEFT, replace(CAME, time=150)), 0),
        ((fault(100), CAME, CLEARED, replace(CAME, time=130), LEFT), 0),
        ((fault(100), CAME, CLEARED, LEFT, replace(CAME, time=150, source="cip")), 1),
        ((fault(100), CAME, CLEARED, LEFT, replace(LEFT, time=198)), 1),
        ((fault(100), CAME, CLEARED, FellAsleep(140, "cpu0.t", "")), 0),
        ((fault(100), CAME, replace(CLEARED, value=Interrupt.CQ.pending), LEFT), 0),
        ((fault(100), CLEARED, LEFT), 0),
        ((fault(100), CAME, CLEARED, replace(LEFT, time=196)), 0),
        ((fault(100), switched(False), switched(True), CAME, CLEARED, LEFT), 0),
    ],
)
def test_a_record_that_was_there_when_its_interrupt_was_cleared_is_read(events: tuple[object, ...], unread: int):
    """Unless another interrupt came, whoever serves them may yet move `fqh`, or the queue is off."""
    violations = judged(FaultRing, FAULTS, switched(True), *events, RunEnded(200), bounds=Bounds(store_ps=5))
    assert [each.signature for each in violations] == ["fault-ring: records are never read"] * bool(unread)
    assert all(f" has {unread} of its records unread" in each.message for each in violations)
    assert all(each.message.endswith("whoever has cleared their interrupt left at 140 ps") for each in violations)
