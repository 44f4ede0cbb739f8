"""How a queue's interrupt is connected: by a wire, or by a message that the IOMMU is told where to send.

Linux tells a device of a message when the vector gets its first handler, and takes it back, with zeroes, when the last
one has gone (kernel/irq/msi.c); the driver's own function writes the registers.
"""

from __future__ import annotations

from collections.abc import Callable

from cosim.sim.operations import Body
from cosim.spec.register_map import MSI_ADDR, MSI_DATA, MSI_VEC_CTL
from cosim.spec.registers import Fctl, Interrupt, MsiAddr
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.kernel.irq import HardHandler, IrqAction


async def connect(
    driver: Skeleton, iommu: IommuDevice, interrupt: Interrupt, name: str, hard: HardHandler, thread: Callable[[], Body]
) -> IrqAction:
    """Have the handlers of an interrupt run from now on. KernelError ENOMEM."""
    hardware = driver.hardware(iommu)
    vector = interrupt.vector(await iommu.icvec.load())
    action = await driver.kernel.irq.request(hardware.cpu, hardware.vectors[vector], name, hard, thread)
    if len(action.line.actions) == 1 and await _by_message(driver, iommu):
        await _send_to(driver, iommu, vector, *hardware.messages[vector])
    return action


async def disconnect(driver: Skeleton, iommu: IommuDevice, interrupt: Interrupt, action: IrqAction) -> None:
    """On return none of the handlers runs any more."""
    await driver.kernel.irq.free(action)
    if not action.line.actions and await _by_message(driver, iommu):
        await _send_to(driver, iommu, interrupt.vector(await iommu.icvec.load()), 0, 0)


async def _by_message(driver: Skeleton, iommu: IommuDevice) -> bool:
    return bool(driver.hardware(iommu).messages) and not Fctl(await iommu.fctl.load()).wsi


async def _send_to(driver: Skeleton, iommu: IommuDevice, vector: int, address: int, data: int) -> None:
    async with driver.kernel.irqs_off():
        await iommu.write(MSI_ADDR[vector], MsiAddr.of(addr=address >> 2))
        await iommu.write(MSI_DATA[vector], data)
        await iommu.write(MSI_VEC_CTL[vector], 0)
