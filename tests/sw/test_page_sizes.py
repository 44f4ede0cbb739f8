"""A range is mapped, and unmapped, in the largest pages that fit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.sw.iommu_map import Fit, fit, iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Domain, Gather, Prot
from tests.sw.fake_driver import PAGE_SIZES, FakeDriver
from tests.sw.test_dma_api import MIB_2, PAGE, Bench


def best(iova: int, address: int, size: int) -> int:
    """The largest page that the start of a range permits, by trying each."""
    return max(page for page in PAGE_SIZES if page <= size and iova % page == 0 and address % page == 0)


@given(st.integers(0, 1 << 20), st.integers(0, 1 << 20), st.integers(1, 1 << 12), st.booleans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_a_range_is_mapped_in_the_largest_pages_that_fit(iova: int, address: int, pages: int, close: bool) -> None:
    """Every page of every part is the best one for its place."""
    iova, address, size = iova * PAGE, (iova if close else address) * PAGE, pages * PAGE
    done = 0
    while done < size:
        part = fit(PAGE_SIZES, iova + done, address + done, size - done)
        for _ in range(min(part.pages, 4)):
            assert part.page_size == best(iova + done, address + done, size - done)
            done += part.page_size
        done += (part.pages - min(part.pages, 4)) * part.page_size
        if part.pages > 4:
            last = done - part.page_size
            assert part.page_size == best(iova + last, address + last, size - last)
    assert done == size


def test_a_large_leaf_needs_both_addresses_aligned() -> None:
    assert fit(PAGE_SIZES, MIB_2, 2 * MIB_2, MIB_2) == Fit(MIB_2, 1)
    assert fit(PAGE_SIZES, MIB_2, 2 * MIB_2 + PAGE, MIB_2) == Fit(PAGE, 512)
    assert fit(PAGE_SIZES, MIB_2 - 2 * PAGE, 2 * MIB_2 - 2 * PAGE, MIB_2 + 2 * PAGE) == Fit(PAGE, 2)


def test_map_and_unmap_of_a_mixed_range_leave_nothing() -> None:
    """What was mapped by large pages is unmapped by such."""
    unmapped: list[str] = []

    class Notes(FakeDriver):
        async def unmap_pages(self, domain: Domain, iova: int, page_size: int, count: int, gather: Gather) -> int:
            unmapped.append(f"map {count} x {page_size:#x}")
            return await super().unmap_pages(domain, iova, page_size, count, gather)

    bench = Bench(kind=Notes)
    driver, domain = bench.driver, bench.domain

    async def body() -> None:
        size = 2 * MIB_2 + 3 * PAGE
        await iommu_map(driver, domain, MIB_2 - PAGE, 3 * MIB_2 - PAGE, size, Prot.READ)
        assert driver.translate("shared", MIB_2 - PAGE + size - 1) == 3 * MIB_2 - PAGE + size - 1
        assert await iommu_unmap(driver, domain, MIB_2 - PAGE, size) == size
        assert not driver.tables["shared"]

    bench.machine.run(body())
    assert bench.driver.named("map") == unmapped == ["map 1 x 0x1000", "map 2 x 0x200000", "map 2 x 0x1000"]
