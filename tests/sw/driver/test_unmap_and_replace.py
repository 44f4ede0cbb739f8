"""What an unmap takes away and what a page replaces: no more than is there, and tables only behind their flush."""

from __future__ import annotations

import errno
from collections.abc import Awaitable

import pytest

from cosim.events import CommandExecuted, PageFreed
from cosim.sim.operations import Now
from cosim.spec.pagetable import Pte
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.driver.driver import Driver
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Domain, Gather, MapResult, Prot
from cosim.units.quantities import GIB, MS
from tests.sw.driver.machine import DRAM, SIZE, Machine

PAGE = 4096
HUGE = 512 * PAGE
IOVA = 0x4000_0000
DATA = DRAM + SIZE // 2
BOTH = Prot.READ | Prot.WRITE


def mapped(variant: str, size: int, cpus: int = 1, iova: int = IOVA, address: int = DATA) -> tuple[Machine, Domain]:
    machine = Machine(variant, cpus=cpus)
    domain = machine.boot()
    machine.run(iommu_map(machine.driver, domain, iova, address, size, BOTH))
    return machine, domain


def flushed_and_freed(machine: Machine) -> list[str]:
    """What is executed and which pages of tables are freed from here on, in this order."""
    seen: list[str] = []
    machine.sim.probe(CommandExecuted).watch(lambda event: seen.append(event.kind))
    machine.sim.probe(PageFreed).watch(lambda event: seen.append("table") if event.purpose == "table" else None)
    return seen


@pytest.mark.parametrize("variant", ["merged", "current"])
def test_a_table_that_a_large_page_replaces_is_freed_behind_a_fence(variant: str) -> None:
    """In 7.1 an empty one alone is replaced."""
    machine, domain = mapped(variant, PAGE)
    seen = flushed_and_freed(machine)

    async def replace() -> None:
        await iommu_unmap(machine.driver, domain, IOVA, PAGE)
        await iommu_map(machine.driver, domain, IOVA, DATA, HUGE, BOTH)

    machine.run(replace())
    assert seen[-3:] == ["iotinval_vma", "iofence", "table"]


@pytest.mark.parametrize("variant", ["current", "latest"])
def test_a_table_that_a_map_takes_off_is_freed_behind_its_flush_also_if_the_map_fails_further_on(variant: str) -> None:
    machine, domain = mapped(variant, PAGE)
    machine.run(iommu_map(machine.driver, domain, IOVA + HUGE, DATA, PAGE, BOTH))
    seen = flushed_and_freed(machine)

    async def replace() -> MapResult:
        await iommu_unmap(machine.driver, domain, IOVA, PAGE)
        return await machine.driver.map_pages(domain, IOVA, DATA, HUGE, 2, BOTH)

    assert machine.run(replace()) == MapResult(HUGE, errno.EADDRINUSE)
    assert seen[-3:] == ["iotinval_vma", "iofence", "table"]


def test_a_table_that_a_page_has_replaced_is_freed_behind_its_flush_also_if_there_is_no_memory_further_on() -> None:
    """The second page is the first one of another table."""
    first = IOVA + GIB - HUGE
    machine, domain = mapped("merged", PAGE, iova=first)
    seen = flushed_and_freed(machine)
    machine.kernel.pages.fail([1])
    result = machine.run(machine.driver.map_pages(domain, first, DATA, HUGE, 2, BOTH))
    assert result == MapResult(HUGE, errno.ENOMEM)
    assert seen == ["iotinval_vma", "iofence", "table"]


def test_tables_of_all_that_is_gathered_are_freed_behind_one_flush() -> None:
    machine, domain = mapped("current", 2 * HUGE, iova=IOVA, address=DATA + 16 * PAGE)
    tables = machine.kernel.pages.purposes()["table"]
    seen = flushed_and_freed(machine)

    async def unmap_each() -> None:
        gather = Gather()
        for iova in (IOVA, IOVA + HUGE):
            assert await machine.driver.unmap_pages(domain, iova, HUGE, 1, gather) == HUGE
        await machine.driver.iotlb_sync(domain, gather)

    machine.run(unmap_each())
    assert seen[-3:] == ["iofence", "table", "table"]
    assert tables - machine.kernel.pages.purposes()["table"] == 2 * PAGE


@pytest.mark.parametrize("size", [GIB, HUGE, 16 * PAGE])
@pytest.mark.parametrize("there", [0, 5, 15])
def test_a_page_is_not_mapped_over_a_smaller_one_wherever_that_is(size: int, there: int) -> None:
    machine, domain = mapped("current", PAGE, iova=IOVA + there * PAGE)
    result = machine.run(machine.driver.map_pages(domain, IOVA, DRAM, size, 1, BOTH))
    assert result == MapResult(0, errno.EADDRINUSE)
    assert [machine.read(1, IOVA + n * PAGE) for n in (there - 1, there, there + 1)] == [None, DATA, None]


@pytest.mark.parametrize("variant", ["latest", "ideal"])
def test_a_large_page_is_flushed_by_one_command(variant: str) -> None:
    machine, domain = mapped(variant, HUGE)
    seen = flushed_and_freed(machine)
    assert machine.run(iommu_unmap(machine.driver, domain, IOVA, HUGE)) == HUGE
    assert seen == ["iotinval_vma", "iofence"]


