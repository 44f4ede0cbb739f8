"""What the command queue of v2 makes of a fence that did not get into the ring."""

from __future__ import annotations

from cosim.spec.queues import Iotinval
from cosim.sw.driver.device import IommuDevice
from cosim.units.quantities import MS, S
from tests.sw.driver.machine import Machine


def test_a_fence_that_was_not_published_is_not_waited_for() -> None:
    """Three commands fill the ring, and it stays full."""
    machine = Machine("v2", iommu={"geometry": {"cq_log2": 2}})
    machine.boot()
    driver, iommu = machine.driver, IommuDevice(machine.core.iommus["iommu0"].address)
    machine.iommus[0].commands.stall(machine.sim.now, 1000 * S)
    began = machine.sim.now

    async def fences() -> tuple[bool, int]:
        for _ in range(3):
            await driver.send(iommu, Iotinval.vma(pscid=9))
        done = await driver.sync(iommu, 10 * S)
        return done, machine.sim.now - began

    done, took = machine.run(fences())
    assert not done
    assert 150 * MS <= took < 151 * MS
    assert machine.log == ["error: iommu0: hardware error: command enqueue failed: the ring is full"]
