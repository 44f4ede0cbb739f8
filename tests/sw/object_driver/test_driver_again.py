"""What is gone is not asked for any more: a refused device, its IOMMU, a directory. What is in use goes on."""

from __future__ import annotations

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import ContextChanged, LeafCleared
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.object_driver.call import Call
from cosim.units.quantities import US
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


def test_the_table_that_a_refused_device_has_left_in_its_context_is_not_the_domains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is that of a domain which was freed too early."""
    monkeypatch.setenv(OBJECTS, f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}")
    machine = Machine(STANDS_FOR, iommus=2)
    machine.sim.probe(LeafCleared).watch(lambda _: None)
    core, driver = machine.core, objects_of(machine)

    async def body() -> list[bool]:
        for n, hardware in enumerate(machine.hardware):
            await core.probe_iommu(hardware)
            await core.probe_device(f"dev{n}", (n + 1,), hardware.name)
        freed, domain = await core.domain_alloc("freed", "dev1"), await core.domain_alloc("d", "dev0")
        await driver.attach_dev(freed, core.devices["dev1"], None)
        seen = [driver.table(freed, lambda _: 0) is None]
        await driver.domain_free(freed)
        with pytest.raises(KernelError, match="EINVAL"):
            await driver.attach_dev(domain, core.devices["dev1"], freed)
        return [*seen, driver.table(domain, lambda _: 0) is None]

    assert machine.run(body()) == [False, True]


def test_a_device_whose_move_was_refused_is_in_its_domain_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """By it who begins to watch finds the domain's table, of whose leaves nobody was told by then."""
    monkeypatch.setenv(OBJECTS, f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}")
    machine, told = Machine(STANDS_FOR, iommus=2), list[LeafCleared]()
    core, driver = machine.core, objects_of(machine)

    async def body() -> None:
        for n, hardware in enumerate(machine.hardware):
            await core.probe_iommu(hardware)
            await core.probe_device(f"dev{n}", (n + 1,), hardware.name)
        domain, other = await core.domain_alloc("d", "dev0"), await core.domain_alloc("other", "dev1")
        await driver.attach_dev(domain, core.devices["dev0"], None)
        with pytest.raises(KernelError, match="EINVAL"):
            await driver.attach_dev(other, core.devices["dev0"], domain)
        machine.sim.probe(LeafCleared).watch(told.append)
        await iommu_map(driver, domain, IOVA, DATA, PAGE, Prot.READ)
        await machine.kernel.sleep(1 * US)
        await iommu_unmap(driver, domain, IOVA, PAGE)

    machine.run(body())
    assert [(event.domain, event.iova) for event in told] == [("d", IOVA)]


def test_a_device_that_has_gone_does_not_name_its_domains_table_by_the_context_of_the_next(machine: Machine) -> None:
    """What comes into its place is in a domain of its own, when somebody begins to watch."""
    told, core, driver = list[LeafCleared](), machine.core, objects_of(machine)

    async def body() -> None:
        await core.probe_iommu(machine.hardware[0])
        await core.probe_device("goes", (1,), "iommu0")
        domain = await core.domain_alloc("d", "goes")
        await driver.attach_dev(domain, core.devices["goes"], None)
        await driver.release_device(core.devices["goes"], domain)
        await core.probe_device("comes", (1,), "iommu0")
        other = await core.domain_alloc("other", "comes")
        await driver.attach_dev(other, core.devices["comes"], None)
        await iommu_map(driver, other, IOVA, DATA, PAGE, Prot.READ)
        await iommu_map(driver, domain, IOVA, DATA, PAGE, Prot.READ)
        machine.sim.probe(LeafCleared).watch(told.append)
        await iommu_unmap(driver, domain, IOVA, PAGE)
        await iommu_unmap(driver, other, IOVA, PAGE)

    machine.run(body())
    assert [event.domain for event in told] == ["other"]


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


def test_an_iommu_in_use_goes_on_after_a_second_probe_of_it_has_failed(machine: Machine) -> None:
    """Its registers are mapped as before, for its handlers and for unmaps; its contexts are looked at as before."""
    told: list[ContextChanged] = []
    machine.sim.probe(ContextChanged).watch(told.append)
    machine.boot()
    with pytest.raises(KernelError, match="EBUSY"):
        machine.run(machine.core.probe_again("iommu0"))
    assert machine.read(1, IOVA) is None
    assert machine.log[1:] == ["warning: iommu0: fault 13 device 0x1 iotval 0x40000000 iotval2 0x0"]
    before = len(told)
    machine.run(machine.core.release_device("dev0"))
    assert ("tc", 0) in [(event.field, event.value) for event in told[before:]]


@pytest.mark.parametrize("left", [False, True])
def test_a_handler_that_outlives_what_it_is_given_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    """Whoever shares its line would have it read what is freed. Of an IOMMU that is still there none does."""
    machine.boot()

    async def forgets(_: Call) -> int:
        return 0

    async def leaves() -> None:
        with pytest.raises(KernelError, match="EBUSY"):
            await machine.core.probe_again("iommu0")
        await machine.core.remove_iommu("iommu0")

    ours = objects_of(machine).machine
    if left:
        monkeypatch.setattr(ours, "_functions", {**ours._functions, "free_irq": forgets})
    machine.run(leaves())
    told = "is still requested, and what its handler is given is freed"
    lines = [f"oops: iommu0: irq {irq} {told}" for irq in machine.hardware[0].vectors[:2]]
    assert [line for line in machine.log if line.startswith("oops")] == (lines if left else [])
