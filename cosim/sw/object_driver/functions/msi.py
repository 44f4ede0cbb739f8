"""Interrupts that are messages (drivers/base/platform-msi.c, kernel/irq/msi.c), where firmware names who takes them.

A vector's registers are written by the driver's own function, when the first handler of the vector is there, and once
more with zeroes when the last one has gone: so does an interrupt controller that activates on request, as IMSIC.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

from cosim.sw.object_driver.call import Call, Function
from cosim.sw.object_driver.functions.devres import hold, let_go
from cosim.sw.object_driver.functions.memory import allocate, release
from cosim.sw.object_driver.machine import LINK, Machine, Message
from cosim.sw.object_driver.structures import set_members

DESCRIPTOR, MESSAGE = "msi_desc", "msi_msg"


async def _configure(call: Call) -> None:
    """The device sends to the interrupt files, if firmware says so; what they are to Linux, no driver looks into."""
    machine, device = call.machine, call[0]
    if machine.platform[device].messages:
        await set_members(machine, device, {"device.msi.domain": machine.parent_of_messages()})


async def _init_and_alloc(call: Call) -> int:
    """A descriptor for each vector, with a number of an interrupt as far as there are vectors."""
    machine, (device, count, write) = call.machine, (call[0], call[1] & 0xFFFF_FFFF, call[2])
    hardware = machine.platform[device]
    if not hardware.messages or not write:
        return -errno.EINVAL
    layout = machine.layout
    for index in range(count):
        found = await allocate(call, layout.size(DESCRIPTOR) + LINK, 0, DESCRIPTOR)
        if not found:
            await _free_all(call)
            return -errno.ENOMEM
        descriptor = found + LINK
        await hold(machine, device, descriptor, 0)
        irq = hardware.vectors[index] if index < len(hardware.messages) else 0
        known = {"irq": irq, "nvec_used": 1, "dev": device, "msi_index": index}
        await set_members(machine, descriptor, {f"{DESCRIPTOR}.{name}": value for name, value in known.items()})
        address, data = hardware.messages[index] if irq else (0, 0)
        machine.messages[device, index] = Message(irq, address, data, write, descriptor)
    return 0


async def _free_all(call: Call) -> None:
    machine, device = call.machine, call[0]
    for key in [key for key in machine.messages if key[0] == device]:
        descriptor = machine.messages.pop(key).descriptor
        await let_go(machine, device, descriptor)
        await release(call, descriptor - LINK)


async def _get_virq(call: Call) -> int:
    message = call.machine.messages.get((call[0], call[2] & 0xFFFF_FFFF))
    return message.irq if message else 0


async def activate(call: Call, irq: int) -> None:
    """An interrupt has its first handler: if it is a message, the device learns where to send it."""
    for message in _of(call.machine, irq):
        await _write(call, message, message.address, message.data)


async def deactivate(call: Call, irq: int) -> None:
    """An interrupt has lost its last handler."""
    for message in _of(call.machine, irq):
        await _write(call, message, 0, 0)


def _of(machine: Machine, irq: int) -> list[Message]:
    return [message for message in machine.messages.values() if message.irq == irq]


async def _write(call: Call, message: Message, address: int, data: int) -> None:
    """Have the driver write the registers of a vector, under the lock of its interrupt (irq_desc.lock)."""
    hart, machine = call.hart, call.machine
    layout, top = machine.layout, hart.x[2]
    at = hart.reserve(layout.size(MESSAGE))
    values = {"address_lo": address & 0xFFFF_FFFF, "address_hi": address >> 32, "data": data}
    for name, value in values.items():
        hart.put_local(at + layout.offset(f"{MESSAGE}.{name}"), 4, value)
    async with machine.kernel.spin_irqsave(machine.irq_lock(message.irq)):
        await call.again(message.write, message.descriptor, at)
    hart.x[2] = top


FUNCTIONS: Mapping[str, Function] = {
    "of_msi_configure": _configure,
    "platform_device_msi_init_and_alloc_irqs": _init_and_alloc,
    "platform_device_msi_free_irqs_all": _free_all,
    "msi_domain_get_virq": _get_virq,
}
