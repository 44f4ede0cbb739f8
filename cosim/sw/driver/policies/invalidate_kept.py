"""A flush that keeps what it cannot be sure of: pages and tables do not go when a fence has failed."""

from __future__ import annotations

from dataclasses import dataclass

from cosim.sim.operations import Work
from cosim.spec.bits import ONES
from cosim.spec.pagetable import PAGE
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice, capabilities_of
from cosim.sw.driver.domain import DomainObject
from cosim.sw.driver.doubt import keep_gathered
from cosim.sw.driver.policies.invalidate_ranges import Ranges
from cosim.sw.driver.policies.queue import FENCE
from cosim.sw.iommu_ops import Gather


@dataclass(frozen=True)
class KeepsPages(Ranges):
    """As `Ranges`: all commands and fences, then all waits; what was mapped is put in quarantine if one has failed.

        unmap                                   IOMMU
        IOTINVAL, IOFENCE                       stalled, or stopped by an error
        90 s later, or at the error: failed         .
        the page stays with the kernel          a device reaches it yet, which harms nobody

    The IOVAs are not used again either. The caller may free the page, and nobody gets it.
    """

    async def range(self, driver: Skeleton, domain: DomainObject, start: int, end: int) -> bool:
        gather = Gather(stride=PAGE)
        if (start, end) != (0, ONES):
            gather.add(start, end - start + 1)
        return await self.flushed(driver, domain, gather)

    async def sync(self, driver: Skeleton, domain: DomainObject, gather: Gather) -> bool:
        async with driver.measured("iotlb_inval"):
            flushed = await self.flushed(driver, domain, gather)
        if not flushed:
            keep_gathered(driver, gather)
        while gather.freelist:
            await driver.kernel.pages.free(gather.freelist.pop(0))
        return not gather.kept

    async def flushed(self, driver: Skeleton, domain: DomainObject, gather: Gather) -> bool:
        """Flush what was gathered from every IOMMU; whether all commands were queued and all fences have completed."""
        queue = driver.policies.queue
        await self.barrier()
        sent, fences = True, list[tuple[IommuDevice, int]]()
        async with driver.kernel.rcu.read():
            last, before = None, 0
            async for iommu, pscid in driver.policies.bonds.iommus(driver, domain):
                if not self.served(iommu, last) or pscid != before:
                    for command in self.needed(await capabilities_of(iommu), pscid, gather):
                        await Work(driver.costs.command)
                        sent &= await queue.send(driver, iommu, command) >= 0
                    fences.append((iommu, await queue.send(driver, iommu, FENCE)))
                last, before = iommu, pscid
            async with driver.measured("cmd_sync"):
                for iommu, ticket in fences:
                    sent &= await queue.wait(driver, iommu, ticket, self.fence_ps)
        return sent
