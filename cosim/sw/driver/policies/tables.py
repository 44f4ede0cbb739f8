"""Page tables: where the root comes from, how a table is published, what becomes of a replaced table.

Mirrors riscv_iommu_alloc_paging_domain, riscv_iommu_map_pages, riscv_iommu_unmap_pages and riscv_iommu_iova_to_phys.
A table is zeroed before it is published; whether other readers see that order is for the publishing store to say:

        map                                     another map, or the IOMMU's walk
        zero table T                                .
        (release)                                   .
        entry = T                               reads the entry: T
                                                reads T: zeroes, or what was there before

Without the release the zeroes may come last: a walk finds old data for entries, and an entry that another map has put
into T meanwhile is wiped out.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import ClassVar

from cosim.sim.loaded import Loaded
from cosim.sim.operations import Oops, Work
from cosim.spec.bits import ONES
from cosim.spec.pagetable import FIRST_STAGE, PAGE_LG2, Pte
from cosim.spec.registers import Capabilities
from cosim.spec.translation import IosatpMode
from cosim.sw.driver import pagetable
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice, capabilities_of
from cosim.sw.driver.domain import DomainObject, object_of
from cosim.sw.iommu_ops import Domain, Gather, MapResult, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import Cell, Ordering
from cosim.sw.steps import step

MODES = (IosatpMode.SV57, IosatpMode.SV48, IosatpMode.SV39)


@dataclass(frozen=True)
class PerPage:
    """Linux 6.13 (b6e2174ef49b): root with the domain; relaxed publishing; replaced tables are flushed, then freed."""

    ordering: ClassVar[Ordering] = Ordering.RELAXED
    """Of the store that publishes a table."""

    # --- Life ------------------------------------------------------------------------------------------------------

    async def prepare(
        self, driver: Skeleton, domain: DomainObject, iommu: IommuDevice | None
    ) -> tuple[tuple[int, ...], int]:
        """Set a new domain up for `iommu`; the page sizes and the last IOVA that it offers. KernelError ENODEV.

        The device that a domain is made for leads to its IOMMU, and is not looked at first.
        """
        if iommu is None:
            raise Oops("null pointer dereference: the device that a domain is made for")
        capabilities = await capabilities_of(iommu)
        mode = best_mode(capabilities)
        await domain.mode.store(mode)
        await domain.node.store(await iommu.node.load())
        await domain.dirty_by_hardware.store(capabilities.amo_hwad)
        return self.offers(mode)

    def offers(self, mode: int) -> tuple[tuple[int, ...], int]:
        """Page sizes and last IOVA: the lower half of the address space."""
        scheme = FIRST_STAGE[0][mode]
        return scheme.page_sizes[:4], (1 << scheme.address_bits - 1) - 1

    async def alloc_root(self, driver: Skeleton, domain: DomainObject) -> None:
        """Allocate the root. KernelError ENOMEM."""
        await domain.root.store(await driver.kernel.pages.alloc(node=await domain.node.load(), purpose="table"))

    async def attaching(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> None:
        """A device behind `iommu` is about to be attached."""

    async def free(self, driver: Skeleton, domain: DomainObject) -> None:
        """Free all tables; no IOMMU may walk them any more."""
        root = await domain.root.load()
        if root:
            freelist: list[int] = []
            scheme = await pagetable.scheme_of(domain)
            await pagetable.take_tables(Pte.ppn.put(pagetable.TABLE, root >> PAGE_LG2), scheme.levels, freelist)
            await pagetable.free_pages(driver, freelist)

    # --- Publishing ------------------------------------------------------------------------------------------------

    async def publish(self, entry: Cell, old: int, new: int) -> Loaded:
        """Make a table reachable, if `entry` still is `old`; what it was."""
        return await entry.cmpxchg(old, new, self.release())

    async def publish_directory(self, entry: Cell, old: int, new: int) -> Loaded:
        """The same for a table of the device directory."""
        return await entry.cmpxchg(old, new, self.release())

    def release(self) -> Ordering:
        """What a table is published with."""
        return self.ordering

    # --- Mappings --------------------------------------------------------------------------------------------------

    async def map_pages(
        self, driver: Skeleton, domain: Domain, iova: int, paddr: int, page_size: int, count: int, prot: Prot
    ) -> MapResult:
        """Page by page from the root. A hardware walk may see each as soon as it is stored; no IOTINVAL is needed."""
        await Work(driver.costs.call)
        made, freelist, mapped, failed = object_of(domain), list[int](), 0, 0
        scheme = await pagetable.scheme_of(made)
        writable = bool(prot & Prot.WRITE)
        dirty = writable and not await made.dirty_by_hardware.load()
        while mapped < page_size * count:
            slot = await pagetable.find_slot(driver, made, scheme, iova + mapped, page_size, self.publish)
            if slot is None:
                failed = errno.ENOMEM
                break
            await Work(driver.costs.pte)
            old = await slot.load()
            pte = pagetable.leaf(paddr + mapped, writable=writable, dirty=dirty)
            if await slot.cmpxchg(old, pte, Ordering.RELAXED) != old:
                continue
            await pagetable.take_tables(old, pagetable.level_of(page_size), freelist)
            await self.replaced(driver, freelist)
            mapped += page_size
        if freelist:
            await self.flush_of_replaced(driver, made)
            await pagetable.free_pages(driver, freelist)
        return MapResult(mapped, failed)

    @step()
    async def flush_of_replaced(self, driver: Skeleton, domain: DomainObject) -> None:
        """The flush of the whole PSCID before tables that a page has replaced are freed."""
        await driver.invalidate(domain, 0, ONES)

    async def replaced(self, driver: Skeleton, freelist: list[int]) -> None:
        """A page has taken the place of the tables on `freelist`."""

    async def unmap_pages(self, driver: Skeleton, domain: Domain, iova: int, size: int, gather: Gather) -> int:
        """Leaf by leaf from the root. No table is freed; a page may be larger than what is left of the range."""
        await Work(driver.costs.call)
        made, unmapped = object_of(domain), 0
        scheme = await pagetable.scheme_of(made)
        while unmapped < size:
            leaf = await pagetable.find_leaf(made, scheme, iova + unmapped)
            if leaf is None or self.partial(iova + unmapped, leaf.size):
                break
            await Work(driver.costs.pte)
            if await leaf.entry.cmpxchg(leaf.pte, 0, Ordering.RELAXED) != leaf.pte:
                continue
            driver.leaves.cleared(domain.name, iova + unmapped, leaf.size, leaf.entry)
            await driver.gather_page(domain, gather, iova + unmapped, leaf.size)
            unmapped += leaf.size
        return unmapped

    def partial(self, iova: int, size: int) -> bool:
        """Whether `iova` is inside a page of `size` rather than its start."""
        return bool(iova & size - 1)

    async def iova_to_phys(self, driver: Skeleton, domain: Domain, iova: int) -> int:
        """Where `iova` leads. The walk's answer is used without a look: an oops if nothing is mapped (C13)."""
        made = object_of(domain)
        scheme = await pagetable.scheme_of(made)
        leaf = await pagetable.find_leaf(made, scheme, iova)
        if leaf is None:
            raise Oops(f"null pointer dereference: iova_to_phys of {iova:#x}, which is not mapped")
        return Pte.ppn.get(leaf.pte) << PAGE_LG2 | iova & leaf.size - 1


