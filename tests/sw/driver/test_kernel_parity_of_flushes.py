"""What maps and unmaps send is what real kernels were seen to send (see `test_kernel_parity`)."""

from __future__ import annotations

import pytest

from cosim.sw.iommu_map import iommu_map, iommu_unmap, iommu_unmap_fast
from cosim.sw.iommu_ops import Gather, Prot
from tests.sw.driver.expected import PAGE, VARIANTS, fence, page, vma
from tests.sw.driver.machine import DRAM, Machine

HUGE = 2 << 20
BOTH = Prot.READ | Prot.WRITE
IOVA = 0x4000_0000


# --- Unmap ----------------------------------------------------------------------------------------------------------


def unmapped(
    variant: str, pages: int, *, base: int = DRAM, devices: int = 1, iova: int = IOVA, scattered: bool = False
) -> list[str]:
    """What an unmap of so many pages sends that were mapped to memory from `base` on, or each by itself."""
    machine = Machine(variant, iommu={} if pages == 511 else None)
    domain = machine.boot(devices)

    async def there_and_back() -> None:
        if scattered:
            for n in range(pages):
                await iommu_map(machine.driver, domain, iova + n * PAGE, base + 2 * n * PAGE, PAGE, BOTH)
        else:
            await iommu_map(machine.driver, domain, iova, base, pages * PAGE, BOTH)
        assert machine.trace() == []
        assert await iommu_unmap(machine.driver, domain, iova, pages * PAGE) == pages * PAGE

    machine.run(there_and_back())
    return machine.trace()


def each(pages: int, iova: int = IOVA) -> list[str]:
    return [page(iova + n * PAGE) for n in range(pages)]


@VARIANTS
@pytest.mark.parametrize("pages", [1, 2, 64])
def test_unmap_of_a_few_pages(variant: str, pages: int) -> None:
    assert unmapped(variant, pages) == [*each(pages), *fence(variant)]


@pytest.mark.slow
@VARIANTS
def test_unmap_of_511_pages(variant: str) -> None:
    assert unmapped(variant, 511) == [*each(511), *fence(variant)]


@VARIANTS
def test_unmap_of_a_2m_page(variant: str) -> None:
    assert unmapped(variant, 512) == [vma(1), *fence(variant)]


def test_unmap_of_a_2m_page_and_a_4k_page() -> None:
    """6.13 flushes when the page size changes; 7.1 gathers the range as one."""
    assert unmapped("merged", 513) == [vma(1), *fence("merged"), page(IOVA + HUGE), *fence("merged")]
    assert unmapped("current", 513) == [vma(1), *fence("current")]


@VARIANTS
def test_unmap_of_two_2m_pages(variant: str) -> None:
    assert unmapped(variant, 1024) == [vma(1), *fence(variant)]


@VARIANTS
def test_scattered_pages(variant: str) -> None:
    """The range does not cover their table: it stays."""
    assert unmapped(variant, 3, scattered=True) == [*each(3), *fence(variant)]


@pytest.mark.slow
@VARIANTS
def test_scattered_pages_that_fill_a_table(variant: str) -> None:
    """7.1 frees the table, which takes a flush of the whole PSCID; 6.13 flushes it for its size."""
    assert unmapped(variant, 512, scattered=True) == [vma(1), *fence(variant)]


@pytest.mark.slow
def test_scattered_pages_of_more_than_a_table() -> None:
    """513 pages of 4 KiB, no page of 2 MiB: both flush the PSCID once, 7.1 for the table that it frees."""
    for variant in ("merged", "current"):
        assert unmapped(variant, 513, scattered=True) == [vma(1), *fence(variant)]


@VARIANTS
def test_a_2m_page_over_an_empty_table_flushes_at_map_time(variant: str) -> None:
    machine = Machine(variant)
    domain = machine.boot()

    async def there() -> None:
        await iommu_map(machine.driver, domain, IOVA, DRAM, PAGE, BOTH)
        await iommu_unmap(machine.driver, domain, IOVA, PAGE)
        machine.trace()
        await iommu_map(machine.driver, domain, IOVA, DRAM, HUGE, BOTH)

    machine.run(there())
    assert machine.trace() == [vma(1), *fence(variant)]


def test_v2_sends_everything_once_for_each_device() -> None:
    """An unmap of 1 MiB in a domain of ten devices behind one IOMMU: 2,570 commands, where `merged` sends 257."""
    few = unmapped("v2", 4, devices=10)
    assert few == 10 * each(4) + 10 * fence("v2")
    assert unmapped("merged", 4, devices=10) == [*each(4), *fence("merged")]


@pytest.mark.slow
def test_v2_sends_2570_commands_where_merged_sends_257() -> None:
    for variant, commands in (("v2", 2570), ("merged", 257)):
        sent = [line for line in unmapped(variant, 256, devices=10) if line.startswith("IO")]
        assert len(sent) == commands


@pytest.mark.parametrize(("variant", "sent"), [("merged", []), ("current", [page((1 << 64) - PAGE)])])
def test_nothing_gathered_is_a_fence_and_in_7_1_a_harmless_flush(variant: str, sent: list[str]) -> None:
    machine = Machine(variant)
    domain = machine.boot()
    machine.run(machine.driver.iotlb_sync(domain, Gather()))
    assert machine.trace() == [*sent, *fence(variant)]


@VARIANTS
def test_flushing_everything_is_one_command(variant: str) -> None:
    machine = Machine(variant)
    domain = machine.boot()
    machine.run(machine.driver.flush_iotlb_all(domain))
    assert machine.trace() == [vma(1), *fence(variant)]


@VARIANTS
def test_a_gap_in_what_is_gathered_flushes_early(variant: str) -> None:
    machine = Machine(variant)
    domain = machine.boot()

    async def apart() -> None:
        for iova in (IOVA, IOVA + 16 * PAGE):
            await iommu_map(machine.driver, domain, iova, DRAM, PAGE, BOTH)
        gather = Gather()
        for iova in (IOVA, IOVA + 16 * PAGE):
            await iommu_unmap_fast(machine.driver, domain, iova, PAGE, gather)
        await machine.driver.iotlb_sync(domain, gather)

    machine.run(apart())
    assert machine.trace() == [page(IOVA), *fence(variant), page(IOVA + 16 * PAGE), *fence(variant)]


@VARIANTS
def test_two_iommus_get_the_commands_before_either_is_waited_for(variant: str) -> None:
    """All commands first, then the fences, one IOMMU after the other."""
    machine = Machine(variant, iommus=2)
    domain = machine.boot(devices=4)

    async def there_and_back() -> None:
        await iommu_map(machine.driver, domain, IOVA, DRAM, PAGE, BOTH)
        await iommu_unmap(machine.driver, domain, IOVA, PAGE)

    machine.run(there_and_back())
    sent = [line for line in machine.trace() if "IO" in line]
    assert sorted(sent[:2]) == [f"iommu0: {page(IOVA)}", f"iommu1: {page(IOVA)}"]
    assert sorted(sent[2:]) == ["iommu0: IOFENCE.C(pr=0x1,pw=0x1)", "iommu1: IOFENCE.C(pr=0x1,pw=0x1)"]
