"""The generic page table of Linux 7.1 (iommupt: e71e00127110, e5ef32191a87, Svnapot 69541898b71a).

Its users promise not to map and unmap overlapping ranges at once; so leaves are plain stores, and only tables, which
neighbours share, are put in place by compare-and-swap, with a release (see the picture in `tables`). An unmap frees
each table that its range covers, but only after the flush:

        unmap                                   IOMMU
        entry of table T = 0                    has cached the way to T
        IOTINVAL of the whole PSCID, IOFENCE    forgets it; walks that had it are over
        free T                                      .
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import ClassVar

from cosim.sim.loaded import Loaded
from cosim.sim.operations import Work
from cosim.spec.bits import ONES
from cosim.spec.pagetable import NAPOT_LG2, PAGE, PAGE_LG2, Pte, Scheme
from cosim.sw.driver import pagetable
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.domain import DomainObject, object_of
from cosim.sw.driver.pagetable import LEAF, V, cell_at
from cosim.sw.driver.policies.tables import PerPage
from cosim.sw.iommu_ops import Domain, Gather, MapResult, Prot
from cosim.sw.kernel.objects import Cell, Ordering
from cosim.sw.steps import step

NAPOT = 1 << NAPOT_LG2
NAPOT_PAGES = NAPOT // PAGE
NAPOT_PPN = 8
"""The low bits of the PPN that say 64 KiB."""


@dataclass(frozen=True)
class Generic(PerPage):
    """Linux 7.1: plain leaves, released tables, freed ones through the gather; 64 KiB pages; both halves of addresses.

    What it offers to allocators of IOVAs is the lower half (`pt_top_range`), unless it `offers_all`. Whatever is mapped
    may be executed: the DMA API never asks for anything else.
    """

    offers_all: bool = False
    """An IOVA may be one of the upper half too, up to the last page of all addresses, as those of a direct call may."""

    ordering: ClassVar[Ordering] = Ordering.RELEASE
    no_steps: ClassVar = ("flush_of_replaced",)

    def offers(self, mode: int) -> tuple[tuple[int, ...], int]:
        sizes, last = super().offers(mode)
        return (PAGE, NAPOT, *sizes[1:]), ONES if self.offers_all else last

    async def prepare(
        self, driver: Skeleton, domain: DomainObject, iommu: IommuDevice | None
    ) -> tuple[tuple[int, ...], int]:
        offered = await super().prepare(driver, domain, iommu)
        await domain.dirty_by_hardware.store(0)
        return offered

    @step(answer=Ordering.RELAXED)
    def release(self) -> Ordering:
        """The release by which a table is published, behind its zeroes."""
        return self.ordering

    async def publish_directory(self, entry: Cell, old: int, new: int) -> Loaded:
        return await entry.cmpxchg(old, new, Ordering.RELAXED)

    async def free(self, driver: Skeleton, domain: DomainObject) -> None:
        """Free all tables as they stand, a table before those below it; no IOMMU may walk them any more."""
        root = await domain.root.load()
        if root:
            freelist = [int(root)]
            await _collect(root, (await pagetable.scheme_of(domain)).levels - 1, freelist)
            await pagetable.free_pages(driver, freelist)

    # --- Map -------------------------------------------------------------------------------------------------------

    async def map_pages(
        self, driver: Skeleton, domain: Domain, iova: int, paddr: int, page_size: int, count: int, prot: Prot
    ) -> MapResult:
        """A walk for each page; -ERANGE outside the address space, -EADDRINUSE over a leaf or a table with entries."""
        await Work(driver.costs.call)
        made, size = object_of(domain), page_size * count
        scheme = await pagetable.scheme_of(made)
        if not scheme.canonical(iova) or not scheme.canonical(iova + size - 1):
            return MapResult(0, errno.ERANGE)
        if (iova | paddr) & page_size - 1:
            return MapResult(0, errno.EINVAL)
        gather, mapped, failed = Gather(), 0, 0
        while mapped < size:
            at = iova + mapped
            unit = PAGE if page_size == NAPOT else page_size
            slot = await pagetable.find_slot(driver, made, scheme, at, unit, self.publish)
            if slot is None:
                failed = await self._why(made, scheme, at)
                break
            failed = await self._clear_way(driver, domain, slot, at, page_size, gather)
            if failed:
                break
            writable = bool(prot & Prot.WRITE)
            pte = pagetable.leaf(paddr + mapped, writable=writable, dirty=writable, executable=True)
            await self._store(driver, slot, pte, page_size)
            mapped += page_size
        if gather.freelist:
            await driver.iotlb_sync(domain, gather)
        return MapResult(mapped, failed)

    async def _why(self, domain: DomainObject, scheme: Scheme, iova: int) -> int:
        """A way that could not be made: a larger page is there, or there is no memory."""
        leaf = await pagetable.find_leaf(domain, scheme, iova)
        return errno.ENOMEM if leaf is None else errno.EADDRINUSE

    async def _clear_way(
        self, driver: Skeleton, domain: Domain, slot: Cell, iova: int, page_size: int, gather: Gather
    ) -> int:
        """See that nothing is mapped where a page goes; an empty table there is taken off, to be freed."""
        for n in range(NAPOT_PAGES if page_size == NAPOT else 1):
            old = await Cell(slot.address + 8 * n).load()
            if not old & V:
                continue
            if old & LEAF:
                return errno.EADDRINUSE
            empty: list[int] = []
            if not await _collect_empty(old, pagetable.level_of(page_size), empty):
                return errno.EADDRINUSE
            await slot.store(0)
            gather.freelist += empty
            gather.add(iova, page_size)
            gather.cleared(page_size)
        return 0

    async def _store(self, driver: Skeleton, slot: Cell, pte: Pte, page_size: int) -> None:
        await Work(driver.costs.pte)
        if page_size != NAPOT:
            await slot.store(pte)
            return
        napot = pte.replace(n=1, ppn=pte.ppn | NAPOT_PPN)
        for n in range(NAPOT_PAGES):
            await Cell(slot.address + 8 * n).store(napot)

    # --- Unmap -----------------------------------------------------------------------------------------------------

    async def unmap_pages(self, driver: Skeleton, domain: Domain, iova: int, size: int, gather: Gather) -> int:
        """Clear what the range covers, from its start to the first hole; gather it as one, with the freed tables.

        What lies between two ranges is flushed with them: RISC-V does not ask for PT_FEAT_FLUSH_RANGE_NO_GAPS.
        """
        await Work(driver.costs.call)
        made = object_of(domain)
        scheme = await pagetable.scheme_of(made)
        root = await made.root.load()
        found = Gather()
        unmapped = await self._clear(driver, domain, scheme, root, scheme.levels - 1, iova, iova + size, found)
        if unmapped:
            gather.add(iova, unmapped)
            gather.cleared(found.stride)
            gather.freelist += found.freelist
            gather.frames += found.frames
        return unmapped

    async def _clear(
        self,
        driver: Skeleton,
        domain: Domain,
        scheme: Scheme,
        table: int,
        level: int,
        start: int,
        end: int,
        found: Gather,
    ) -> int:
        """Clear `start` .. `end` (exclusive) in a table of `level`; returns how far it got, in bytes.

        `found` is told of the entries cleared, and gets the tables that are left empty.
        """
        span = 1 << scheme.page_lg2(level)
        iova = start
        while iova < end:
            entry = cell_at(table, scheme, level, iova)
            pte = await entry.load()
            if not pte & V:
                break
            if pte & LEAF:
                _, size = pagetable.mapped_by(pte, span)
                if iova & size - 1 or iova + size > end:
                    break
                await Work(driver.costs.pte)
                for n in range(NAPOT_PAGES if pte & Pte.n.mask else 1):
                    cleared = Cell(entry.address + 8 * n)
                    await cleared.store(0)
                    driver.leaves.cleared(domain.name, iova, size, cleared)
                self.cleared(found, pte, span)
                iova += size
                continue
            until = min(end, (iova | span - 1) + 1)
            below = Pte.ppn.get(pte) << PAGE_LG2
            got = await self._clear(driver, domain, scheme, below, level - 1, iova, until, found)
            if got == span:
                await entry.store(0)
                found.freelist.append(int(below))
            iova += got
            if iova < until:
                break
        return iova - start

    def cleared(self, found: Gather, pte: int, span: int) -> None:
        """A leaf that was `pte`, in an entry that spans so many bytes, was cleared; of 64 KiB, all of its entries."""
        found.cleared(span)

    # --- Look ------------------------------------------------------------------------------------------------------

    async def iova_to_phys(self, driver: Skeleton, domain: Domain, iova: int) -> int:
        made = object_of(domain)
        scheme = await pagetable.scheme_of(made)
        leaf = await pagetable.find_leaf(made, scheme, iova)
        if leaf is None:
            return 0
        address, size = pagetable.mapped_by(leaf.pte, leaf.size)
        return address | iova & size - 1


async def _collect(table: int, level: int, found: list[int]) -> None:
    """Put the tables below `table`, whose entries are of `level`, on `found`; those of level 0 lead to none."""
    for index in range(512 if level else 0):
        below = await Cell(table + 8 * index).load()
        if below & V and not below & LEAF:
            following = Pte.ppn.get(below) << PAGE_LG2
            found.append(int(following))
            await _collect(following, level - 1, found)


async def _collect_empty(pte: int, level: int, found: list[int]) -> bool:
    """Whether nothing is mapped below `pte`, an entry of `level` that points to a table; its tables, deepest first."""
    table = Pte.ppn.get(pte) << PAGE_LG2
    for index in range(512):
        below = await Cell(table + 8 * index).load()
        if below & LEAF or (below & V and not await _collect_empty(below, level - 1, found)):
            return False
    found.append(int(table))
    return True
