"""What the kernel keeps for a compiled driver of each device and domain, and lets go of with it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import LeafCleared, LineReached
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import MapResult, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import MIB, US
from tests.sw.driver.machine import DRAM, OBJECTS, SIZE, STANDS_FOR, Machine

DRIVER = Path(__file__).parents[2] / "object" / "driver"
PAGE = 4096
IOVA, DATA = 0x4000_0000, DRAM + SIZE // 2
TOO_FAR = 512
"""A device that the driver's directory of one level has no room for."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv(OBJECTS, f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}")
    return Machine(STANDS_FOR)


def test_nothing_is_left_of_a_device_that_the_driver_refuses(machine: Machine) -> None:
    machine.boot()
    before = machine.kernel.pages.purposes()
    with pytest.raises(KernelError) as error:
        machine.run(machine.core.probe_device("far", (TOO_FAR,), "iommu0"))
    assert error.value.code == errno.ENODEV
    assert machine.log == ["error: kernel: far: no translation: -ENODEV: no translation"]
    assert machine.kernel.pages.purposes() == before
    machine.run(machine.core.probe_device("near", (7,), "iommu0"))
    machine.run(machine.core.release_device("near"))
    assert machine.kernel.pages.purposes() == before


def test_a_domain_that_is_made_where_another_one_was_has_a_page_table_of_its_own(machine: Machine) -> None:
    """Who watches is told of its leaves, wherever that table is."""
    told: list[tuple[str, int]] = []
    machine.sim.probe(LeafCleared).watch(lambda event: told.append((event.domain, event.iova)))
    machine.boot()
    core, pages = machine.core, machine.kernel.pages

    async def used(name: str) -> int:
        domain = await core.domain_alloc(name, "dev0")
        await core.attach("dev0", domain)
        await iommu_map(machine.driver, domain, IOVA, DATA, PAGE, Prot.READ)
        await machine.kernel.sleep(1 * US)
        await iommu_unmap(machine.driver, domain, IOVA, PAGE)
        await core.detach("dev0")
        await core.domain_free(name)
        return int(domain.object.address)

    async def body() -> tuple[int, int]:
        await core.detach("dev0")
        first = await used("first")
        for _ in range(4):
            await pages.alloc(purpose="buffer")
        return first, await used("second")

    first, second = machine.run(body())
    assert first == second
    assert told == [("first", IOVA), ("second", IOVA)]


@pytest.mark.parametrize(("fails", "mapped"), [(1, 0), (2, 0), (3, PAGE), (4, 2 * PAGE)])
def test_a_map_without_memory_for_a_table_tells_its_errno_and_how_far_it_came(
    machine: Machine, fails: int, mapped: int
) -> None:
    """Of two pages, the first of which needs two tables and the second one more."""
    machine.boot()
    first = IOVA + 2 * MIB - PAGE
    places: list[str] = []
    machine.sim.probe(LineReached).watch(lambda event: places.append(event.place))

    async def maps() -> tuple[MapResult, list[int]]:
        domain = await machine.core.domain_alloc("small", "dev0")
        machine.kernel.pages.fail([fails])
        result = await machine.driver.map_pages(domain, first, DATA, PAGE, 2, Prot.READ)
        machine.kernel.pages.fail([])
        assert not places[-1], "the thread has left the driver, of whose calls the last was for a table"
        return result, [await machine.driver.iova_to_phys(domain, iova) for iova in (first, first + PAGE)]

    result, there = machine.run(maps())
    assert result == MapResult(mapped, 0 if mapped == 2 * PAGE else errno.ENOMEM)
    assert there == [DATA + at if at < mapped else 0 for at in (0, PAGE)]
