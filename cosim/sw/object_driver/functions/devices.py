"""Platform devices and the registration of IOMMUs."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from cosim.sw.object_driver.call import Call, Function


async def _ioremap(call: Call) -> int:
    """Registers are mapped where they are."""
    hardware = call.machine.platform[call[0]]
    if call[1] & 0xFFFF_FFFF:
        return -errno.EINVAL
    call.machine.registers[hardware.base >> 12] = hardware
    return hardware.base


async def _get_irq(call: Call) -> int:
    hardware, number = call.machine.platform[call[0]], call[1] & 0xFFFF_FFFF
    return hardware.vectors[number] if number < len(hardware.vectors) else -errno.ENXIO


async def _irq_count(call: Call) -> int:
    return len(call.machine.platform[call[0]].vectors)


async def _register(call: Call) -> int:
    """The IOMMU can be used from now on: its operations are those that are given."""
    machine, (iommu, ops, device) = call.machine, (call[0], call[1], call[2])
    if machine.layout.has("iommu_device.ops"):
        await call.store(iommu + machine.layout.offset("iommu_device.ops"), ops, 8)
    machine.registered[device] = iommu
    return 0


async def _unregister(call: Call) -> None:
    machine = call.machine
    machine.registered = {device: iommu for device, iommu in machine.registered.items() if iommu != call[0]}


FUNCTIONS: Mapping[str, Function] = {
    "devm_platform_ioremap_resource": _ioremap,
    "platform_get_irq": _get_irq,
    "platform_irq_count": _irq_count,
    "iommu_device_register": _register,
    "iommu_device_unregister": _unregister,
}
