"""Platform devices and the registration of IOMMUs."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from cosim.spec.page import PAGE_LG2
from cosim.sw.object_driver.call import Call, Function


async def _ioremap(call: Call) -> int:
    """Registers are mapped where they are."""
    hardware = call.machine.platform[call[0]]
    if call[1] & 0xFFFF_FFFF:
        return -errno.EINVAL
    call.machine.registers[hardware.base >> PAGE_LG2] = hardware
    return hardware.base


async def _ioremap_and_resource(call: Call) -> int:
    if call[2]:
        await call.store(call[2], 0, 8)
    return await _ioremap(call)


async def _ioremap_there(call: Call) -> int:
    """What is mapped is memory, where an IOMMU has a place of its own for a structure."""
    return call[1]


async def _get_irq(call: Call) -> int:
    hardware, number = call.machine.platform[call[0]], call[1]
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


async def _fwnode(call: Call) -> int:
    return await call.load(call[0] + call.machine.layout.offset("device.fwnode"), 8)


async def _set_priv(call: Call) -> None:
    layout = call.machine.layout
    held = await call.load(call[0] + layout.offset("device.iommu"), 8)
    await call.store(held + layout.offset("dev_iommu.priv"), call[1], 8)


async def _nothing(call: Call) -> int:
    """Done by somebody else, or without consequence here."""
    return 0


async def _never(call: Call) -> int:
    """What the core would call by itself, or another bus."""
    raise call.oops("is not modelled")


FUNCTIONS: Mapping[str, Function] = {
    "devm_platform_ioremap_resource": _ioremap,
    "devm_platform_get_and_ioremap_resource": _ioremap_and_resource,
    "devm_ioremap": _ioremap_there,
    "platform_get_irq": _get_irq,
    "platform_irq_count": _irq_count,
    "iommu_device_register": _register,
    "iommu_device_unregister": _unregister,
    "iommu_device_sysfs_add": _nothing,
    "iommu_device_sysfs_remove": _nothing,
    "rimt_iommu_register": _nothing,
    "dev_iommu_priv_set": _set_priv,
    "__dev_fwnode": _fwnode,
    **dict.fromkeys(
        (
            *("__platform_driver_register", "iommu_fwspec_add_ids", "generic_device_group", "pci_device_group"),
            *("imsic_acpi_get_fwnode", "irq_find_matching_fwspec"),
        ),
        _never,
    ),
}
