"""The domain that a device is noted in, which the next attach leaves: none that may be gone by then."""

from __future__ import annotations

import pytest

from cosim.sw.iommu_map import iommu_map
from cosim.units.quantities import S
from tests.sw.driver.machine import Machine
from tests.sw.driver.test_defects import BOTH, DATA, IOVA, PAGE, touched
from tests.sw.driver.test_ideal import bonds


@pytest.mark.parametrize(("attach", "gone"), [("bond-first", False), ("keeps-domain", True)])
@pytest.mark.parametrize("without", ["identity", "blocked"])
def test_a_device_that_has_left_for_no_table_leaves_no_domain_again(attach: str, gone: bool, without: str) -> None:
    """A report of April 2025: the note stays, and the next attach takes the lock of a domain that was freed."""
    machine = Machine(cells={"attach": attach})
    domain = machine.boot()
    seen, core = touched(machine), machine.core

    async def moves() -> None:
        other = await core.domain_alloc("other", "dev0")
        await core.replace("dev0", getattr(core.driver, without))
        await core.domain_free(domain.name)
        await core.replace("dev0", other)

    machine.run(moves())
    assert bool(seen) is gone


def test_a_device_that_was_blocked_by_a_failed_fence_does_not_leave_its_domain_when_that_is_gone() -> None:
    """The domain stays bonded to an IOMMU that may go on with it; what is left of it is kept."""
    machine = Machine("ideal")
    domain, core = machine.boot(), machine.core
    other = machine.run(core.domain_alloc("other", "dev0"))
    seen = touched(machine)
    machine.iommus[0].commands.stall(machine.sim.now, 100 * S)

    async def blocked() -> None:
        assert core.driver.blocked is not None
        await core.replace("dev0", core.driver.blocked)
        await machine.kernel.sleep(20 * S)

    machine.run(blocked())
    assert bonds(machine, domain) == [(1, 1)]

    async def moves() -> None:
        await core.domain_free(domain.name)
        await core.replace("dev0", other)
        await iommu_map(machine.driver, other, IOVA, DATA, PAGE, BOTH)

    machine.run(moves())
    assert machine.read(1, IOVA) == DATA
    assert not seen
    assert [known.purpose for known, _ in machine.kernel.pages.quarantined].count("Bond") == 1
