"""The structures that the kernel makes for a driver: devices as the bus and the core know them.

A member that is not set here faults when the driver reads it: zero would be an answer that nobody has given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosim.sim.operations import Store, StoreBlock
from cosim.sw.iommu_ops import Device, Hardware
from cosim.sw.kernel.errors import KernelError
from cosim.sw.object_driver.machine import Machine


@dataclass(frozen=True, slots=True)
class KernelDevice:
    """What the kernel keeps of a device for a driver in C: its struct device, its dev_iommu, its fwspec."""

    device: int
    dev_iommu: int
    fwspec: int


@dataclass(frozen=True, slots=True)
class PlatformDevice:
    """An IOMMU as the bus knows it: its platform_device, its fwnode, and the struct device inside of the former."""

    address: int
    fwnode: int
    device: int
    hardware: Hardware


async def set_members(machine: Machine, address: int, values: Mapping[str, int]) -> None:
    """Set those members that the structure at an address has."""
    layout = machine.layout
    for path, value in values.items():
        if layout.has(path):
            member = layout.info.field(path)
            machine.unset.set(address + member.offset, member.size)
            await layout.store(address, path, value)


class Structures:
    """Makes and frees them, in the kernel's memory."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._layout = machine.layout
        self._fwnodes: dict[str, int] = {}
        """What firmware says of each IOMMU; that stays when the IOMMU goes."""
        self._texts: dict[str, int] = {}

    async def platform_device(self, hardware: Hardware) -> PlatformDevice:
        """An IOMMU that the bus has found. KernelError ENOMEM."""
        layout, machine = self._layout, self._machine
        address = await self._new("platform_device")
        device = address + layout.offset("platform_device.dev")
        fwnode = self._fwnodes.get(hardware.name)
        if fwnode is None:
            fwnode = self._fwnodes[hardware.name] = machine.kernel.static(layout.size("fwnode_handle"))
            machine.unset.mark(fwnode, layout.size("fwnode_handle"), "fwnode_handle")
        machine.platform[address] = machine.platform[device] = hardware
        machine.names[device] = hardware.name
        ops = machine.image.linked.given.get("of_fwnode_ops", 0)
        await self.set(fwnode, {"fwnode_handle.dev": device, "fwnode_handle.ops": ops})
        known = {"driver_data": 0, "numa_node": hardware.node, "fwnode": fwnode, "of_node": 0}
        known |= {"init_name": await self._text(hardware.name), "msi.domain": 0}
        await self.set(device, {f"device.{name}": value for name, value in known.items()})
        return PlatformDevice(address, fwnode, device, hardware)

    async def _text(self, text: str) -> int:
        """A string that lives as long as the kernel."""
        if text not in self._texts:
            data = text.encode() + b"\0"
            words = tuple(int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8))
            self._texts[text] = self._machine.kernel.static(8 * len(words))
            await StoreBlock(self._texts[text], words)
        return self._texts[text]

    async def forget(self, bus: PlatformDevice) -> None:
        """The bus forgets an IOMMU."""
        await self.free(bus.address)
        for address in (bus.address, bus.device):
            del self._machine.platform[address]

    async def device(self, device: Device, bus: PlatformDevice) -> KernelDevice:
        """A device that has appeared behind an IOMMU. KernelError ENOMEM."""
        ids = self._layout.info.field("iommu_fwspec.ids")
        sizes = {"iommu_fwspec": ids.offset + 4 * len(device.ids), "dev_iommu": 0, "device": 0}
        made: list[int] = []
        try:
            for name, size in sizes.items():
                made.append(await self._new(name, size))
        except KernelError:
            for one in made:
                await self.free(one)
            raise
        fwspec, held, address = made
        await self.set(fwspec, {"iommu_fwspec.num_ids": len(device.ids), "iommu_fwspec.iommu_fwnode": bus.fwnode})
        for number, device_id in enumerate(device.ids):
            place = fwspec + ids.offset + 4 * number
            self._machine.unset.set(place, 4)
            await Store(place, device_id, 4)
        await self.set(held, {"dev_iommu.fwspec": fwspec, "dev_iommu.priv": 0})
        await self.set(address, {"device.iommu": held, "device.driver_data": 0, "device.numa_node": device.node})
        self._machine.names[address] = device.name
        return KernelDevice(address, held, fwspec)

    async def release(self, held: KernelDevice) -> None:
        """The core frees what it keeps of a device at once, without waiting for anybody."""
        await self._layout.store(held.device, "device.iommu", 0)
        for address in (held.fwspec, held.dev_iommu, held.device):
            await self.free(address)

    async def set(self, address: int, values: Mapping[str, int]) -> None:
        """Set those members that the structure at an address has."""
        await set_members(self._machine, address, values)

    async def _new(self, name: str, size: int = 0) -> int:
        size = max(size, self._layout.size(name), 8)
        address = await self._machine.kernel.pages.kmalloc(size, zero=False, purpose=name)
        self._machine.unset.mark(address, size, name)
        self._machine.objects[address] = (size, name)
        return address

    async def free(self, address: int) -> None:
        """Free one of them, or what the driver has allocated."""
        size, _ = self._machine.objects.pop(address, (0, ""))
        self._machine.unset.set(address, size)
        await self._machine.kernel.pages.kfree(address)
