"""The oracle of faults: what is not recorded leaves a sign in fqcsr."""

from __future__ import annotations

import pytest

from cosim.events import FaultRecorded, KernelEnded, RegisterWritten, RunEnded
from cosim.oracles import LostFaults, Violation
from cosim.spec.register_map import DDTP, FQCSR
from cosim.spec.registers import Fqcsr, IommuMode
from tests.oracles import policies
from tests.oracles.judging import Small
from tests.oracles.judging import judged as judged_by

ON = Fqcsr.of(fqen=1, fie=1, fqon=1)


def judged(fqcsr: int, *, recorded: bool = False, reported: bool = True) -> list[Violation]:
    return judged_by(LostFaults, fault(5_000_000, fqcsr, recorded=recorded, reported=reported))


def fault(time: int, fqcsr: int, *, recorded: bool = False, reported: bool = True) -> FaultRecorded:
    return FaultRecorded(time, "iommu0", 1, 13, 0x1000, 2, recorded, reported, fqcsr)


def test_a_fault_that_is_lost_though_the_queue_is_on_is_reported():
    (violation,) = judged(ON)
    assert violation.message == (
        "iommu0 recorded no fault 13 of device 1 at IOVA 0x1000, by 5 us, though its fault queue was on and no error "
        "bit is set"
    )
    assert violation.signature == "lost-faults: read_page_fault has no record"


@pytest.mark.parametrize("bits", [{"fqof": 1}, {"fqmf": 1}, {"fqon": 0}, {"fqen": 0}])
def test_one_that_the_queue_could_not_take_is_excused(bits):
    assert not judged(ON.replace(**bits))


def test_one_that_is_recorded_or_kept_back_by_dtf_is_right():
    assert not judged(ON, recorded=True)
    assert not judged(ON, reported=False)


# --- Queues that are turned off ---------------------------------------------------------------------------------------


def led(time: int, mode: IommuMode) -> RegisterWritten:
    return RegisterWritten(time, "iommu0", DDTP.offset, 8, mode, "cpu0.boot")


def switched(time: int, on: bool, by: str = "cpu1.irq") -> RegisterWritten:
    return RegisterWritten(time, "iommu0", FQCSR.offset, 4, Fqcsr.of(fqen=on, fie=1), by)


BOOT = (switched(1, True), led(2, IommuMode.LVL3))
OFF, AGAIN = switched(10, False), switched(30, True)
LOST = fault(20, 0)
TURNED_OFF = ["lost-faults: the fault queue of an IOMMU in service was turned off"]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((*BOOT, OFF, LOST), TURNED_OFF),
        ((*BOOT, OFF, LOST, AGAIN), TURNED_OFF),
        ((*BOOT, OFF, LOST, AGAIN, fault(40, ON, recorded=True)), TURNED_OFF),
        ((*BOOT, OFF, AGAIN, fault(35, ON.replace(fqon=0))), TURNED_OFF),
        ((*BOOT, OFF, LOST, AGAIN, switched(50, False), fault(60, 0)), TURNED_OFF * 2),
        ((*BOOT, OFF, LOST, AGAIN, led(50, IommuMode.BARE)), TURNED_OFF),
        ((*BOOT, OFF, switched(11, False), LOST), TURNED_OFF),
        ((*BOOT, OFF), []),
        ((*BOOT, OFF, AGAIN, fault(40, ON, recorded=True), fault(50, ON.replace(fqof=1))), []),
        ((*BOOT, OFF, fault(20, 0, reported=False)), []),
        ((*BOOT, OFF, fault(20, Fqcsr.of(fqof=1))), []),
        ((*BOOT, OFF, LOST, led(25, IommuMode.OFF)), []),
        ((*BOOT, OFF, LOST, KernelEnded(25)), []),
        ((*BOOT, led(5, IommuMode.BARE), OFF, LOST), []),
        ((*BOOT, KernelEnded(5), OFF, LOST), []),
        ((*BOOT, KernelEnded(5), switched(6, True), OFF, LOST), []),
        ((*BOOT, led(5, IommuMode.OFF), switched(6, False), switched(7, True), led(8, IommuMode.LVL1), OFF, LOST),
         TURNED_OFF),
    ],
)  # fmt: skip
def test_what_is_lost_while_software_has_turned_the_queue_off_is_reported(events, found):
    assert [each.signature for each in judged_by(LostFaults, *events, RunEnded(100))] == found


LED = led(2, IommuMode.LVL3)
NEVER_ON = ["lost-faults: the fault queue of an IOMMU in service was never turned on"]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((LED, LOST), NEVER_ON),
        ((LED, OFF, LOST), NEVER_ON),
        ((LED, LOST, AGAIN, fault(40, ON, recorded=True)), NEVER_ON),
        ((LED, LOST, led(25, IommuMode.OFF)), NEVER_ON),
        ((LED, LOST, KernelEnded(25)), NEVER_ON),
        ((*BOOT, KernelEnded(5), led(6, IommuMode.LVL3), LOST), NEVER_ON),
        ((LED, LOST, AGAIN, OFF, fault(60, 0)), NEVER_ON + TURNED_OFF),
        ((LED,), []),
        ((LOST,), []),
        ((led(2, IommuMode.BARE), LOST), []),
        ((LED, switched(3, True), LOST), []),
        ((*BOOT, KernelEnded(5), LOST), []),
        ((LED, fault(20, 0, reported=False)), []),
    ],
)
def test_what_an_iommu_in_service_loses_because_nobody_has_turned_its_queue_on_is_reported(events, found):
    assert [each.signature for each in judged_by(LostFaults, *events, RunEnded(100))] == found


def test_what_was_lost_first_is_told_of_a_queue_that_was_never_on():
    (violation,) = judged_by(LostFaults, LED, LOST, fault(21, 0), RunEnded(100))
    assert violation.message == (
        "iommu0 recorded no fault 13 of device 1 at IOVA 0x1000, by 20 ps, nor 1 more: its fault queue was not on"
    )
    assert (violation.time_ps, violation.since_ps) == (20, 20)


def test_who_has_turned_it_off_and_what_was_lost_first_is_told():
    more = (fault(21, 0), fault(22, 0))
    (violation,) = judged_by(LostFaults, *BOOT, OFF, LOST, *more, AGAIN, RunEnded(100))
    assert violation.message == (
        "iommu0 recorded no fault 13 of device 1 at IOVA 0x1000, by 20 ps, nor 2 more: cpu1.irq has turned its fault "
        "queue off, at 10 ps"
    )
    assert (violation.time_ps, violation.since_ps) == (20, 10)


@pytest.mark.parametrize(("handler", "found"), [("TurnsOff", TURNED_OFF), ("TurnsOffAndOn", [])])
def test_a_handler_that_leaves_the_fault_queue_off_is_seen(handler: str, found: list[str]) -> None:
    small = Small(sets=[f"driver.interrupts={policies.__file__}:{handler}"])
    for _ in range(2):
        small.dma("nic0", 0x1000)
        small.wait(20_000_000)
    small.system.end([])
    assert small.signatures == found
