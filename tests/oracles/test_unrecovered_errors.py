"""The oracle of errors: one that is cleared and comes again, and one that nobody clears."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosim.events import (
    CommandExecuted,
    InterruptRaised,
    InterruptServed,
    KernelEnded,
    QueueFailed,
    RegisterRead,
    RegisterWritten,
    RunEnded,
)
from cosim.oracles import Bounds, UnrecoveredErrors
from cosim.spec.queues import Command
from cosim.spec.register_map import CQCSR, CQH, FQCSR, FQT, IPSR
from cosim.spec.registers import Fqcsr, Interrupt
from cosim.units.quantities import MS, US
from tests.oracles import policies
from tests.oracles.judging import Small, judged

ILL = QueueFailed(10, "iommu0", "cq", "cmd_ill", 3)
FULL = QueueFailed(10, "iommu0", "fq", "fqof", 0)
DONE = CommandExecuted(20, "iommu0", 3, (2, 0), "iofence")
KNOWN = InterruptRaised(30, "iommu0", "fip", 1, False)
CLEARED = RegisterWritten(40, "iommu0", FQCSR.offset, 4, Fqcsr.of(fqof=1), "cpu0.t")
AGAIN = ["unrecovered-error: cmd_ill was cleared and comes again"]
STANDS = ["unrecovered-error: fqcsr.fqof is never cleared"]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((ILL,), []),
        ((ILL, DONE, ILL), []),
        ((ILL, replace(DONE, who="iommu1"), ILL), AGAIN),
        ((ILL, replace(ILL, who="iommu1")), []),
        ((ILL, replace(ILL, index=4)), []),
        ((ILL, replace(ILL, bit="cqmf")), []),
        ((ILL, ILL, ILL), AGAIN),
        ((FULL, KNOWN, RunEnded(100)), []),
        ((FULL, replace(KNOWN, time=300), RunEnded(500)), []),
        ((FULL, replace(KNOWN, time=299), RunEnded(500)), STANDS),
        ((FULL, RunEnded(500)), []),
        ((FULL, KNOWN, CLEARED, RunEnded(500)), []),
        ((FULL, KNOWN, RunEnded(500)), STANDS),
        ((FULL, KNOWN, replace(CLEARED, who="iommu1"), RunEnded(500)), STANDS),
        ((FULL, KNOWN, replace(CLEARED, offset=CQCSR.offset), RunEnded(500)), STANDS),
        ((FULL, KNOWN, replace(CLEARED, value=Fqcsr.of(fqmf=1)), RunEnded(500)), STANDS),
        ((FULL, KNOWN, replace(FULL, time=35), RunEnded(500)), STANDS),
        ((FULL, KNOWN, CLEARED, replace(FULL, time=45), RunEnded(500)), []),
        ((FULL, KNOWN, replace(KNOWN, time=400), RunEnded(500)), STANDS),
        ((ILL, KNOWN, RunEnded(500)), []),
    ],
)
def test_an_error_is_cleared_in_time_and_its_cause_removed(events: tuple[object, ...], found: list[str]):
    assert [each.signature for each in judged(UnrecoveredErrors, *events, bounds=Bounds(call_ps=200))] == found


@pytest.mark.slow
def test_an_interrupt_thread_that_only_clears_the_error_of_an_illegal_command_is_seen():
    small = Small()
    driver, iommu = small.runtime.driver, small.runtime.core.iommus["iommu0"]
    small.do(driver.send(iommu, Command((0x7F, 0))), "cpu1", 1 * MS)
    assert "unrecovered-error: cmd_ill was cleared and comes again" in small.signatures


# --- Interrupts -------------------------------------------------------------------------------------------------------

RAISED = InterruptRaised(30, "iommu0", "fip", 1, False)
LOOKED = RegisterRead(45, "iommu0", FQT.offset, 4, 1, "cpu1.irq")
LEFT = InterruptServed(60, "cpu1.irq", 40)
ACKNOWLEDGED = RegisterWritten(90, "iommu0", IPSR.offset, 4, Interrupt.FQ.pending, "cpu1.irq")
END = RunEnded(100)
STAYS = ["unrecovered-error: ipsr.fip is never cleared"]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((RAISED, LOOKED, LEFT, END), STAYS),
        ((RAISED, LOOKED, LEFT, KernelEnded(100)), STAYS),
        ((RAISED, LOOKED, LEFT, KernelEnded(65), END), []),
        ((RAISED, KernelEnded(35), LOOKED, LEFT, END), []),
        ((RAISED, replace(LOOKED, offset=FQCSR.offset), LEFT, END), STAYS),
        ((RAISED, LOOKED, LEFT, replace(LEFT, time=99, began=70), END), STAYS),
        ((RAISED, LOOKED, LEFT, replace(ACKNOWLEDGED, value=Interrupt.CQ.pending), END), STAYS),
        ((RAISED, LOOKED, LEFT, replace(ACKNOWLEDGED, who="iommu1"), END), STAYS),
        ((RAISED, LOOKED, LEFT, ACKNOWLEDGED, END), []),
        ((RAISED, ACKNOWLEDGED, LOOKED, LEFT, END), []),
        ((RAISED, LOOKED, LEFT, ACKNOWLEDGED, replace(RAISED, time=95), END), []),
        ((RAISED, LOOKED, replace(LEFT, began=25), END), []),
        ((RAISED, LOOKED, replace(LEFT, began=50), END), []),
        ((RAISED, replace(LOOKED, offset=CQH.offset), LEFT, END), []),
        ((RAISED, replace(LOOKED, who="iommu1"), LEFT, END), []),
        ((RAISED, LOOKED, replace(LEFT, who="cpu1.other"), END), []),
        ((RAISED, LOOKED, replace(LEFT, time=95), END), []),
        ((replace(RAISED, source="pmip"), LOOKED, LEFT, END), []),
        ((replace(RAISED, source="cip"), replace(LOOKED, offset=CQH.offset), LEFT, END),
         ["unrecovered-error: ipsr.cip is never cleared"]),
    ],
)  # fmt: skip
def test_an_interrupt_that_was_served_and_stands_is_told(events: tuple[object, ...], found: list[str]):
    assert [each.signature for each in judged(UnrecoveredErrors, *events, bounds=Bounds(store_ps=20))] == found


def test_who_has_left_an_interrupt_as_it_was_is_named():
    (violation,) = judged(UnrecoveredErrors, RAISED, LOOKED, LEFT, END, bounds=Bounds(store_ps=20))
    assert violation.message == (
        "iommu0.ipsr.fip stands at the end, since 30 ps, though cpu1.irq has served the queue, and was done at 60 ps"
    )


@pytest.mark.parametrize(("handler", "found"), [("NeverAcknowledges", STAYS), ("AcknowledgesLast", [])])
@pytest.mark.parametrize("igs", ["wsi", "msi"])
def test_a_handler_that_never_acknowledges_is_seen_by_wire_and_by_message(
    handler: str, found: list[str], igs: str
) -> None:
    small = Small(sets=[f"driver.interrupts={policies.__file__}:{handler}", f"iommu0.capabilities.igs={igs}"])
    small.dma("nic0", 0x1000)
    small.wait(20 * US)
    small.system.end([])
    assert [each for each in small.signatures if "ipsr" in each] == found
