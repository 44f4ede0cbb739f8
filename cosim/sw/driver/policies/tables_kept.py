"""The generic page table of a driver that lets no page go after a failed fence."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from cosim.sim.loaded import Loaded
from cosim.sw.driver import pagetable
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.domain import DomainObject, DoubtfulDomain
from cosim.sw.driver.doubt import keep_domain
from cosim.sw.driver.policies.tables_generic import Generic
from cosim.sw.iommu_ops import Gather
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import Cell, Ordering
from cosim.sw.steps import step


@dataclass(frozen=True)
class KeptTables(Generic):
    """`Generic` that notes which pages were unmapped, and publishes tables of the device directory by a release too."""

    async def prepare(
        self, driver: Skeleton, domain: DomainObject, iommu: IommuDevice | None
    ) -> tuple[tuple[int, ...], int]:
        if iommu is None:
            raise KernelError(errno.ENODEV, "a domain is made for a device, and none is given")
        return await super().prepare(driver, domain, iommu)

    async def publish_directory(self, entry: Cell, old: int, new: int) -> Loaded:
        return await entry.cmpxchg(old, new, self.directory_release())

    @step(answer=Ordering.RELAXED)
    def directory_release(self) -> Ordering:
        """The release by which a table of the device directory is published, behind its zeroes."""
        return Ordering.RELEASE

    def cleared(self, found: Gather, pte: int, span: int) -> None:
        super().cleared(found, pte, span)
        found.frames.append(pagetable.mapped_by(pte, span))

    async def free(self, driver: Skeleton, domain: DomainObject) -> None:
        """Free all tables, or keep them with all that they lead to if an IOMMU may walk them yet."""
        if await DoubtfulDomain(domain.address).doubtful.load():
            await keep_domain(driver, domain)
        else:
            await super().free(driver, domain)
