"""What the kernel makes of a device for a driver in C: all of it, or nothing."""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.sw.iommu_ops import Device, DeviceObject, Hardware
from cosim.sw.kernel.errors import KernelError
from cosim.sw.object_driver.structures import PlatformDevice, Structures
from tests.sw.object_driver.test_functions import has_member
from tests.sw.object_driver.test_running import IMAGE, Loaded


@pytest.mark.parametrize("fails", [1, 2, 3, None])
def test_a_device_that_goes_or_has_no_memory_leaves_no_structure(
    fails: int | None,
) -> None:
    loaded = Loaded()
    structures, pages = Structures(loaded.driver), loaded.kernel.pages
    device = Device("nic0", DeviceObject(loaded.word), (1, 2, 3, 4, 5), node=3)
    field = loaded.driver.layout.info.field

    def member(address: int, path: str) -> int:
        return loaded.machine.memory.peek(address + field(path).offset, field(path).size)

    async def comes_and_goes() -> None:
        bus = await structures.platform_device(Hardware("iommu0", 0x0300_0000, (), "cpu0"))
        before = deepcopy((pages.purposes(), loaded.driver.objects, loaded.driver.unset.pages))
        if fails is None:
            held = await structures.device(device, bus)
            assert loaded.driver.objects[held.fwspec][0] == field("iommu_fwspec.ids").offset + 4 * 5
            assert [member(held.device, f"device.{name}") for name in ("iommu", "driver_data")] == [held.dev_iommu, 0]
            assert member(held.device, "device.numa_node") == 3
            assert [member(held.dev_iommu, f"dev_iommu.{name}") for name in ("fwspec", "priv")] == [held.fwspec, 0]
            assert member(held.fwspec, "iommu_fwspec.num_ids") == 5
            assert member(held.fwspec, "iommu_fwspec.iommu_fwnode") == bus.fwnode
            ids = held.fwspec + field("iommu_fwspec.ids").offset
            assert [loaded.machine.memory.peek(ids + 4 * n, 4) for n in range(5)] == [1, 2, 3, 4, 5]
            assert loaded.driver.name(held.device) == "nic0"
            await structures.release(held)
            assert loaded.machine.memory.peek(held.device + field("device.iommu").offset, 8) == 0
        else:
            pages.fail([fails])
            with pytest.raises(KernelError, match="-ENOMEM"):
                await structures.device(device, bus)
        assert (pages.purposes(), loaded.driver.objects, loaded.driver.unset.pages) == before
        await structures.forget(bus)
        assert not loaded.driver.objects
        assert not loaded.driver.platform

    loaded.machine.run(comes_and_goes())


def test_an_iommu_is_made_with_what_firmware_says_of_it_however_long_its_name_is() -> None:
    loaded = Loaded()
    structures, layout = Structures(loaded.driver), loaded.driver.layout
    peek = loaded.machine.memory.peek
    names = ("iommu@30000000-of-the-second-socket", "a-name-of-16-b..", "iommu", "15-bytes-are-it")

    def member(address: int, path: str) -> int:
        found = layout.info.field(path)
        return peek(address + found.offset, found.size)

    async def found() -> list[PlatformDevice]:
        made = [structures.platform_device(Hardware(name, 0, (), "cpu0", node=n)) for n, name in enumerate(names)]
        return [await one for one in [*made, structures.platform_device(Hardware(names[0], 0, (), "cpu0"))]]

    buses = loaded.machine.run(found())
    for node, (bus, name) in enumerate(zip(buses, names, strict=False)):
        text = member(bus.device, "device.init_name")
        assert peek(text, len(name) + 1) == int.from_bytes(name.encode(), "little")
        assert member(bus.device, "device.numa_node") == node
        assert member(bus.device, "device.driver_data") == member(bus.device, "device.msi.domain") == 0
        assert member(bus.fwnode, "fwnode_handle.dev") == (buses[-1] if not node else bus).device
    assert buses[-1].fwnode == buses[0].fwnode, "firmware knows of one"
    assert len({bus.fwnode for bus in buses}) == len(names)
    assert member(buses[-1].device, "device.init_name") == member(buses[0].device, "device.init_name")


@pytest.mark.parametrize("asks", [False, True])
def test_an_iommu_is_one_of_a_device_tree_for_a_driver_that_asks(monkeypatch: pytest.MonkeyPatch, asks: bool) -> None:
    """By the address of a variable, which it has only if it names that."""
    loaded, variable = Loaded(), 0xFFFF_FFFF_8010_0000
    has_member(monkeypatch, "fwnode_handle", "ops", 16)
    if asks:
        monkeypatch.setitem(cast(dict[str, int], IMAGE.linked.given), "of_fwnode_ops", variable)
    bus = loaded.machine.run(Structures(loaded.driver).platform_device(Hardware("iommu0", 0, (), "cpu0")))
    assert loaded.machine.memory.peek(bus.fwnode + 16, 8) == (variable if asks else 0)
