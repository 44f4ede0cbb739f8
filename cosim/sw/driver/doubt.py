"""What becomes of memory that an IOMMU may go on to use since a fence has failed: it is kept for good."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cosim.spec.pagetable import PAGE_LG2, Pte
from cosim.sw.driver import pagetable
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IN_DOUBT, IommuDevice
from cosim.sw.driver.domain import Bond, DomainObject, DoubtfulDomain
from cosim.sw.iommu_ops import Gather
from cosim.sw.kernel.objects import Cell, Ordering

FAILED = "a fence has failed"
"""Why memory is in quarantine."""


async def doubt(driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> None:
    """`iommu` may have kept contexts or translations that lead to the tables of `domain`, which still is in use."""
    driver.log("error", "a fence has failed: what leads to a domain's tables is kept", iommu)
    await iommu.state.fetch_or(IN_DOUBT, Ordering.RELAXED)
    await DoubtfulDomain(domain.address).doubtful.store(1)


def keep_gathered(driver: Skeleton, gather: Gather) -> None:
    """Keep what an unmap has cleared and could not have flushed: the pages that were mapped, and the tables."""
    for address, size in gather.frames:
        driver.kernel.pages.quarantine_range(address, size, FAILED)
    while gather.freelist:
        driver.kernel.pages.quarantine(gather.freelist.pop(0), FAILED)
    gather.kept = True


async def keep_domain(driver: Skeleton, domain: DomainObject) -> None:
    """Keep all that the tables of a domain in doubt lead to, the tables, and the bonds that are left."""
    scheme = await pagetable.scheme_of(domain)
    root = int(await domain.root.load())
    async for address, size in _below(root, scheme.levels - 1):
        driver.kernel.pages.quarantine_range(address, size, FAILED)
    driver.kernel.pages.quarantine_range(root, 1, FAILED)
    async for bond in domain.bonds.each(Bond, Bond.list):
        driver.kernel.pages.quarantine(bond.address, FAILED)


async def _below(table: int, level: int) -> AsyncIterator[tuple[int, int]]:
    """Address and size of each page and each table that a table of this level leads to."""
    for index in range(1 << pagetable.INDEX_BITS):
        pte = await Cell(table + 8 * index).load()
        if not pte & pagetable.V:
            continue
        if pte & pagetable.LEAF:
            address, size = pagetable.mapped_by(pte, 1 << PAGE_LG2 + pagetable.INDEX_BITS * level)
            yield int(address), size
            continue
        address = int(Pte.ppn.get(pte) << PAGE_LG2)
        async for found in _below(address, level - 1):
            yield found
        yield address, 1
