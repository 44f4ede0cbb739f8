"""How a domain's translations are flushed: the IOMMUs of the bonds, the commands, the barriers, the time to wait.

Mirrors riscv_iommu_iotlb_inval and riscv_iommu_iotlb_sync. An unmap runs beside an attach with no lock in common:

        unmap                                   attach of a device behind IOMMU H
        clear the PTE                           link the bond
        smp_mb                                  smp_mb
        read the bonds                          write the device context
        IOTINVAL, IOFENCE where they lead       IODIR.INVAL, IOFENCE

If the unmap reads the new bond, it flushes H. If it does not, its read came before the link, so its PTE was cleared
before the context was written: H has walked nothing under it yet, and every walk from then on sees the PTE cleared.
Without the left barrier the cleared PTE may still be in the store buffer while the bonds are read: H then walks the
old PTE, and no flush reaches it. Without the right one the link may still be in the store buffer while the context is
in use already, unless another barrier orders the context's stores after it (`attach_defects.NoAttachBarrier`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cosim.sim.operations import Work
from cosim.spec.bits import ONES
from cosim.spec.pagetable import PAGE
from cosim.spec.queues import Iotinval
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.domain import DomainObject
from cosim.sw.iommu_ops import Gather
from cosim.sw.kernel.barriers import smp_mb
from cosim.sw.kernel.locks import Section
from cosim.sw.steps import UNGUARDED, step
from cosim.units.quantities import MIB, MS, S


@dataclass(frozen=True)
class PerIommu:
    """Linux 6.13: once for each run of bonds of the same IOMMU; a fence that fails is reported once, and forgotten."""

    limit: int = 2 * MIB
    """From this many bytes on, the whole PSCID is flushed instead of each page."""
    fence_ps: int = 90 * S
    """How long a fence may take."""

    async def range(self, driver: Skeleton, domain: DomainObject, start: int, end: int) -> bool | None:
        """Flush `start` .. `end` (inclusive) from every IOMMU."""
        return await self.everywhere(
            driver, domain, lambda iommu, pscid: self.commands(driver, iommu, pscid, start, end)
        )

    async def everywhere(
        self, driver: Skeleton, domain: DomainObject, commands: Callable[[IommuDevice, int], Awaitable[None]]
    ) -> bool | None:
        """Flush what `commands` sends for an IOMMU and a PSCID: all first, then the fences, one after the other.

        All of it, the waiting too, is one RCU read section.
        """
        await self.barrier()
        async with self.reading(driver):
            last, before = None, 0
            async for iommu, pscid in driver.policies.bonds.iommus(driver, domain):
                if not self.served(iommu, last) or pscid != before:
                    await commands(iommu, pscid)
                last, before = iommu, pscid
            last = None
            async for iommu, _ in driver.policies.bonds.iommus(driver, domain):
                if not self.served(iommu, last):
                    await self.fence(driver, iommu)
                last = iommu
        return None

    @step()
    async def barrier(self) -> None:
        """smp_mb between the cleared entries and the bonds."""
        await smp_mb()

    @step(answer=UNGUARDED)
    def reading(self, driver: Skeleton) -> Section:
        """rcu_read_lock around the look at the bonds and the use of what they lead to."""
        return driver.kernel.rcu.read()

    def served(self, iommu: IommuDevice, last: IommuDevice | None) -> bool:
        """Whether the bond before this one led to the same IOMMU: it needs no other fence, nor commands for the same
        PSCID."""
        return iommu == last

    async def commands(self, driver: Skeleton, iommu: IommuDevice, pscid: int, start: int, end: int) -> None:
        """One IOTINVAL.VMA for each page, or one for all. The length of everything overflows to 0: for all."""
        length = end - start + 1 & ONES
        if not 0 < length < self.limit:
            await self.whole(driver, iommu, pscid)
            return
        iova = start
        while iova < end:
            await self.page(driver, iommu, pscid, iova)
            iova = iova + PAGE & ONES

    async def page(self, driver: Skeleton, iommu: IommuDevice, pscid: int, iova: int) -> None:
        """Flush a page."""
        await self.iotinval(driver, iommu, Iotinval.vma(pscid=pscid, addr=iova))

    async def whole(self, driver: Skeleton, iommu: IommuDevice, pscid: int) -> None:
        """Flush a PSCID, leaves and what leads to them."""
        await self.iotinval(driver, iommu, Iotinval.vma(pscid=pscid))

    @step()
    async def iotinval(self, driver: Skeleton, iommu: IommuDevice, command: Iotinval) -> bool | None:
        """IOTINVAL.VMA of what was cleared, each of them."""
        await Work(driver.costs.command)
        await driver.send(iommu, command)
        return None

    @step()
    async def fence(self, driver: Skeleton, iommu: IommuDevice) -> int | None:
        """IOFENCE behind them, on each IOMMU."""
        await driver.sync(iommu, self.fence_ps)
        return None

    async def sync(self, driver: Skeleton, domain: DomainObject, gather: Gather) -> bool | None:
        """Flush what was gathered. Nothing gathered is a range without pages: fences alone."""
        return await driver.invalidate(domain, gather.start, gather.end)


@dataclass(frozen=True)
class NoBarrier(PerIommu):
    """`PerIommu` without the barrier before the bonds are read (defect C9, what is left of remark B6, alone).

        unmap                                   attach
        read the bonds: not H                   .
            .                                   link H, smp_mb, device context; H walks x: the old PTE
        clear the PTE of x                      .

    The unmap's order is the memory's, not the program's. It returns with H's copy of x untouched.
    """

    async def barrier(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class PerDevice(PerIommu):
    """`PerIommu`, but once for each bond: ten devices of one IOMMU get it ten times (remark B4 alone)."""

    def served(self, iommu: IommuDevice, last: IommuDevice | None) -> bool:
        return False


@dataclass(frozen=True)
class ShortFence(PerIommu):
    """`PerIommu` that gives a fence 150 ms (defect C8 alone).

    unmap                                   IOMMU
    IOTINVAL, IOFENCE                       busy with something else for 200 ms
    150 ms later: return                    .
    the page is used for something else     a device still reaches it; then the IOTINVAL
    """

    fence_ps: int = 150 * MS


@dataclass(frozen=True)
class ReviewedInvalidate(PerDevice):
    """v2 7/7 (18 Apr 2024): each bond by itself, no barrier before them, 150 ms for each fence.

            unmap                               attach
            clear the PTE                       write the device context
            read the bonds                      IODIR.INVAL, IOTINVAL, IOFENCE
            (none: no IOTINVAL)                 link the bond

    The device has used its context between the right column's first and last line, and no flush reaches what it cached.
    """

    fence_ps: int = 150 * MS

    async def barrier(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class WithFreelist(PerIommu):
    """Linux 7.1: freed tables wait for a flush of the whole PSCID; the last page of the address space is safe.

    riscv_iommu_iotlb_sync with the generic page table (e71e00127110), and the overflow fix 40a13b499579.
    """

    async def commands(self, driver: Skeleton, iommu: IommuDevice, pscid: int, start: int, end: int) -> None:
        if end - start >= self.limit - 1:
            await self.whole(driver, iommu, pscid)
            return
        await self.page(driver, iommu, pscid, start)
        for iova in range(start + PAGE, end, PAGE):
            await self.page(driver, iommu, pscid, iova)

    async def sync(self, driver: Skeleton, domain: DomainObject, gather: Gather) -> bool | None:
        if not gather.freelist:
            return await driver.invalidate(domain, gather.start, gather.end)
        await self.flush_of_tables(driver, domain)
        while gather.freelist:
            await driver.kernel.pages.free(gather.freelist.pop(0))
        return None

    @step()
    async def flush_of_tables(self, driver: Skeleton, domain: DomainObject) -> None:
        """The flush of the whole PSCID before tables are freed."""
        await driver.invalidate(domain, 0, ONES)


@dataclass(frozen=True)
class WithFreelistNoBarrier(WithFreelist):
    """`WithFreelist` without the barrier before the bonds are read; leaves are cleared by plain stores.

    unmap                                   attach
    the PTE of x = 0, in the store buffer   .
    read the bonds: not H                   .
        .                                   link H, smp_mb, device context; H walks x: the old PTE
    the store buffer drains                 .
    """

    async def barrier(self) -> None:
        """Nothing."""
