"""What goes with a device (drivers/base/devres.c): a list that begins at the device, and what undoes each entry."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from cosim.sim.operations import Store
from cosim.sw.object_driver.call import Call, Function
from cosim.sw.object_driver.functions.memory import GFP_ZERO, allocate, release
from cosim.sw.object_driver.machine import LINK, Machine


async def hold(machine: Machine, device: int, data: int, undo: int) -> None:
    """Add an entry, the newest one of its device."""
    async with machine.kernel.spin_irqsave(machine.devres_lock):
        held = machine.held.setdefault(device, [])
        await Store(data - LINK, held[-1][0] if held else 0)
        held.append((data, undo))
        await Store(machine.head_of(device), data)


async def let_go(machine: Machine, device: int, data: int) -> None:
    """Take an entry out of the list of its device."""
    async with machine.kernel.spin_irqsave(machine.devres_lock):
        held = machine.held[device]
        place = next(index for index, (address, _) in enumerate(held) if address == data)
        before = held[place - 1][0] if place else 0
        after = held[place + 1][0] - LINK if place + 1 < len(held) else machine.head_of(device)
        del held[place]
        await Store(after, before)


async def _devm_kmalloc(call: Call) -> int:
    address = await allocate(call, call[1] + LINK, call[2])
    if address:
        await hold(call.machine, call[0], address + LINK, 0)
    return address + LINK if address else 0


async def _alloc(call: Call) -> int:
    """Room for what undoes something; it is added to a device later."""
    address = await allocate(call, call[1] + LINK, call[2] | GFP_ZERO, "devres")
    if not address:
        return 0
    call.machine.undo[address + LINK] = call[0]
    return address + LINK


async def _add(call: Call) -> None:
    await hold(call.machine, call[0], call[1], call.machine.undo.pop(call[1], 0))


async def _release(call: Call) -> int:
    """Undo the newest that matches."""
    machine, (device, undo, match, data) = call.machine, (call[0], call[1], call[2], call[3])
    for address, function in reversed(list(machine.held.get(device, ()))):
        if function == undo and (not match or await call.again(match, device, address, data) & 0xFFFF_FFFF):
            await let_go(machine, device, address)
            await call.again(undo, device, address)
            await release(call, address - LINK)
            return 0
    return -errno.ENOENT


FUNCTIONS: Mapping[str, Function] = {
    "devm_kmalloc": _devm_kmalloc,
    "__devres_alloc_node": _alloc,
    "devres_add": _add,
    "devres_release": _release,
}
