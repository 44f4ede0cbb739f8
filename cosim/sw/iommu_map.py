"""iommu_map and iommu_unmap (Linux, drivers/iommu/iommu.c): ranges of any size, in the pages that a domain offers."""

from __future__ import annotations

import errno
from typing import NamedTuple

from cosim.sw.iommu_ops import Domain, Gather, IommuDriver, Prot
from cosim.sw.kernel.errors import KernelError


class Fit(NamedTuple):
    """How the first part of a range is mapped: `pages` pages of `page_size` bytes."""

    page_size: int
    pages: int


def fit(page_sizes: tuple[int, ...], iova: int, address: int, size: int) -> Fit:
    """The largest page for the start of a range, and how many of it before a larger one would do.

    `page_sizes` ascend; `iova`, `address` and `size` are multiples of the smallest.
    """
    fitting = [page for page in page_sizes if page <= size and not (iova | address) % page]
    page = fitting[-1]
    larger = next((other for other in page_sizes if other > page), None)
    if larger is None or (iova ^ address) % larger:
        return Fit(page, size // page)
    to_larger = -iova % larger
    if to_larger + larger > size:
        to_larger = size
    return Fit(page, to_larger // page)


class Unflushed(KernelError):
    """A map has failed, and so has the flush of what was mapped by then: a device may use these IOVAs still."""


async def iommu_map(driver: IommuDriver, domain: Domain, iova: int, address: int, size: int, prot: Prot) -> None:
    """Map `size` bytes. KernelError EINVAL for what is not aligned, else what the driver reports; then none is mapped.

    It is `Unflushed` if the IOVAs may not be used again.
    A second mapping of the same IOVA is the driver's to refuse; not all variants do.
    """
    _check_alignment(driver, domain, iova, address, size)
    done = 0
    while done < size:
        page_size, pages = fit(domain.page_sizes, iova + done, address + done, size - done)
        result = await driver.map_pages(domain, iova + done, address + done, page_size, pages, prot)
        done += result.mapped
        if result.failed:
            failed = KernelError
            if done:
                gather = Gather()
                await iommu_unmap_fast(driver, domain, iova, done, gather)
                if await driver.iotlb_sync(domain, gather) is False:
                    failed = Unflushed
            raise failed(result.failed, f"map of {iova + done:#x} in {domain.name}")


async def iommu_unmap_fast(driver: IommuDriver, domain: Domain, iova: int, size: int, gather: Gather) -> int:
    """Clear the entries of a range without flushing them; returns the bytes cleared, up to the first hole."""
    _check_alignment(driver, domain, iova, 0, size)
    done = 0
    while done < size:
        page_size, pages = fit(domain.page_sizes, iova + done, iova + done, size - done)
        cleared = await driver.unmap_pages(domain, iova + done, page_size, pages, gather)
        if not cleared:
            break
        done += cleared
    return done


async def iommu_unmap(driver: IommuDriver, domain: Domain, iova: int, size: int) -> int:
    """Clear the entries of a range and flush them; returns the bytes cleared."""
    gather = Gather()
    done = await iommu_unmap_fast(driver, domain, iova, size, gather)
    await driver.iotlb_sync(domain, gather)
    return done


def _check_alignment(driver: IommuDriver, domain: Domain, iova: int, address: int, size: int) -> None:
    smallest = domain.page_sizes[0]
    if (iova | address | size) % smallest:
        driver.kernel.log("error", f"unaligned: iova {iova:#x} pa {address:#x} size {size:#x} min_pagesz {smallest:#x}")
        raise KernelError(errno.EINVAL, f"{iova:#x} and {size} bytes are not multiples of {smallest}")
