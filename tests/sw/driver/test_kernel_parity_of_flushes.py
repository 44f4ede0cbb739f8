"""What maps and unmaps send is what real kernels were seen to send (see `test_kernel_parity`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cosim.spec.bits import ONES
from cosim.spec.queues import Iotinval
from cosim.spec.registers import Capabilities
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.domain import DomainObject, object_of
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.policies.invalidate import PerIommu
from cosim.sw.driver.policies.invalidate_ranges import Ranges
from cosim.sw.driver.variants import load_variant
from cosim.sw.iommu_map import iommu_map, iommu_unmap, iommu_unmap_fast
from cosim.sw.iommu_ops import Gather, Prot
from tests.sw.driver.expected import PAGE, VARIANTS, fence, page, vma
from tests.sw.driver.machine import DRAM, SMALL_QUEUES, Machine

HUGE = 2 << 20
BOTH = Prot.READ | Prot.WRITE
IOVA = 0x4000_0000


# --- Unmap ----------------------------------------------------------------------------------------------------------


def unmapped(
    variant: str,
    pages: int,
    *,
    base: int = DRAM,
    devices: int = 1,
    iova: int = IOVA,
    scattered: bool = False,
    has: Sequence[str] = (),
) -> list[str]:
    """What an unmap of so many pages sends that were mapped to memory from `base` on, or each by itself.

    `has`: capabilities of the IOMMU beside the usual ones.
    """
    machine = Machine(variant, iommu=with_capabilities(*has, large=pages > 255 and "s" not in has))
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


def with_capabilities(*names: str, large: bool = False) -> dict[str, Any]:
    """Options of an IOMMU that has these; `large`: with queues for more than 255 commands at once."""
    return {"geometry": {} if large else SMALL_QUEUES, "capabilities": dict.fromkeys(names, True)}


def each(pages: int, iova: int = IOVA, size: int = PAGE) -> list[str]:
    return [page(iova + n * size) for n in range(pages)]


def one_range(lg2: int, iova: int = IOVA, *, nl: bool = False) -> str:
    """2^`lg2` pages from `iova` on in one command."""
    command = Iotinval.vma(pscid=1, addr=iova, pages_lg2=lg2, nl=int(nl))
    return f"IOTINVAL.VMA(av=0x1,pscid=0x1,pscv=0x1,{'nl=0x1,' * nl}s=0x1,addr={command.addr:#x})"


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
    """7.2 knows that it is one leaf."""
    assert unmapped(variant, 512) == [page(IOVA) if variant == "latest" else vma(1), *fence(variant)]


def test_unmap_of_a_2m_page_and_a_4k_page() -> None:
    """6.13 flushes when the page size changes; 7.1 and 7.2 gather the range as one."""
    assert unmapped("merged", 513) == [vma(1), *fence("merged"), page(IOVA + HUGE), *fence("merged")]
    for variant in ("current", "latest"):
        assert unmapped(variant, 513) == [vma(1), *fence(variant)]


@VARIANTS
def test_unmap_of_4k_pages_and_a_2m_page_behind_them(variant: str) -> None:
    """7.2 counts in pages of the smallest size, of which there are too many to be named one by one."""
    start = IOVA + HUGE - 3 * PAGE
    early = [*each(3, start), *fence(variant)] if variant == "merged" else []
    assert unmapped(variant, 515, base=DRAM + HUGE - 3 * PAGE, iova=start) == [*early, vma(1), *fence(variant)]


@VARIANTS
def test_unmap_of_two_2m_pages(variant: str) -> None:
    sent = each(2, size=HUGE) if variant == "latest" else [vma(1)]
    assert unmapped(variant, 1024) == [*sent, *fence(variant)]


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
    """513 pages of 4 KiB, no page of 2 MiB: all flush the PSCID once, from 7.1 on for the table that they free."""
    for variant in ("merged", "current", "latest"):
        assert unmapped(variant, 513, scattered=True) == [vma(1), *fence(variant)]


def flushed_at_map_time(variant: str, *has: str) -> list[str]:
    """What the map of a 2M page sends where a page of 4K was mapped, and has left its table."""
    machine = Machine(variant, iommu=with_capabilities(*has))
    domain = machine.boot()

    async def there() -> None:
        await iommu_map(machine.driver, domain, IOVA, DRAM, PAGE, BOTH)
        await iommu_unmap(machine.driver, domain, IOVA, PAGE)
        machine.trace()
        await iommu_map(machine.driver, domain, IOVA, DRAM, HUGE, BOTH)

    machine.run(there())
    return machine.trace()


@VARIANTS
def test_a_2m_page_over_an_empty_table_flushes_at_map_time(variant: str) -> None:
    assert flushed_at_map_time(variant) == [vma(1), *fence(variant)]


# --- With range and non-leaf invalidation -----------------------------------------------------------------------------

BOTH_KINDS = ("s", "nl")


@pytest.mark.parametrize("variant", ["merged", "current"])
def test_older_drivers_do_not_ask_for_ranges(variant: str) -> None:
    assert unmapped(variant, 8, has=BOTH_KINDS) == [*each(8), *fence(variant)]


def test_who_asks_for_a_range_or_for_all_gets_no_more_and_no_less() -> None:
    machine = Machine(load_variant("latest"), iommu=with_capabilities())
    domain, driver = object_of(machine.boot()), machine.driver
    assert isinstance(driver, Driver)
    machine.run(driver.invalidate(domain, IOVA, IOVA + 3 * PAGE - 1))
    assert machine.trace() == [*each(3), *fence("latest")]
    machine.run(driver.invalidate(domain, 0, ONES))
    assert machine.trace() == [vma(1), *fence("latest")]


def test_a_page_is_named_by_itself_though_ranges_could_be_named() -> None:
    assert unmapped("latest", 1, has=BOTH_KINDS) == [page(IOVA), *fence("latest")]


@pytest.mark.parametrize(
    ("pages", "lg2"), [(2, 1), (3, 2), (64, 6), (65, 7), (511, 9), (512, 9), (513, 10), (1024, 10)]
)
def test_a_range_is_one_command_rounded_up_to_a_power_of_two(pages: int, lg2: int) -> None:
    for has in (BOTH_KINDS, ("s",)):
        assert unmapped("latest", pages, has=has) == [one_range(lg2), *fence("latest")]


def test_a_range_is_aligned_to_its_size() -> None:
    """Two pages that no range of two spans: IOVA + 4 KiB and IOVA + 8 KiB are in the first four."""
    assert unmapped("latest", 2, iova=IOVA + PAGE, has=("s",)) == [one_range(2), *fence("latest")]


@pytest.mark.parametrize(("pages", "commands"), [(512, 512), (513, 1)])
@pytest.mark.parametrize("start", [IOVA, (1 << 64) - 1024 * PAGE])
def test_up_to_512_pages_are_named_one_by_one_and_more_are_all(pages: int, commands: int, start: int) -> None:
    gather = Gather(stride=PAGE)
    gather.add(start, pages * PAGE)
    assert len(list(Ranges().needed(Capabilities(0), 1, gather))) == commands


def test_where_the_page_table_tells_no_stride_each_page_is_named() -> None:
    gather = Gather()
    gather.add(IOVA, 3 * PAGE)
    named = [Iotinval.vma(pscid=1, addr=IOVA + n * PAGE) for n in range(3)]
    assert list(Ranges().needed(Capabilities(0), 1, gather)) == named


def test_what_spans_both_halves_of_the_address_space_is_all() -> None:
    """No range has so many pages."""
    gather = Gather(stride=PAGE)
    gather.add(0, PAGE)
    gather.add((1 << 64) - PAGE, PAGE)
    assert list(Ranges().needed(Capabilities.of(s=1, nl=1), 1, gather)) == [Iotinval.vma(pscid=1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("has", "sent"),
    [((), vma(1)), (("s",), vma(1)), (BOTH_KINDS, one_range(9, nl=True))],
    ids=["neither", "s", "s and nl"],
)
def test_a_freed_table_takes_non_leaf_invalidation_or_a_flush_of_all(has: Sequence[str], sent: str) -> None:
    assert unmapped("latest", 512, scattered=True, has=has) == [sent, *fence("latest")]


@pytest.mark.slow
def test_without_ranges_each_page_is_named_with_its_non_leaf_entries() -> None:
    sent = [line for line in unmapped("latest", 512, scattered=True, has=("nl",)) if line.startswith("IOTINVAL")]
    assert sent == [line.replace("pscv=0x1,", "pscv=0x1,nl=0x1,") for line in each(512)]


@pytest.mark.parametrize(
    ("has", "sent"),
    [
        ((), vma(1)),
        (("s",), vma(1)),
        (("nl",), page(IOVA).replace("pscv=0x1,", "pscv=0x1,nl=0x1,")),
        (BOTH_KINDS, one_range(9, nl=True)),
    ],
)
def test_a_table_freed_at_map_time_is_flushed_as_one_freed_by_an_unmap(has: Sequence[str], sent: str) -> None:
    assert flushed_at_map_time("latest", *has) == [sent, *fence("latest")]


@pytest.mark.slow
def test_up_to_512_pages_are_named_one_by_one() -> None:
    """7.1 stops at 511; here half of them are in one table and half in the next, so that none is freed."""
    halfway = IOVA + HUGE // 2
    assert unmapped("latest", 512, iova=halfway, scattered=True) == [*each(512, halfway), *fence("latest")]
    assert unmapped("latest", 513, iova=halfway, scattered=True) == [vma(1), *fence("latest")]
    assert unmapped("current", 512, iova=halfway, scattered=True) == [vma(1), *fence("current")]


@pytest.mark.parametrize("has", [(), BOTH_KINDS])
def test_a_lazy_flush_is_one_command_whatever_the_iommu_has(has: Sequence[str]) -> None:
    machine = Machine("latest", iommu=with_capabilities(*has))
    domain = machine.boot()
    machine.run(machine.driver.flush_iotlb_all(domain))
    assert machine.trace() == [vma(1), *fence("latest")]


@pytest.mark.parametrize("has", [(), ("s",), ("nl",), BOTH_KINDS])
def test_what_is_unmapped_is_gone_whatever_the_iommu_has(has: Sequence[str]) -> None:
    """3 pages of 5 are unmapped from the middle: they fault, and their neighbours are where they were."""
    machine = Machine("latest", iommu=with_capabilities(*has))
    domain = machine.boot()
    machine.run(iommu_map(machine.driver, domain, IOVA, DRAM, 5 * PAGE, BOTH))
    wholes = [DRAM + n * PAGE for n in range(5)]
    assert [machine.read(1, IOVA + n * PAGE) for n in range(5)] == wholes
    machine.run(iommu_unmap(machine.driver, domain, IOVA + PAGE, 3 * PAGE))
    assert [machine.read(1, IOVA + n * PAGE) for n in range(5)] == [wholes[0], None, None, None, wholes[4]]


# --- Several devices and IOMMUs -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("variant", "sent"), [("merged", []), ("current", [page((1 << 64) - PAGE)]), ("latest", [vma(1)])]
)
def test_nothing_gathered_is_a_fence_in_7_1_with_a_harmless_flush_and_in_7_2_with_one_of_all(
    variant: str, sent: list[str]
) -> None:
    machine = Machine(variant)
    domain = machine.boot()
    machine.run(machine.driver.iotlb_sync(domain, Gather()))
    # an object of 7.2 has its core before it, which asks for nothing
    assert machine.trace() == ([] if machine.of_objects else [*sent, *fence(variant)])


@VARIANTS
def test_flushing_everything_is_one_command(variant: str) -> None:
    machine = Machine(variant)
    domain = machine.boot()
    machine.run(machine.driver.flush_iotlb_all(domain))
    assert machine.trace() == [vma(1), *fence(variant)]


def test_a_policy_of_ones_own_is_asked_for_everything_as_0_to_all_ones() -> None:
    asked: list[tuple[int, int]] = []

    class Notes(PerIommu):
        async def range(self, driver: Skeleton, domain: DomainObject, start: int, end: int) -> None:
            asked.append((start, end))

    machine = Machine(replace(load_variant("merged"), invalidate=Notes()))
    domain = machine.boot()
    machine.run(machine.driver.flush_iotlb_all(domain))
    assert asked == [(0, ONES)]


@VARIANTS
def test_a_gap_in_what_is_gathered_flushes_early_until_7_1_gathers_it_as_well(variant: str) -> None:
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
    early = [page(IOVA), *fence(variant), page(IOVA + 16 * PAGE), *fence(variant)]
    assert machine.trace() == (early if variant == "merged" else [*each(17), *fence(variant)])


@VARIANTS
def test_what_is_gathered_after_a_flush_is_flushed_as_if_nothing_had_been_before(variant: str) -> None:
    """A page of 2 MiB after one of 4 KiB: 7.2 counts in 2 MiB then."""
    machine = Machine(variant)
    domain = machine.boot()

    async def one_after_the_other() -> None:
        gather = Gather()
        for iova, size in ((IOVA, PAGE), (IOVA + HUGE, HUGE)):
            await iommu_map(machine.driver, domain, iova, DRAM, size, BOTH)
            await iommu_unmap_fast(machine.driver, domain, iova, size, gather)
            await machine.driver.iotlb_sync(domain, gather)

    machine.run(one_after_the_other())
    second = page(IOVA + HUGE) if variant == "latest" else vma(1)
    assert machine.trace() == [page(IOVA), *fence(variant), second, *fence(variant)]


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
