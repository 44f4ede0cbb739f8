"""Which IOMMUs a domain's translations may be cached in: the bonds, their lock, and how long they live.

Mirrors riscv_iommu_bond_link, riscv_iommu_bond_unlink and the walk in riscv_iommu_iotlb_inval. A flush walks the list
without a lock, beside a device that leaves:

        flush                                   release of the device
        rcu_read_lock                           unlink the bond; kfree_rcu
        bond = next on the list                 .
            .                                   free the device and its DevIommu
        device = bond.device                    .
        device.iommu, .iommu_dev                .
        rcu_read_unlock                         (only now is the bond freed)

The grace period keeps the bond for the reader, and nothing keeps what the bond points to. A bond that points to the
IOMMU itself needs no device, and the IOMMU's removal can wait for readers once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice, iommu_of
from cosim.sw.driver.domain import Bond, DomainObject
from cosim.sw.iommu_ops import Device, DeviceObject
from cosim.sw.kernel.lists import ListHead
from cosim.sw.kernel.locks import Section
from cosim.sw.steps import UNGUARDED, step


@dataclass(frozen=True)
class Grouped:
    """Linux 6.13: one bond for each device, those of one IOMMU side by side, changed under the domain's lock.

    It holds the device, and finds the IOMMU through it: `DevIommu` may be freed under a reader (remark B3).
    """

    async def new(self, driver: Skeleton, iommu: IommuDevice, device: Device, pscid: int) -> Bond:
        """A bond that is not on a list yet. KernelError ENOMEM."""
        bond = await driver.kernel.pages.new(Bond)
        await bond.device.store(device.object.address)
        await bond.pscid.store(pscid)
        return bond

    async def link(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject, bond: Bond) -> None:
        """Bond a device to `domain`: from here on, a flush of the domain finds `iommu`."""
        async with self.lock(driver, domain):
            await (await self.place(domain, iommu)).add_rcu(bond.list, release=self.release())

    @step(answer=UNGUARDED)
    def lock(self, driver: Skeleton, domain: DomainObject) -> Section:
        """The domain's spinlock, around each change of its bonds."""
        return driver.kernel.spin(domain.lock)

    @step(answer=False)
    def release(self) -> bool:
        """The release by which a bond is published, behind what is in it."""
        return True

    async def place(self, domain: DomainObject, iommu: IommuDevice) -> ListHead:
        """The entry behind which a bond of `iommu` belongs."""
        async for bond in domain.bonds.each(Bond, Bond.list):
            if await self.iommu(bond) == iommu:
                return bond.list
        return domain.bonds

    async def unlink(self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: DomainObject) -> bool:
        """Undo `link`; whether this leaves no bond to `iommu`. A device that is bonded twice counts as gone."""
        async with self.lock(driver, domain):
            found, others = await self.search(iommu, device, domain)
            if found is not None:
                await found.list.delete_rcu()
        if found is not None:
            await self.dispose(driver, found)
        return not others

    async def search(self, iommu: IommuDevice, device: Device, domain: DomainObject) -> tuple[Bond | None, int]:
        """The device's bond, and how many others to `iommu` were met on the way: 1 is enough."""
        found, others = None, 0
        async for bond in domain.bonds.each(Bond, Bond.list):
            if found is not None and others:
                break
            if await bond.device.load() == device.object.address:
                found = bond
            elif await self.iommu(bond) == iommu:
                others += 1
        return found, others

    async def dispose(self, driver: Skeleton, bond: Bond) -> None:
        """Free a bond that was on a list, once its readers have left it."""
        await (driver.kernel.rcu.kfree(bond) if self.waits_for_readers() else driver.kernel.pages.delete(bond))

    @step(answer=False)
    def waits_for_readers(self) -> bool:
        """kfree_rcu of a bond, rather than kfree."""
        return True

    async def iommu(self, bond: Bond) -> IommuDevice:
        """The IOMMU that a bond leads to."""
        return await iommu_of(DeviceObject(await bond.device.load()))

    async def iommus(self, driver: Skeleton, domain: DomainObject) -> AsyncIterator[tuple[IommuDevice, int]]:
        """Each bond's IOMMU, and the PSCID that the domain has there; inside an RCU read section."""
        async for bond in domain.bonds.each(Bond, Bond.list, dependent=self.dependency()):
            yield await self.iommu(bond), int(await driver.policies.pscid.of(domain, bond))

    @step(answer=False)
    def dependency(self) -> bool:
        """The address dependency from the list's pointers to the bonds, for readers that take no lock."""
        return True

    async def before_removal(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """An IOMMU is about to be freed. Readers that still have its address are not waited for."""


@dataclass(frozen=True)
class Ungrouped(Grouped):
    """`Grouped`, with each bond put first: IOMMUs may alternate on the list, and are then flushed more than once."""

    async def place(self, domain: DomainObject, iommu: IommuDevice) -> ListHead:
        return domain.bonds


@dataclass(frozen=True)
class Unlocked(Grouped):
    """`Grouped`, but the list is changed without a lock: of two bonds linked at once, one is lost (defect C6 alone)."""

    def lock(self, driver: Skeleton, domain: DomainObject) -> Section:
        """None."""
        return UNGUARDED


@dataclass(frozen=True)
class ReviewedBonds(Unlocked):
    """v2 7/7 (18 Apr 2024): one bond for each device, put first, changed without a lock; those left are not counted."""

    async def place(self, domain: DomainObject, iommu: IommuDevice) -> ListHead:
        return domain.bonds

    async def unlink(self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: DomainObject) -> bool:
        found = None
        async with driver.kernel.rcu.read():
            async for bond in domain.bonds.each(Bond, Bond.list):
                if await bond.device.load() == device.object.address:
                    found = bond
                    break
        if found is not None:
            await found.list.delete_rcu()
            await self.dispose(driver, found)
        return False


@dataclass(frozen=True)
class HoldsIommu(Grouped):
    """`Grouped`, with what the review proposed: the bond holds the IOMMU, whose removal waits for readers (B3)."""

    async def new(self, driver: Skeleton, iommu: IommuDevice, device: Device, pscid: int) -> Bond:
        bond = await super().new(driver, iommu, device, pscid)
        await bond.iommu.store(iommu.address)
        return bond

    async def iommu(self, bond: Bond) -> IommuDevice:
        return IommuDevice(await bond.iommu.load())

    async def before_removal(self, driver: Skeleton, iommu: IommuDevice) -> None:
        await self.synchronize(driver)

    @step()
    async def synchronize(self, driver: Skeleton) -> None:
        """synchronize_rcu before an IOMMU is freed."""
        await driver.kernel.rcu.synchronize()


@dataclass(frozen=True)
class BondsFreedAtOnce(Grouped):
    """`Grouped`, but a bond is freed without waiting for a grace period: readers may stand on it."""

    def waits_for_readers(self) -> bool:
        return False


@dataclass(frozen=True)
class WaitsInUnlink(Grouped):
    """`Grouped`, with v3's unlink: it waits for a grace period ("please no", 30 Apr 2024)."""

    no_steps: ClassVar = ("waits_for_readers",)

    async def dispose(self, driver: Skeleton, bond: Bond) -> None:
        await self.synchronize(driver)
        await driver.kernel.pages.delete(bond)

    @step()
    async def synchronize(self, driver: Skeleton) -> None:
        """synchronize_rcu before a bond is freed."""
        await driver.kernel.rcu.synchronize()


@dataclass(frozen=True)
class OneIommu(Grouped):
    """The counter-design of remark B2: the domain points to the one IOMMU that was attached last."""

    no_steps: ClassVar = ("lock", "release", "dependency", "waits_for_readers")

    async def link(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject, bond: Bond) -> None:
        await domain.single.store(iommu.address)
        await driver.kernel.pages.delete(bond)

    async def unlink(self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: DomainObject) -> bool:
        return True

    async def iommus(self, driver: Skeleton, domain: DomainObject) -> AsyncIterator[tuple[IommuDevice, int]]:
        iommu = IommuDevice(await domain.single.load())
        if iommu:
            yield iommu, int(await domain.pscid.load())
