"""A flush that keeps what it cannot be sure of: pages and tables do not go when a fence has failed."""

from __future__ import annotations

from dataclasses import dataclass

from cosim.sim.operations import Work
from cosim.spec.pagetable import PAGE
from cosim.spec.queues import Command, Iotinval
from cosim.sw.contract import answer_of
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice, capabilities_of
from cosim.sw.driver.domain import DomainObject
from cosim.sw.driver.doubt import keep_gathered
from cosim.sw.driver.policies.invalidate_ranges import Ranges
from cosim.sw.driver.policies.queue import FENCE
from cosim.sw.iommu_ops import Gather
from cosim.sw.steps import step


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
        gather.add(start, end - start + 1)
        return await self.flushed(driver, domain, gather)

    async def sync(self, driver: Skeleton, domain: DomainObject, gather: Gather) -> bool:
        """Flush what was gathered; if that is nothing, nothing is to be flushed (`Ranges` flushes all)."""
        if gather.empty and not gather.freelist:
            return not gather.kept
        async with driver.measured("iotlb_inval"):
            flushed = await self.flushed(driver, domain, gather)
        if not flushed:
            keep_gathered(driver, gather)
        while gather.freelist:
            await driver.kernel.pages.free(gather.freelist.pop(0))
        return not gather.kept

    async def flushed(self, driver: Skeleton, domain: DomainObject, gather: Gather) -> bool:
        """Flush what was gathered from every IOMMU; whether all commands were queued and all fences have completed."""
        await self.barrier()
        sent, fences = True, list[tuple[IommuDevice, int]]()
        async with self.reading(driver):
            last, before = None, 0
            async for iommu, pscid in driver.policies.bonds.iommus(driver, domain):
                if not self.served(iommu, last) or pscid != before:
                    for command in self.needed(await capabilities_of(iommu), pscid, gather):
                        sent &= await self.iotinval(driver, iommu, command)
                    ticket = await self.fence(driver, iommu)
                    if ticket is not None:
                        fences.append((iommu, ticket))
                last, before = iommu, pscid
            async with driver.measured("cmd_sync"):
                for iommu, ticket in fences:
                    sent &= await self.wait(driver, iommu, ticket)
        return sent

    @step(answer=True)
    async def iotinval(self, driver: Skeleton, iommu: IommuDevice, command: Iotinval) -> bool:
        """IOTINVAL.VMA of what was cleared, each of them."""
        await Work(driver.costs.command)
        return await self.send(driver, iommu, command) >= 0

    @step()
    async def fence(self, driver: Skeleton, iommu: IommuDevice) -> int | None:
        """IOFENCE behind them, on each IOMMU."""
        return await self.send(driver, iommu, FENCE)

    @step(answer=True)
    async def wait(self, driver: Skeleton, iommu: IommuDevice, ticket: int) -> bool:
        """The wait for each IOFENCE, once all are sent."""
        wait = driver.policies.queue.wait
        return answer_of(wait, await wait(driver, iommu, ticket, self.fence_ps), bool)

    async def send(self, driver: Skeleton, iommu: IommuDevice, command: Command) -> int:
        """Queue a command; its ticket, negative if it was not queued."""
        send = driver.policies.queue.send
        return answer_of(send, await send(driver, iommu, command), int)
