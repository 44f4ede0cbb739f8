"""What the kernel makes of a driver that comes and goes, or does not do what it says."""

from __future__ import annotations

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import ContextChanged, LeafCleared, ObjectFreed, TableFreed
from cosim.sim.operations import Oops
from cosim.spec.translation import Fsc
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Gather, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import Object
from cosim.sw.object_driver.hart import ObjectHart
from cosim.sw.object_driver.machine import LINK
from cosim.units.quantities import GIB, MIB
from tests.sw.driver.machine import OBJECTS, STANDS_FOR, Machine
from tests.sw.object_driver.test_driver import DATA, DRIVER, IOVA, PAGE, objects_of


def test_a_probe_after_which_no_iommu_is_registered_has_failed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = objects_of(machine)

    async def nothing(entry: int, *arguments: int) -> int:
        return 0

    monkeypatch.setattr(driver.machine, "run", nothing)
    with pytest.raises(KernelError, match="ENODEV: probe failed"):
        machine.run(driver.probe_iommu(machine.hardware[0]))


def test_of_an_iommu_that_leaves_the_newest_goes_first_and_its_registers_and_contexts_are_nobodys(
    machine: Machine,
) -> None:
    machine.boot()
    driver, context, told = objects_of(machine), machine.context(1), list[ContextChanged]()
    (bus,) = driver._platform.values()
    goes, freed = [data - LINK for data, _ in driver.machine.held[bus.device]], list[int]()
    machine.sim.probe(ObjectFreed).watch(lambda event: freed.append(event.address))

    async def leaves() -> None:
        newest = await machine.kernel.pages.kmalloc(64, purpose="newest") + LINK
        driver.machine.held[bus.device].append((newest, 0))
        goes.append(newest - LINK)
        await machine.core.release_device("dev0")
        await machine.core.remove_iommu("iommu0")

    machine.run(leaves())
    assert [address for address in freed if address in goes] == goes[::-1]
    assert not driver.machine.registers
    machine.sim.probe(ContextChanged).watch(told.append)
    machine.memory.poke(context, 8, 1)
    assert not told


def test_a_second_iommu_leaves_the_drivers_variables_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a device is not let into a domain of the other one, as the driver says."""
    monkeypatch.setenv(OBJECTS, f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}")
    machine = Machine(STANDS_FOR, iommus=2)
    driver, core = objects_of(machine), machine.core
    put = list[int]()
    put_data = driver.machine.put_data

    async def puts() -> None:
        put.append(machine.sim.now)
        await put_data()

    monkeypatch.setattr(driver.machine, "put_data", puts)

    async def body() -> None:
        for n, hardware in enumerate(machine.hardware):
            await core.probe_iommu(hardware)
            await core.probe_device(f"dev{n}", (n + 1,), hardware.name)
        domain = await core.domain_alloc("d", "dev0")
        with pytest.raises(KernelError, match="EINVAL"):
            await driver.attach_dev(domain, core.devices["dev1"], None)

    machine.run(body())
    assert len(put) == 1


def test_a_driver_that_does_not_do_what_it_says_is_told_so_and_what_stays_mapped_is_watched_no_longer(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain, driver = machine.boot(), objects_of(machine)
    cleared = list[int]()
    machine.sim.probe(LeafCleared).watch(lambda event: cleared.append(event.iova))
    machine.run(iommu_map(driver, domain, IOVA, DATA, PAGE, Prot.READ))

    async def maps() -> None:
        with pytest.raises(Oops, match="d: map_pages has mapped 0 bytes of 8192, and says all is well"):
            await driver.map_pages(domain, IOVA, DATA, PAGE, 2, Prot.READ)

    async def answers_0(self: ObjectHart, entry: int, *arguments: int) -> int:
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(ObjectHart, "call", answers_0)
        assert machine.run(driver.unmap_pages(domain, IOVA, PAGE, 1, Gather())) == 0
        machine.run(maps())
    machine.run(iommu_unmap(driver, domain, IOVA, PAGE))
    assert cleared == [IOVA]


def test_the_tables_of_a_driver_are_followed_in_memory(machine: Machine) -> None:
    """It frees them with the domain, the deepest first, and each as it stands."""
    told = list[TableFreed]()
    machine.sim.probe(TableFreed).watch(told.append)
    domain, driver = machine.boot(), objects_of(machine)
    root = Fsc(machine.memory.peek(machine.context(1) + 24, 8)).ppn << 12

    async def goes() -> None:
        await iommu_map(driver, domain, IOVA, DATA, PAGE, Prot.READ)
        await machine.core.release_device("dev0")
        await machine.core.domain_free("d")

    machine.run(goes())
    assert [(event.iova, event.size, event.unlinked) for event in told] == [
        (IOVA, 2 * MIB, -1),
        (IOVA, GIB, -1),
        (0, 1 << 64, -1),
    ]
    assert told[-1].address == root
    assert {event.root for event in told} == {root}


def test_a_shutdown_is_the_drivers_to_make(machine: Machine) -> None:
    machine.boot()
    machine.run(objects_of(machine).shutdown(Object(machine.core.iommus["iommu0"].address)))
    registers = machine.iommus[0].registers
    assert (registers.ddtp.iommu_mode, registers.cqcsr.cqon, registers.fqcsr.fqon) == (0, 0, 0)
