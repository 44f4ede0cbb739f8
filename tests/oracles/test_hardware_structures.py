"""The oracles of what software and IOMMU share: both rings, device contexts, roots, entries of the IOTLB."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosim.events import (
    Attached,
    CacheFilled,
    CommandFetched,
    CommandPassed,
    CommandSent,
    ContextChanged,
    FaultRecorded,
    FellAsleep,
    InterruptRaised,
    QueueFailed,
    RegisterWritten,
    RunEnded,
)
from cosim.hw.iommu.translate.iotlb import Iotlb
from cosim.hw.iommu.translate.leaf import Leaf
from cosim.hw.iommu.translate.reservations import Reservation
from cosim.oracles import Bounds, CommandRing, ContextUpdate, FaultRing, IotlbEntries, OneRoot
from cosim.oracles.translations import Pages, Translations
from cosim.sim.operations import MmioWrite
from cosim.spec.register_map import CQB, CQCSR, CQT, FQB, FQCSR, FQH, IPSR
from cosim.spec.registers import Cqcsr, Fqcsr, Interrupt, QueueBase
from cosim.spec.translation import DcTa, Fsc, IosatpMode
from cosim.units.quantities import US
from tests.oracles.judging import Small, judged


def of(small: Small, oracle: str) -> list[str]:
    return [signature for signature in small.signatures if signature.startswith(f"{oracle}: ")]


# --- The command ring ------------------------------------------------------------------------------------------------

RING = RegisterWritten(0, "iommu0", CQB.offset, 8, QueueBase.placed(0x8000_0000, 4, 16), "cpu0.boot")
ON = RegisterWritten(5, "iommu0", CQCSR.offset, 4, Cqcsr.cqen.mask, "cpu0.boot")
OFF = RegisterWritten(90, "iommu0", CQCSR.offset, 4, 0, "cpu0.t")


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
            "cqt moved back",
        ),
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
        ((sent(0, 1), rung(1), fetched(0, 2)), "a command was fetched before it was in its slot"),
        ((sent(0), rung(1), OFF, sent(0), rung(1)), ""),
        ((ON, sent(0), RING, sent(1), rung(2)), ""),
        ((ON, sent(0), OFF, RING, sent(1), rung(2)), "a slot was published that was not filled"),
        ((sent(0, 1), rung(1), fetched(0, 1), ILLEGAL, fetched(0, 2), done(0), sent(1), rung(2)), ""),
        (
            (sent(0, 1), rung(1), fetched(0, 1), FAULTED, fetched(0, 2)),
            "a command was fetched before it was in its slot",
        ),
    ],
)
def test_the_ring_is_used_in_order(events: tuple[object, ...], found: str):
    assert [each.signature.removeprefix("command-ring: ") for each in judged(CommandRing, RING, *events)] == [
        each for each in (found,) if each
    ]


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
    return RegisterWritten(10, "iommu0", FQCSR.offset, 4, Fqcsr.of(fqen=on, fie=on), "cpu0.boot")


def served(head: int) -> RegisterWritten:
    return RegisterWritten(30, "iommu0", FQH.offset, 4, head, "cpu0.t")


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
        ((fault(100), CAME, CLEARED, LEFT, replace(CAME, time=150)), 0),
        ((fault(100), CAME, CLEARED, FellAsleep(140, "cpu0.t", "")), 0),
        ((fault(100), CAME, replace(CLEARED, value=Interrupt.CQ.pending), LEFT), 0),
        ((fault(100), CLEARED, LEFT), 0),
        ((fault(100), CAME, CLEARED, replace(LEFT, time=196)), 0),
    ],
)
def test_a_record_that_was_there_when_its_interrupt_was_cleared_is_read(events: tuple[object, ...], unread: int):
    """Unless another interrupt came, whoever serves them may yet move `fqh`, or the queue is off."""
    violations = judged(FaultRing, FAULTS, switched(True), *events, RunEnded(200), bounds=Bounds(store_ps=5))
    assert [each.signature for each in violations] == ["fault-ring: records are never read"] * bool(unread)
    assert all(f" has {unread} of its records unread" in each.message for each in violations)


# --- Device contexts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attach", "found"),
    [
        ("bond-first", []),
        ("flushes-contexts", []),
        ("live-update", ["context-update: a context is changed while it is valid"]),
        ("keeps-invalidated", ["context-update: a context is changed while it may be cached"]),
    ],
)
def test_a_context_that_an_iommu_may_be_using_is_not_changed(attach: str, found: list[str]):
    """Defects C4 and C1, with no device that makes a request."""
    small = Small(sets=[f"driver.attach={attach}"])
    small.make("other")
    small.move("nic0", "other")
    small.do(small.runtime.core.release_device("nic0"))
    assert of(small, "context-update") == found


def test_a_change_is_one_violation_however_many_words_it_has():
    words = [("ta", DcTa.of(pscid=1)), ("fsc", Fsc.of(mode=IosatpMode.SV39, ppn=1)), ("tc", 1), ("tc", 0)]
    words += [("ta", DcTa.of(pscid=2)), ("fsc", Fsc.of(mode=IosatpMode.SV39, ppn=2)), ("tc", 1)]
    events = [ContextChanged(time, "iommu0", 1, field, value) for time, (field, value) in enumerate(words)]
    (found,) = judged(ContextUpdate, *events)
    assert found.time_ps == 4


# --- Roots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "found"),
    [("per-page", []), ("root-at-attach", ["one-root: devices of one domain have different roots"])],
)
def test_two_devices_of_a_domain_that_walk_from_different_roots_are_seen(tables: str, found: list[str]):
    """Remark B9: both find no root, at the same time; one finds its own as long as its store is in the buffer."""
    small = Small(sets=[f"driver.tables={tables}", "cpu2.timing.drain=2 us"])
    small.make("shared")
    small.move("nic0", "shared", cpu="cpu1", wait_ps=1)
    small.move("nic2", "shared", cpu="cpu2", wait_ps=60 * US)
    assert of(small, "one-root") == found


def entered(time: int, device: str, roots: dict[int, int]) -> list[object]:
    """A device enters d, where the context of each of its ids names a root."""
    events: list[object] = []
    for number, root in roots.items():
        words = [("ta", DcTa.of(pscid=number)), ("fsc", Fsc.of(mode=IosatpMode.SV39, ppn=root)), ("tc", 1)]
        events += [ContextChanged(time, "iommu0", number, field, value) for field, value in words]
    return [*events, Attached(time, "t", device, tuple(roots), "d", "iommu0")]


@pytest.mark.parametrize(
    ("roots", "times"), [({2: 0x10, 3: 0x10}, []), ({2: 0x10, 3: 0x20}, [9]), ({2: 0x20, 3: 0x10}, [9, 9])]
)
def test_each_id_of_a_device_walks_from_the_root_of_its_domain(roots: dict[int, int], times: list[int]) -> None:
    found = judged(OneRoot, *entered(1, "nic0", {1: 0x10}), *entered(9, "nic1", roots))
    assert [each.time_ps for each in found] == times


def test_who_has_left_a_domain_says_nothing_of_its_root_any_more():
    """nic0 leaves d, which is freed; another domain of that name has another root, and nic1 enters it."""
    first, second = entered(1, "nic0", {1: 0x10}), entered(9, "nic1", {2: 0x20})
    assert [each.time_ps for each in judged(OneRoot, *first, *second)] == [9]
    for where in ("other", ""):
        gone = Attached(5, "t", "nic0", (1,), where, "iommu0")
        assert not judged(OneRoot, *first, gone, *second)


# --- Entries of the IOTLB --------------------------------------------------------------------------------------------


def test_an_entry_under_a_pscid_that_no_context_names_is_seen():
    (found,) = judged(IotlbEntries, CacheFilled(5, "iommu0.iotlb", (-1, 7, 12, 0x1), False, 0x8000_0000))
    assert found.signature == "iotlb-entries: an entry under a PSCID that nobody owns"


def test_an_entry_that_its_owner_does_not_map_is_seen(monkeypatch: pytest.MonkeyPatch):
    small = Small()
    (iova, _), (other, _) = small.map("nic0"), small.map("nic0")
    small.dma("nic0", iova)
    assert of(small, "iotlb-entries") == []
    fill = Iotlb.fill

    def wrong(self: Iotlb, leaf: Leaf, reserved: Reservation | None = None) -> None:
        leaf.base += 4096
        fill(self, leaf, reserved)

    monkeypatch.setattr(Iotlb, "fill", wrong)
    small.dma("nic0", other)
    assert of(small, "iotlb-entries") == ["iotlb-entries: an entry that its owner does not map"]


def test_an_entry_of_half_a_terabyte_is_judged_by_what_is_mapped_and_not_page_by_page():
    """The entry of a root table, as the defect `cache_invalid` keeps it: 2**27 pages, of which two are mapped."""

    class Unasked(dict[int, int]):
        def get(self, page: int, default: object = None) -> int:
            assert page in self, f"page {page:#x} is not mapped and was asked for"
            return self[page]

    translations = Translations()
    translations.live["d"] = Pages(Unasked({1: 0x5000, 1 << 30: 0x6000}), Unasked())
    assert translations.any_fits("d", range(1 << 27), 0x5000)
    assert not translations.any_fits("d", range(1 << 27), 0x6000)
    assert not translations.any_fits("d", range(1, 2), 0x6000)


@pytest.mark.parametrize(("defect", "found"), [("false", []), ("true", ["an entry that was invalidated before"])])
def test_a_walk_that_fills_in_what_was_invalidated_meanwhile_is_seen(defect: str, found: list[str]):
    """The defect `stale_fill`, and a read of the leaf that takes far longer than the unmap."""
    small = Small(sets=[f"iommu0.defects.stale_fill={defect}", "iommu0.timing.walk_step=40 us"])
    iova, _ = small.map("nic0")
    small.system.masters["nic0"].request(iova, 8, False)
    small.wait(290 * US)  # three reads of the directory, four of tables, and the leaf is read
    small.unmap("nic0", iova, wait_ps=400 * US)
    assert [each.removeprefix("iotlb-entries: ") for each in of(small, "iotlb-entries")] == found
