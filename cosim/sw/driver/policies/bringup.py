"""How much a probe trusts what it finds, and what a shutdown leaves to the next kernel.

Mirrors riscv_iommu_init_check, riscv_iommu_iodir_alloc, riscv_iommu_queue_enable and riscv_iommu_platform_shutdown.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosim.sim.operations import MmioRead
from cosim.spec.bits import Word
from cosim.spec.pagetable import PAGE, PAGE_LG2
from cosim.spec.queues import Iodir, Iotinval
from cosim.spec.register_map import CQCSR, DDTP, FQCSR, PQCSR, Register
from cosim.spec.registers import Ddtp, IommuMode, QueueBase
from cosim.sw.driver import device_directory
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.steps import step


@dataclass(frozen=True)
class HandsOver:
    """Linux 6.14 (8d8d3752c0a4, 77a44196abfb): queues begin at index 0, a shutdown leaves the IOMMU in Bare mode."""

    async def ddtp_at_start(self, driver: Skeleton, iommu: IommuDevice) -> Ddtp:
        """`ddtp` as it is found: busy is a reason to give up."""
        return Ddtp(await iommu.read(DDTP))

    async def fixed_root(self, driver: Skeleton, iommu: IommuDevice) -> int:
        """Where the directory's root is if the hardware fixes its place, else 0: what `ddtp.ppn` reads after a 0."""
        ddtp = await device_directory.settled_ddtp(driver, iommu)
        if ddtp.iommu_mode > IommuMode.BARE:
            return 0
        await iommu.write(DDTP, Ddtp.of(iommu_mode=ddtp.iommu_mode))
        return (await device_directory.settled_ddtp(driver, iommu)).ppn << PAGE_LG2

    async def fixed_queue(self, base: QueueBase) -> int:
        """pfn_to_phys of the PPN field."""
        return base.address

    @step(answer=False)
    def waits_for_ddtp(self) -> bool:
        """The wait until `ddtp` is no longer busy."""
        return True

    @step(answer=False)
    def waits_for_queues(self) -> bool:
        """The wait until a queue that is switched on or off is no longer busy."""
        return True

    async def forget_all(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """All contexts, then all translations, then a fence behind both."""
        await self.iodir_of_all(driver, iommu)
        await self.iotinval_of_all(driver, iommu)
        await self.fence_of_all(driver, iommu)

    @step()
    async def iodir_of_all(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """IODIR.INVAL_DDT of all contexts, after a write of `ddtp`."""
        await driver.send(iommu, Iodir.inval_ddt())

    @step()
    async def iotinval_of_all(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """IOTINVAL.VMA of everything, after a write of `ddtp`."""
        await driver.send(iommu, Iotinval.vma())

    @step()
    async def fence_of_all(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """IOFENCE behind them."""
        await driver.sync(iommu, device_directory.FENCE_PS)

    async def reset_index(self, iommu: IommuDevice, index: Register[Word]) -> None:
        """Enabling a queue resets only the end that the IOMMU moves: reset the other one."""
        await iommu.write(index, 0)

    async def shutdown(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """Let requests pass and switch the queues off, without looking."""
        await iommu.write(DDTP, Ddtp.of(iommu_mode=IommuMode.BARE))
        for csr in (CQCSR, FQCSR, PQCSR):
            await iommu.write(csr, 0)


@dataclass(frozen=True)
class NoHandOver(HandsOver):
    """Linux 6.13 (b6e2174ef49b): a next kernel finds the IOMMU in use, or stale indices in its queues (defect C16)."""

    async def reset_index(self, iommu: IommuDevice, index: Register[Word]) -> None:
        """Nothing."""

    async def shutdown(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """Nothing."""


@dataclass(frozen=True)
class RootNotProbed(HandsOver):
    """`HandsOver` that never looks for a fixed root: the directory is where no IOMMU with one reads it.

    The mode is all that is read back of `ddtp`, so the probe succeeds, and the IOMMU refuses every device.
    """

    async def fixed_root(self, driver: Skeleton, iommu: IommuDevice) -> int:
        """Half of a register of 8 bytes is read, and a root seen only in a mode with which no probe gets this far."""
        await MmioRead(await iommu.registers.load() + DDTP.offset, 4)
        return 0


@dataclass(frozen=True)
class PpnShiftedTwice(HandsOver):
    """`HandsOver` that takes a fixed queue to be elsewhere, which the IOMMU then does not read back: ENODEV."""

    async def fixed_queue(self, base: QueueBase) -> int:
        """ppn_to_phys, which is for a PPN at its place in the register, of the field."""
        return base.ppn << 2 & -PAGE


@dataclass(frozen=True)
class ReviewedBringup(RootNotProbed, PpnShiftedTwice, NoHandOver):
    """v2 5/7 and 6/7 (18 Apr 2024): waits while `ddtp` is busy, never finds a fixed root, misses a fixed queue."""

    async def ddtp_at_start(self, driver: Skeleton, iommu: IommuDevice) -> Ddtp:
        return await device_directory.settled_ddtp(driver, iommu)
