"""Hardware that errs about what is cached: seen with each defect, and not without."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.hw.dma.transaction import Status
from cosim.spec.pagetable import Pte
from cosim.spec.queues import Iotinval
from tests.hw.iommu.harness import LEAF, System

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


@pytest.mark.parametrize(("bits", "leads"), [(0, (SMALL, LARGE)), (1, (SMALL, SMALL)), (2, (SMALL, LARGE))])
def test_tags_that_are_too_short_take_one_address_space_for_another(bits: int, leads: tuple[int, int]) -> None:
    system = System(defects={"pscid_bits": bits})
    system.device(1, pscid=1).map(0, SMALL)
    system.device(2, pscid=3).map(0, LARGE)
    assert (system.translate(0, 1).address, system.translate(0, 2).address) == leads


def test_short_tags_are_compared_by_invalidations_too() -> None:
    system = System(defects={"pscid_bits": 1})
    system.device(1, pscid=1).map(0, SMALL)
    system.device(2, pscid=3).map(0, LARGE)
    system.translate(0, 1)
    system.invalidations.invalidate_vma(Iotinval.vma(pscid=3, addr=0))
    assert system.translate(0, 2).address == LARGE


READ: dict[str, Any] = {}
WRITE, EXECUTE = {"write": True}, {"execute": True}


@pytest.mark.parametrize(
    ("cleared", "may", "may_not"),
    [
        pytest.param(Pte.w.mask, READ, WRITE, id="W=0"),
        pytest.param(Pte.d.mask, READ, WRITE, id="D=0"),
        pytest.param(Pte.x.mask, WRITE, EXECUTE, id="X=0"),
        pytest.param(Pte.r.mask | Pte.w.mask, EXECUTE, READ, id="R=W=0"),
    ],
)
@pytest.mark.parametrize("defective", [False, True])
def test_only_defective_hardware_lets_a_request_hit_what_it_may_not_use(
    defective: bool, cleared: int, may: dict[str, Any], may_not: dict[str, Any]
) -> None:
    """All that may be done hits with and without the defect."""
    system = System(defects={"skip_permissions": defective})
    system.device().map(0, SMALL, flags=LEAF & ~cleared)
    assert system.translate(0, **may_not).status is Status.UR, "a walk looks"
    assert system.translate(0, **may).status is Status.SUCCESS
    assert (system.translate(0, **may_not).status is Status.SUCCESS) == defective
    assert system.reads(lambda: system.translate(0, **may)) == 0


@pytest.mark.parametrize("defective", [False, True])
def test_even_defective_hardware_judges_whoever_has_walked_to_the_page_with_another(defective: bool) -> None:
    system = System(defects={"skip_permissions": defective}, memory_ps=100_000)
    system.device().map(0, SMALL, flags=LEAF & ~Pte.w.mask)
    start = system.sim.now + 1000
    reads, writes = (system.request(0, at_ps=start + n, write=bool(n), translate_only=True) for n in range(2))
    system.run()
    assert (reads.status, writes.status) == (Status.SUCCESS, Status.UR)
    assert system.count("walks") == (1,)
