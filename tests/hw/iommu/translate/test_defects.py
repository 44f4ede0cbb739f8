"""Hardware that errs about what is cached: seen with each defect, and not without."""

from __future__ import annotations

import pytest

from cosim.spec.queues import Iotinval
from tests.hw.iommu.harness import System

SMALL, LARGE = 0x8100_0000, 0x8120_0000
"""Where a page leads to, and where the large page leads to that takes its place."""


@pytest.mark.parametrize("defective", [False, True])
def test_only_defective_hardware_goes_on_from_a_pointer_that_was_invalidated(defective: bool) -> None:
    system = System(defects={"keep_nonleaf": defective})
    space = system.device()
    space.map(0, SMALL)
    assert system.translate(0).address == SMALL
    space.map(0, LARGE, level=1)
    system.invalidations.invalidate_vma(Iotinval.vma(pscid=1))
    assert system.translate(0).address == (SMALL if defective else LARGE)


@pytest.mark.parametrize("defective", [False, True])
@pytest.mark.parametrize("named", [1, None], ids=["one", "all"])
def test_only_defective_hardware_keeps_a_context_that_was_invalidated(defective: bool, named: int | None) -> None:
    system = System(defects={"keep_context": defective})
    system.device().map(0, SMALL)
    assert system.translate(0).address == SMALL
    system.device(pscid=2).map(0, LARGE)
    system.iommu.commands.translation.invalidate_ddt(named)
    assert system.translate(0).address == (SMALL if defective else LARGE)
