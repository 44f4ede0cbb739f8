"""The oracle of errors: one that is cleared and comes again, and one that nobody clears."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosim.events import CommandExecuted, InterruptRaised, QueueFailed, RegisterWritten, RunEnded
from cosim.oracles import Bounds, UnrecoveredErrors
from cosim.spec.queues import Command
from cosim.spec.register_map import CQCSR, FQCSR
from cosim.spec.registers import Fqcsr
from cosim.units.quantities import MS
from tests.oracles.judging import Small, judged

ILL = QueueFailed(10, "iommu0", "cq", "cmd_ill", 3)
FULL = QueueFailed(10, "iommu0", "fq", "fqof", 0)
DONE = CommandExecuted(20, "iommu0", 3, (2, 0), "iofence")
KNOWN = InterruptRaised(30, "iommu0", "fip", 1, False)
CLEARED = RegisterWritten(40, "iommu0", FQCSR.offset, 4, Fqcsr.of(fqof=1), "cpu0.t")
STANDS = ["unrecovered-error: fqcsr.fqof is never cleared"]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((ILL,), []),
        ((ILL, DONE, ILL), []),
        ((ILL, ILL, ILL), ["unrecovered-error: cmd_ill was cleared and comes again"]),
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
