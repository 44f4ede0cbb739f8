"""What is gone is not asked for any more: a device that was refused, its IOMMU, and the directory of another kernel."""

from __future__ import annotations

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import ContextChanged, LeafCleared
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Prot
from cosim.sw.kernel.errors import KernelError
from tests.sw.driver.machine import OBJECTS, STANDS_FOR, Machine
from tests.sw.object_driver.test_driver import DATA, DRIVER, IOVA, PAGE, objects_of


def test_a_device_that_was_refused_and_has_gone_with_its_iommu_is_not_asked_for_the_domains_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No other one has entered it, so that its leaves are not to be found; one that goes is attached to nothing."""
    monkeypatch.setenv(OBJECTS, f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}")
    machine, told = Machine(STANDS_FOR, iommus=2), list[LeafCleared]()
    machine.sim.probe(LeafCleared).watch(told.append)
    core, driver = machine.core, objects_of(machine)
    driver.blocked = None

    async def body() -> int:
        for n, hardware in enumerate(machine.hardware):
            await core.probe_iommu(hardware)
            await core.probe_device(f"dev{n}", (n + 1,), hardware.name)
        domain = await core.domain_alloc("d", "dev0")
        with pytest.raises(KernelError, match="EINVAL"):
            await driver.attach_dev(domain, core.devices["dev1"], None)
        await core.release_device("dev1")
        await core.remove_iommu("iommu1")
        await iommu_map(driver, domain, IOVA, DATA, PAGE, Prot.READ)
        return await iommu_unmap(driver, domain, IOVA, PAGE)

    assert machine.run(body()) == PAGE
    assert not told


def test_contexts_of_the_kernel_before_are_told_until_the_iommu_is_probed_again(machine: Machine) -> None:
    told = list[ContextChanged]()
    machine.sim.probe(ContextChanged).watch(told.append)
    machine.boot()
    core, context, device = machine.core, machine.context(1), machine.core.devices["dev0"]

    def words() -> tuple[int, ...]:
        return machine.driver.context(device, 1, lambda address: machine.memory.peek(address, 8))

    async def again() -> None:
        await machine.driver.shutdown(core.iommus["iommu0"])
        told.clear()
        assert words()[0] == 1
        await core.probe_again("iommu0")

    machine.run(again())
    assert machine.context(1) != context
    machine.memory.poke(context, 8, 3)
    assert not told
    assert words() == (0, 0, 0, 0)
