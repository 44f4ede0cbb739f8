"""One bond for each IOMMU of a domain: it has the IOMMU, the PSCID there, and counts the devices that use both.

        leave of the last device                enter of another one, behind the same IOMMU
        lock: users = 0, unlinked               .
            .                                   lock: no bond of the IOMMU: links its own, with a PSCID of its own
        flush of the old PSCID                  context, under the new one
        the old PSCID goes back                     .

While the old PSCID waits for its flush nobody can enter under it: a flush of the domain that finds no bond of it has
nothing to flush, though the IOTLB is full of it. With a PSCID for the domain's whole life, whoever enters meanwhile is
answered from what an unmap beside the leave did not flush (CVE-2026-53057).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import GONE, IN_DOUBT, IommuDevice
from cosim.sw.driver.domain import Bond, DomainObject, bond_to
from cosim.sw.driver.doubt import FAILED
from cosim.sw.driver.policies.bonds import HoldsIommu
from cosim.sw.iommu_ops import Device
from cosim.sw.kernel.objects import Ordering
from cosim.sw.steps import step


@dataclass(frozen=True)
class CountedBonds(HoldsIommu):
    """What the review asked for (B1, B3, B4): IOMMU, PSCID and users in one bond; flushes leave a dying IOMMU alone."""

    async def new(self, driver: Skeleton, iommu: IommuDevice, device: Device, pscid: int) -> Bond:
        bond = await driver.kernel.pages.new(Bond)
        await bond.iommu.store(iommu.address)
        await bond.pscid.store(pscid)
        await bond.users.store(1)
        return bond

    async def link(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject, bond: Bond) -> None:
        """Join the bond of `iommu` that is there, or become it."""
        async with self.lock(driver, domain):
            there = await bond_to(domain, iommu)
            if there is not None:
                await self.reference(there)
            else:
                await domain.bonds.add_rcu(bond.list, release=self.release())
        if there is not None:
            await driver.kernel.pages.delete(bond)

    @step()
    async def reference(self, bond: Bond) -> None:
        """The reference that a device takes on a bond that is there already."""
        await bond.users.store(await bond.users.load() + 1)

    async def unlink(self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: DomainObject) -> bool:
        async with self.lock(driver, domain):
            bond = await bond_to(domain, iommu)
            users = 0 if bond is None else int(await bond.users.load()) - 1
            if bond is not None and users:
                await bond.users.store(users)
            elif bond is not None:
                await bond.list.delete_rcu()
        if bond is not None and not users:
            await self.dispose(driver, bond)
        return not users

    async def iommus(self, driver: Skeleton, domain: DomainObject) -> AsyncIterator[tuple[IommuDevice, int]]:
        async for iommu, pscid in super().iommus(driver, domain):
            if not await iommu.state.load() & GONE:
                yield iommu, pscid

    async def before_removal(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """From now on no flush begins with the IOMMU, and those under way are waited for."""
        await self.mark_gone(iommu)
        await self.synchronize(driver)
        if await iommu.state.load() & IN_DOUBT:
            driver.kernel.pages.quarantine(iommu.address, FAILED)

    @step()
    async def mark_gone(self, iommu: IommuDevice) -> None:
        """The mark on an IOMMU that is about to be freed, by which flushes leave it alone."""
        await iommu.state.fetch_or(GONE, Ordering.RELAXED)
