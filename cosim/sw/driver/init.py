"""An IOMMU comes into service, and leaves it (riscv_iommu_init and _remove; 6.2 "Guidelines for initialization")."""

from __future__ import annotations

import errno

from cosim.spec.register_map import CAPABILITIES, FCTL, ICVEC
from cosim.spec.registers import Capabilities, Ddtp, Fctl, Icvec, Igs, IommuMode
from cosim.sw.contract import asked
from cosim.sw.driver import device_directory, queue_setup
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.queue_setup import COMMANDS, FAULTS
from cosim.sw.iommu_ops import Hardware
from cosim.sw.kernel.errors import KernelError

CAUSES = 4
"""What an IOMMU interrupts for, and as many messages as Linux asks for, whatever the IOMMU can tell apart."""


async def init(driver: Skeleton, iommu: IommuDevice, hardware: Hardware) -> None:
    """The whole way from reset to a directory of three levels. KernelError with nothing left switched on."""
    await iommu.registers.store(hardware.base)
    await iommu.node.store(hardware.node)
    capabilities = Capabilities(await iommu.read(CAPABILITIES))
    fctl = Fctl(await iommu.read(FCTL))
    await iommu.capabilities.store(capabilities)
    fctl = await _interrupts_by(iommu, hardware, capabilities, fctl)
    ddtp = await asked(Ddtp, driver.policies.bringup.ddtp_at_start, driver, iommu)
    if ddtp.busy or ddtp.iommu_mode > IommuMode.BARE:
        raise KernelError(errno.EBUSY, f"the IOMMU is in use, in mode {ddtp.iommu_mode}")
    if fctl.be:
        if not capabilities.end:
            raise KernelError(errno.EINVAL, "the IOMMU is big-endian, and cannot be otherwise")
        fctl = fctl.replace(be=0)
        await iommu.write(FCTL, fctl)
    await iommu.fctl.store(fctl)
    await _vectors(iommu, len(hardware.vectors) if fctl.wsi else CAUSES)
    await device_directory.alloc_root(driver, iommu)
    await queue_setup.alloc(driver, iommu, COMMANDS)
    await queue_setup.alloc(driver, iommu, FAULTS)
    await queue_setup.enable(driver, iommu, COMMANDS)
    try:
        await queue_setup.enable(driver, iommu, FAULTS)
        try:
            await device_directory.set_mode(driver, iommu, IommuMode.LVL3)
        except KernelError:
            await queue_setup.disable(driver, iommu, FAULTS)
            raise
    except KernelError:
        await queue_setup.disable(driver, iommu, COMMANDS)
        raise


async def remove(driver: Skeleton, iommu: IommuDevice) -> None:
    """Block all requests, switch everything off, and free it all. Threads that still use it are not waited for."""
    await device_directory.set_mode(driver, iommu, IommuMode.OFF)
    await queue_setup.disable(driver, iommu, COMMANDS)
    await queue_setup.disable(driver, iommu, FAULTS)
    await driver.release_pages(iommu)
    await driver.kernel.pages.delete(iommu)


async def _interrupts_by(iommu: IommuDevice, hardware: Hardware, capabilities: Capabilities, fctl: Fctl) -> Fctl:
    """Choose messages where they can be sent and received, else wires. KernelError ENODEV if neither works."""
    if capabilities.igs != Igs.WSI and hardware.messages:
        if fctl.wsi:
            fctl = fctl.replace(wsi=0)
            await iommu.write(FCTL, fctl)
        return fctl
    if capabilities.igs == Igs.MSI:
        raise KernelError(errno.ENODEV, "the IOMMU interrupts by message only, and nothing receives messages")
    if not fctl.wsi:
        fctl = fctl.replace(wsi=1)
        await iommu.write(FCTL, fctl)
    return fctl


async def _vectors(iommu: IommuDevice, count: int) -> None:
    """Spread the four causes over `count` vectors; what is read back is what the IOMMU can do."""
    await iommu.write(ICVEC, Icvec.of(civ=0, fiv=1 % count, piv=2 % count, pmiv=3 % count))
    await iommu.icvec.store(await iommu.read(ICVEC))