@pytest.mark.parametrize("variant", ["merged", "current"])
def test_one_call_maps_and_unmaps_each_of_its_pages_and_each_takes_its_time(variant: str) -> None:
    machine = Machine(variant)
    domain, driver = machine.boot(), machine.driver
    assert isinstance(driver, Driver)
    driver.costs = DriverCosts(call="10 ms", pte="1 ms")

    async def took(call: Awaitable[MapResult | int]) -> tuple[MapResult | int, int]:
        began = (await Now()).time
        return await call, ((await Now()).time - began) // MS

    assert machine.run(took(driver.map_pages(domain, IOVA, DATA, PAGE, 3, BOTH))) == (MapResult(3 * PAGE, 0), 13)
    assert [machine.read(1, IOVA + n * PAGE) for n in range(4)] == [DATA, DATA + PAGE, DATA + 2 * PAGE, None]
    assert machine.run(took(driver.unmap_pages(domain, IOVA, PAGE, 3, Gather()))) == (3 * PAGE, 13)


@pytest.mark.parametrize("iova", [(1 << 56) - PAGE, (1 << 64) - (1 << 56), (1 << 64) - PAGE])
def test_a_generic_page_table_maps_both_halves_of_all_addresses_to_their_ends(iova: int) -> None:
    machine, domain = mapped("current", PAGE, iova=iova)
    assert machine.read(1, iova) == DATA
    assert machine.run(iommu_unmap(machine.driver, domain, iova, PAGE)) == PAGE
    assert machine.read(1, iova) is None


@pytest.mark.parametrize("variant", ["merged", "current"])
def test_a_part_of_a_large_page_is_not_unmapped(variant: str) -> None:
    machine, domain = mapped(variant, HUGE)
    for size in (PAGE, HUGE):  # as long as it is, and past its end
        assert machine.run(machine.driver.unmap_pages(domain, IOVA + PAGE, size, 1, Gather())) == 0
    assert machine.read(1, IOVA) == DATA


@pytest.mark.parametrize(
    ("variant", "size", "done"), [("merged", HUGE, HUGE), ("current", HUGE, 0), ("current", 16 * PAGE, 0)]
)
def test_the_first_part_of_a_large_page_takes_all_of_it_along_until_7_1(variant: str, size: int, done: int) -> None:
    """Who unmaps it is told how much that was, and what to flush."""
    machine, domain = mapped(variant, size)
    gather = Gather()
    assert machine.run(machine.driver.unmap_pages(domain, IOVA, PAGE, 1, gather)) == done
    assert (gather.empty, gather.end) == ((False, IOVA + size - 1) if done else (True, 0))
    there = range(0, size, size // 2)
    assert [machine.read(1, IOVA + at) for at in there] == [None if done else DATA + at for at in there]


def test_of_two_unmaps_of_one_page_one_has_cleared_it() -> None:
    machine, domain = mapped("merged", PAGE, cpus=2)
    found: list[int] = []

    async def unmap() -> None:
        found.append(await machine.driver.unmap_pages(domain, IOVA, PAGE, 1, Gather()))

    for cpu in ("cpu0", "cpu1"):
        machine.start(unmap(), cpu)
    machine.go(machine.sim.now + 1 * MS)
    assert sorted(found) == [0, PAGE]


def test_of_two_maps_of_one_page_the_later_one_is_there() -> None:
    """Both find the entry empty; who loses it looks again, and does not take the other's page for its own."""
    machine, domain = mapped("merged", PAGE, cpus=2)
    machine.run(iommu_unmap(machine.driver, domain, IOVA, PAGE))
    done: list[int] = []

    async def map_to(address: int) -> None:
        await iommu_map(machine.driver, domain, IOVA, address, PAGE, BOTH)
        done.append(address)

    for number, cpu in enumerate(("cpu0", "cpu1")):
        machine.start(map_to(DATA + number * PAGE), cpu)
    machine.go(machine.sim.now + 1 * MS)
    assert len(done) == 2
    assert machine.read(1, IOVA) == done[-1]


def test_each_id_of_a_device_gets_to_what_is_mapped() -> None:
    machine = Machine()
    domain = machine.boot(ids=lambda n: (3, 7))
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
    assert [machine.read(device_id, IOVA) for device_id in (3, 7)] == [DATA, DATA]


@pytest.mark.parametrize("variant", ["merged", "current", "ideal"])
def test_an_iova_inside_of_a_page_of_any_size_leads_as_far_into_it(variant: str) -> None:
    machine = Machine(variant)
    domain = machine.boot()
    sizes = [size for size in domain.page_sizes if size <= GIB]

    async def leads() -> list[list[int]]:
        found = list[list[int]]()
        for size in sizes:
            await machine.driver.map_pages(domain, IOVA, DRAM, size, 1, Prot.READ)
            ways = (0, 0xFFF, size // 2 + 5, size - 1)
            found.append([await machine.driver.iova_to_phys(domain, IOVA + way) - way for way in ways])
            await iommu_unmap(machine.driver, domain, IOVA, size)
        return found

    assert machine.run(leads()) == [[DRAM] * 4] * len(sizes)
    assert GIB in sizes


@pytest.mark.parametrize("variant", ["current", "latest", "ideal"])
def test_nothing_leads_to_a_table_that_an_unmap_has_emptied_and_freed(variant: str) -> None:
    """Whatever its page is used for then: here it looks as the table did."""
    machine, domain = mapped(variant, HUGE, address=DATA + PAGE)
    freed: list[int] = []
    machine.sim.probe(PageFreed).watch(lambda event: freed.append(event.address) if event.purpose == "table" else None)
    assert machine.read(1, IOVA) == DATA + PAGE
    (root, before) = machine.table_of(domain)[1], machine.kernel.pages.purposes()["table"]
    machine.run(iommu_unmap(machine.driver, domain, IOVA, HUGE))
    assert len(freed) == (before - machine.kernel.pages.purposes()["table"]) // PAGE > 0
    assert root not in freed
    for table in freed:
        machine.memory.poke(table, 8, Pte.of(v=1, r=1, w=1, u=1, a=1, d=1, ppn=DATA // PAGE))
    assert machine.read(1, IOVA) is None