def best_mode(capabilities: Capabilities) -> IosatpMode:
    """The largest scheme that the IOMMU has. KernelError ENODEV if it has none."""
    for mode in MODES:
        if FIRST_STAGE[0][mode].supported(capabilities):
            return mode
    raise KernelError(errno.ENODEV, "the IOMMU has no first stage of 64-bit entries")


@dataclass(frozen=True)
class Released(PerPage):
    """`PerPage`, with tables published by a release: without defect C14 (a vendor's fix used a barrier)."""

    ordering: ClassVar[Ordering] = Ordering.RELEASE

    @step(answer=Ordering.RELAXED)
    def release(self) -> Ordering:
        """The release by which a table is published, behind its zeroes."""
        return self.ordering


@dataclass(frozen=True)
class TablesFreedAtOnce(PerPage):
    """`PerPage`, but a replaced table is freed while IOMMUs may have cached the way to it (defect C5 alone)."""

    no_steps: ClassVar = ("flush_of_replaced",)

    async def replaced(self, driver: Skeleton, freelist: list[int]) -> None:
        await pagetable.free_pages(driver, freelist)
        freelist.clear()


@dataclass(frozen=True)
class RootAtAttach(PerPage):
    """`PerPage`, but each attach looks whether there is a root, and makes one, without a lock (B9, B10).

    It also sets the node, and whether the hardware sets D, to what its IOMMU has: the last attach wins (B11).
    """

    async def alloc_root(self, driver: Skeleton, domain: DomainObject) -> None:
        """Not yet."""

    async def attaching(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> None:
        await domain.node.store(await iommu.node.load())
        await domain.dirty_by_hardware.store((await capabilities_of(iommu)).amo_hwad)
        if not await domain.root.load():
            page = await driver.kernel.pages.alloc(node=await domain.node.load(), purpose="table")
            await domain.root.store(page)


@dataclass(frozen=True)
class CpuMode(PerPage):
    """`PerPage`, but the scheme is that of the CPU, whatever the IOMMU has (defect C15 alone)."""

    satp: str = "sv48"
    """The CPU's scheme: sv39, sv48 or sv57."""

    def __post_init__(self) -> None:
        if self.satp.lower() not in ("sv39", "sv48", "sv57"):
            raise ValueError(f"satp: {self.satp} is no scheme; there are: sv39, sv48, sv57")

    async def prepare(
        self, driver: Skeleton, domain: DomainObject, iommu: IommuDevice | None
    ) -> tuple[tuple[int, ...], int]:
        mode = IosatpMode[self.satp.upper()]
        await domain.mode.store(mode)
        if iommu is not None:
            await domain.node.store(await iommu.node.load())
            await domain.dirty_by_hardware.store((await capabilities_of(iommu)).amo_hwad)
        return self.offers(mode)


@dataclass(frozen=True)
class InvertedTest(PerPage):
    """`PerPage`, but the test for the start of a page is inverted, so that almost nothing unmaps (defect C2 alone)."""

    def partial(self, iova: int, size: int) -> bool:
        return bool(iova & ~(size - 1))


@dataclass(frozen=True)
class ReviewedTables(RootAtAttach, TablesFreedAtOnce, CpuMode):
    """v2 7/7 (18 Apr 2024), with its unmap repaired (C2): root, node and D at attach; freed at once; the CPU's mode."""

    async def prepare(
        self, driver: Skeleton, domain: DomainObject, iommu: IommuDevice | None
    ) -> tuple[tuple[int, ...], int]:
        _, aperture_end = await super().prepare(driver, domain, None)
        return (1 << PAGE_LG2,), aperture_end


@dataclass(frozen=True)
class AsPosted(InvertedTest, ReviewedTables):
    """v2 7/7 as it was posted: `ReviewedTables` with the inverted test for the start of a page (C2)."""
