"""Interrupts, by wire or by message: request_threaded_irq and free_irq."""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping

from cosim.sim.operations import Body
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.irq import IrqReturn
from cosim.sw.object_driver.call import Call, Function
from cosim.sw.object_driver.functions.messages import string_at
from cosim.sw.object_driver.functions.msi import activate, deactivate
from cosim.sw.object_driver.machine import Machine

WAKE_THREAD = 2
"""IRQ_WAKE_THREAD."""


async def _request(call: Call) -> int:
    machine, (irq, handler, thread, data) = call.machine, (call[0] & 0xFFFF_FFFF, call[1], call[2], call[5])
    hardware = next((one for one in machine.platform.values() if irq in one.vectors), None)
    if hardware is None:
        return -errno.EINVAL

    async def hard() -> IrqReturn:
        if not handler:
            return IrqReturn.WAKE_THREAD
        answer = await machine.run(handler, irq, data) & 0xFFFF_FFFF
        if answer == WAKE_THREAD:
            return IrqReturn.WAKE_THREAD
        return IrqReturn.HANDLED if answer else IrqReturn.NONE

    def served() -> Body:
        return _serve(call, thread, irq, data)

    name = await string_at(call, call[4])
    called = name if name.startswith(hardware.name) else f"{hardware.name}-{name}"
    try:
        action = await machine.kernel.irq.request(hardware.cpu, irq, called, hard, served)
    except KernelError as error:
        return -error.code
    first = not _has_handler(machine, irq)
    machine.actions[irq, data] = action
    if first:
        await activate(call, irq)
    return 0


async def _serve(call: Call, thread: int, irq: int, data: int) -> None:
    await call.machine.run(thread, irq, data)


async def _free(call: Call) -> int:
    machine, irq = call.machine, call[0] & 0xFFFF_FFFF
    action = machine.actions.pop((irq, call[1]), None)
    if action is None:
        machine.kernel.log("warning", f"{call.where}: free_irq of {irq}, which is not requested")
        return 0
    await machine.kernel.irq.free(action)
    if not _has_handler(machine, irq):
        await deactivate(call, irq)
    return 0


def judge_left(machine: Machine, vectors: Collection[int], name: str) -> None:
    """An IOMMU has gone: report each handler still on its line whose argument was freed with it. Takes no time."""
    for (irq, data), action in machine.actions.items():
        if irq in vectors and action in action.line.actions and not machine.kernel.pages.holds(data):
            machine.kernel.log("oops", f"irq {irq} is still requested, and what its handler is given is freed", name)


def _has_handler(machine: Machine, irq: int) -> bool:
    """Whether the present kernel has one: those of a kernel before are off their lines."""
    return any(number == irq and action in action.line.actions for (number, _), action in machine.actions.items())


FUNCTIONS: Mapping[str, Function] = {"request_threaded_irq": _request, "free_irq": _free}
