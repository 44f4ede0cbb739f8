"""Where a domain's PSCID (process soft-context id, field of DC.ta) comes from, and when it goes back.

Mirrors the use of the IDA riscv_iommu_pscids. The lowest free id is given out, so a freed one is the very next: that is
what makes a missed flush visible.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from cosim.sw.driver.answers import LARGEST
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.domain import Bond, DomainObject, Tag, bond_to
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.ids import Ida
from cosim.sw.kernel.locks import Section
from cosim.sw.steps import UNGUARDED, step

EVERY = "every IOMMU"
"""The key of an allocator that serves all of them."""


@dataclass(frozen=True)
class Shared:
    """Linux 6.13: one number for each domain, the same on every IOMMU, from one allocator for all of them (B1).

    It goes back when the domain is freed, before its tables: the last bond on each IOMMU has flushed it by then.
    """

    highest: int = LARGEST
    """The largest PSCID; a small one shows exhaustion."""

    def __post_init__(self) -> None:
        if self.highest > LARGEST:
            raise ValueError(f"highest: {self.highest} is no PSCID; they have 20 bits, and the largest is {LARGEST}")

    def ids(self, driver: Skeleton, key: str = EVERY) -> Ida:
        """The allocator for `key`, made when it is first asked for."""
        if key not in driver.ids:
            driver.ids[key] = driver.kernel.ida(f"PSCIDs of {key}", 1, self.highest)
        return driver.ids[key]

    async def born(self, driver: Skeleton, domain: DomainObject) -> None:
        """A domain is made. KernelError ENOMEM if no number is left."""
        try:
            number = await self.ids(driver).alloc()
        except KernelError as error:
            raise KernelError(errno.ENOMEM, error.text) from error
        await domain.pscid.store(number)

    async def died(self, driver: Skeleton, domain: DomainObject) -> None:
        """The domain is freed, and its tables with it."""
        await self.ids(driver).free(int(await domain.pscid.load()))
        await driver.policies.tables.free(driver, domain)

    async def take(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> int:
        """The domain's PSCID for one more device of `iommu`. KernelError ENOSPC, ENOMEM."""
        return await domain.pscid.load()

    async def on(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> int:
        """The domain's PSCID on `iommu`, where it has devices."""
        return await domain.pscid.load()

    async def drop(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> None:
        """A device of `iommu` has left, and if it was the last one its translations are flushed."""

    async def of(self, domain: DomainObject, bond: Bond) -> int:
        """The domain's PSCID on the IOMMU of `bond`."""
        return await domain.pscid.load()


@dataclass(frozen=True)
class TablesFirst(Shared):
    """v2 7/7 (18 Apr 2024): as `Shared`, but the tables are freed before the number."""

    async def died(self, driver: Skeleton, domain: DomainObject) -> None:
        await driver.policies.tables.free(driver, domain)
        await self.ids(driver).free(int(await domain.pscid.load()))


@dataclass(frozen=True)
class PerIommuPscids(Shared):
    """What the review proposed (B1): each IOMMU numbers the domains it serves, from the first device to the last.

    The number is counted in a `Tag` of the domain, and goes back after the last device's flush.
    """

    async def born(self, driver: Skeleton, domain: DomainObject) -> None:
        await domain.tags.initialise()

    async def died(self, driver: Skeleton, domain: DomainObject) -> None:
        await driver.policies.tables.free(driver, domain)

    async def take(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> int:
        ids = self.ids(driver, driver.hardware(iommu).name)
        fresh = await driver.kernel.pages.new(Tag)
        try:
            async with driver.kernel.spin(domain.lock):
                tag = await self._find(iommu, domain)
                if tag is None:
                    number = await ids.alloc()  # ida_alloc with GFP_ATOMIC: none is taken that is not needed
                    await fresh.iommu.store(iommu.address)
                    await fresh.pscid.store(number)
                    await fresh.users.store(1)
                    await domain.tags.add(fresh.list)
                    return number
                await tag.users.store(await tag.users.load() + 1)
                taken = await tag.pscid.load()
        except KernelError:
            await driver.kernel.pages.delete(fresh)
            raise
        await driver.kernel.pages.delete(fresh)
        return taken

    async def drop(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> None:
        async with driver.kernel.spin(domain.lock):
            tag = await self._find(iommu, domain)
            users = 0 if tag is None else await tag.users.load() - 1
            if tag is not None and users:
                await tag.users.store(users)
            elif tag is not None:
                await tag.list.delete()
        if tag is not None and not users:
            await self.ids(driver, driver.hardware(iommu).name).free(int(await tag.pscid.load()))
            await driver.kernel.pages.delete(tag)

    async def on(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> int:
        async with driver.kernel.spin(domain.lock):
            tag = await self._find(iommu, domain)
            return await tag.pscid.load() if tag is not None else 0

    async def of(self, domain: DomainObject, bond: Bond) -> int:
        return await bond.pscid.load()

    async def _find(self, iommu: IommuDevice, domain: DomainObject) -> Tag | None:
        async for tag in domain.tags.each(Tag, Tag.list):
            if await tag.iommu.load() == iommu.address:
                return tag
        return None


@dataclass(frozen=True)
class BondPscids(Shared):
    """A number for each bond, of its IOMMU's own; it goes back when the bond is gone and its flush is fenced.

    Made for `CountedBonds`, of which a domain has one for each IOMMU, and for an attach that asks which one was joined.
    """

    async def born(self, driver: Skeleton, domain: DomainObject) -> None:
        """Nothing: a domain that is in use nowhere has no number."""

    async def died(self, driver: Skeleton, domain: DomainObject) -> None:
        await driver.policies.tables.free(driver, domain)

    async def take(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> int:
        """A number that nobody has, for a bond that may be joined to another one. KernelError ENOSPC."""
        return await self.ids(driver, driver.hardware(iommu).name).alloc()

    async def on(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> int:
        """The number of the bond of `iommu`, where the caller's device is counted."""
        async with self.lock(driver, domain):
            bond = await bond_to(domain, iommu)
            return 0 if bond is None else int(await bond.pscid.load())

    @step(answer=UNGUARDED)
    def lock(self, driver: Skeleton, domain: DomainObject) -> Section:
        """The domain's spinlock, around the look for a bond's number."""
        return driver.kernel.spin(domain.lock)

    async def back(self, driver: Skeleton, iommu: IommuDevice, pscid: int) -> None:
        """A number that no context and no bond names, and under which nothing is cached, may be taken again."""
        await self.ids(driver, driver.hardware(iommu).name).free(pscid)

    async def of(self, domain: DomainObject, bond: Bond) -> int:
        return int(await bond.pscid.load())
