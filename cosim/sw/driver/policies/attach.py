"""The order of bond, barrier and device context when a device changes domains, and what is flushed of the old one.

Mirrors riscv_iommu_attach_paging_domain, riscv_iommu_iodir_update and their like. `invalidate` has the picture of an
attach beside an unmap; this one is of an attach beside the hardware:

        attach                                  IOMMU
        tc.V = 0                                    .
        IODIR.INVAL, IOFENCE                    forgets the old context; requests fault (cause 258) from here
        fsc, ta                                     .
        dma_wmb                                     .
        tc.V = 1                                a walk finds the new context, whole
        IODIR.INVAL, IOFENCE                        .
        old PSCID: IOTINVAL, IOFENCE            nothing is cached any more under a PSCID that may be used again

Written in one go into a live context, it may be read half: the new table under the old PSCID, and what is cached then
outlives the attach. Without the last line the next domain with that PSCID inherits the old one's translations.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import ClassVar

from cosim.sim.operations import Work
from cosim.spec.pagetable import FIRST_STAGE, PAGE_LG2
from cosim.spec.queues import Iodir, Iotinval
from cosim.spec.registers import IommuMode
from cosim.spec.translation import DcTa, Fsc, IosatpMode, Tc
from cosim.sw.contract import asked
from cosim.sw.driver.answers import asked_number
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import DeviceInfo, IommuDevice, capabilities_of, info_of
from cosim.sw.driver.device_context import DeviceContext
from cosim.sw.driver.device_directory import find_context
from cosim.sw.driver.domain import Bond, DomainObject, object_of
from cosim.sw.iommu_ops import Device, DevIommu, Domain
from cosim.sw.kernel.barriers import dma_wmb, smp_mb
from cosim.sw.kernel.errors import KernelError
from cosim.sw.steps import step
from cosim.units.quantities import S

V = Tc.v.mask


@dataclass(frozen=True)
class BondFirst:
    """Linux 6.13 (b6e2174ef49b): link, barrier, context in two passes, unlink, flush of the old PSCID's last use."""

    has_blocked: ClassVar[bool] = True
    """Whether there is a domain that blocks, which the core attaches on release."""
    fence_ps: int = 90 * S

    # --- Devices ---------------------------------------------------------------------------------------------------

    async def probe_device(self, driver: Skeleton, iommu: IommuDevice, device: Device) -> None:
        """Find or make all device contexts now, so that no attach can fail half way."""
        if await iommu.mode.load() <= IommuMode.BARE:
            raise KernelError(errno.ENODEV, f"{device.name}: its IOMMU has no device directory")
        info = await driver.kernel.pages.new(DeviceInfo)
        for device_id in device.ids:
            context = await find_context(driver, iommu, device_id)
            if context is None:
                await driver.kernel.pages.delete(info)
                raise KernelError(errno.ENODEV, f"{device.name}: no device context for {device_id:#x}")
            if await context.tc.load() & V:
                driver.log("warning", f"{device.name}: device context {device_id:#x} is valid already", iommu)
            await context.tc.store(await self.fresh_tc(iommu))
        await DevIommu(await device.object.iommu.load()).priv.store(info.address)

    async def fresh_tc(self, iommu: IommuDevice) -> Tc:
        """DC.tc of a device that is not attached."""
        return Tc.of(sade=(await capabilities_of(iommu)).amo_hwad)

    async def release_device(self, driver: Skeleton, iommu: IommuDevice, device: Device, old: Domain | None) -> None:
        """Free the driver's data after a grace period that no thread waits for."""
        info = await info_of(device.object)
        await (driver.kernel.rcu.kfree(info) if self.waits_for_readers() else driver.kernel.pages.delete(info))

    @step(answer=False)
    def waits_for_readers(self) -> bool:
        """kfree_rcu of a device's data, rather than kfree."""
        return True

    # --- Domains ---------------------------------------------------------------------------------------------------

    async def paging(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        """Attach to a page table. KernelError ENODEV, ENOMEM, ENOSPC, with nothing changed."""
        made = object_of(domain)
        mode = await self.supported(iommu, made)
        await driver.policies.tables.attaching(driver, iommu, made)
        pscid = await asked_number(driver.policies.pscid.take, driver, iommu, made)
        try:
            bond = await asked(Bond, driver.policies.bonds.new, driver, iommu, device, pscid)
        except KernelError:
            await driver.policies.pscid.drop(driver, iommu, made)
            raise
        fsc = Fsc.of(mode=mode, ppn=await made.root.load() >> PAGE_LG2)
        await self.enter(driver, iommu, device, made, bond, fsc, DcTa.of(pscid=pscid))
        info = await info_of(device.object)
        await self.leave(driver, iommu, device, DomainObject(await info.domain.load()))
        await info.domain.store(made.address)

    async def enter(
        self,
        driver: Skeleton,
        iommu: IommuDevice,
        device: Device,
        domain: DomainObject,
        bond: Bond,
        fsc: Fsc,
        ta: DcTa,
    ) -> None:
        """Bond, barrier, context."""
        await driver.policies.bonds.link(driver, iommu, domain, bond)
        await self.barrier()
        await self.update(driver, iommu, device, fsc, ta, V)

    @step()
    async def barrier(self) -> None:
        """smp_mb between the bond and the context."""
        await smp_mb()

    async def identity(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        """Let the device's requests pass as they are."""
        await self._without_table(driver, iommu, device, V)

    async def block(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        """Let none of the device's requests pass."""
        await self._without_table(driver, iommu, device, 0)

    async def _without_table(self, driver: Skeleton, iommu: IommuDevice, device: Device, valid: int) -> None:
        await self.update(driver, iommu, device, Fsc(0), DcTa(0), valid)
        info = await info_of(device.object)
        await self.leave(driver, iommu, device, DomainObject(await info.domain.load()))
        await info.domain.store(0)

    async def supported(self, iommu: IommuDevice, domain: DomainObject) -> int:
        """The domain's iosatp.MODE. KernelError ENODEV if the IOMMU does not have it."""
        mode = int(await domain.mode.load())
        if not FIRST_STAGE[0][mode].supported(await capabilities_of(iommu)):
            raise KernelError(errno.ENODEV, f"the IOMMU has no {IosatpMode(mode).name}")
        return mode

    # --- Device contexts -------------------------------------------------------------------------------------------

    async def update(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, fsc: Fsc, ta: DcTa, valid: int
    ) -> None:
        """Invalidate what is valid and wait, then write and wait. In between the device's requests fault."""
        waited_for = False
        for context, device_id in await self.contexts(driver, iommu, device):
            tc = await context.tc.load()
            if tc & V:
                await context.tc.store(tc & ~V)
                await self.iodir_of_old(driver, iommu, device_id, context)
                await self.iotinval_of_old(driver, iommu, context)
                waited_for = True
        if waited_for:
            await self.fence_of_old(driver, iommu)
        for context, device_id in await self.contexts(driver, iommu, device):
            tc = await context.tc.load()
            await context.fsc.store(fsc)
            await context.ta.store(ta)
            await self.written()
            await context.tc.store(tc | valid)
            await self.iodir_of_new(driver, iommu, device_id, context)
            await self.iotinval_of_new(driver, iommu, context)
        await self.fence_of_new(driver, iommu)

    @step()
    async def iodir_of_old(
        self, driver: Skeleton, iommu: IommuDevice, device_id: int, context: DeviceContext
    ) -> bool | None:
        """IODIR.INVAL_DDT of a context that has become invalid."""
        await self.flush_context(driver, iommu, device_id, context)
        return None

    async def iotinval_of_old(self, driver: Skeleton, iommu: IommuDevice, context: DeviceContext) -> None:
        """What was cached under a context that has become invalid is left for the flush of its PSCID."""

    @step()
    async def fence_of_old(self, driver: Skeleton, iommu: IommuDevice) -> bool | None:
        """IOFENCE between the contexts that are to be forgotten and the new ones."""
        return await driver.sync(iommu, self.fence_ps)

    @step()
    async def written(self) -> None:
        """dma_wmb between a context and its V."""
        await dma_wmb()

    @step()
    async def iodir_of_new(self, driver: Skeleton, iommu: IommuDevice, device_id: int, context: DeviceContext) -> None:
        """IODIR.INVAL_DDT of a context that was written."""
        await self.flush_context(driver, iommu, device_id, context)

    async def iotinval_of_new(self, driver: Skeleton, iommu: IommuDevice, context: DeviceContext) -> None:
        """Nothing is cached under a context that was not valid before."""

    @step()
    async def fence_of_new(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """IOFENCE behind the new contexts."""
        await driver.sync(iommu, self.fence_ps)

    async def contexts(self, driver: Skeleton, iommu: IommuDevice, device: Device) -> list[tuple[DeviceContext, int]]:
        """The device's contexts, which its probe has made, with the ids that they are for."""
        found = [(await find_context(driver, iommu, device_id), device_id) for device_id in device.ids]
        return [(context, device_id) for context, device_id in found if context is not None]

    async def flush_context(self, driver: Skeleton, iommu: IommuDevice, device_id: int, context: DeviceContext) -> None:
        """Have the IOMMU forget a context."""
        await Work(driver.costs.command)
        await driver.send(iommu, Iodir.inval_ddt(device_id))

    async def leave(self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: DomainObject) -> None:
        """Unlink from the old domain, if any; the last one on this IOMMU flushes the PSCID."""
        if not domain:
            return
        pscid = await asked_number(driver.policies.pscid.on, driver, iommu, domain)
        if await asked(bool, driver.policies.bonds.unlink, driver, iommu, device, domain):
            await self.flush_old(driver, iommu, pscid)
        await driver.policies.pscid.drop(driver, iommu, domain)

    async def flush_old(self, driver: Skeleton, iommu: IommuDevice, pscid: int) -> None:
        """Flush a PSCID that this IOMMU no longer uses."""
        await self.iotinval_of_leave(driver, iommu, pscid)
        await self.fence_of_leave(driver, iommu)

    @step()
    async def iotinval_of_leave(self, driver: Skeleton, iommu: IommuDevice, pscid: int) -> bool | None:
        """IOTINVAL.VMA of a PSCID that was left by its last device on the IOMMU."""
        await Work(driver.costs.command)
        await driver.send(iommu, Iotinval.vma(pscid=pscid))
        return None

    @step()
    async def fence_of_leave(self, driver: Skeleton, iommu: IommuDevice) -> bool | None:
        """IOFENCE behind the flush of a PSCID that was left, before it may be used again."""
        return await driver.sync(iommu, self.fence_ps)


@dataclass(frozen=True)
class FlushesContexts(BondFirst):
    """Linux 7.1 (f5c262b54497): each IODIR.INVAL is followed by an IOTINVAL for what the context says at that moment.

        attach                                  IOMMU
        tc.V = 0                                .
        IODIR.INVAL, IOTINVAL old, IOFENCE      forgets the context, and what it had cached with it
        fsc, ta, dma_wmb, tc.V = 1              a walk finds the new context
        IODIR.INVAL, IOTINVAL new, IOFENCE      forgets what it has just cached, which is harmless

    A context that is Bare names no PSCID: the command then flushes every domain of the IOMMU. SADE stays 0
    (e93e4a6363b8).
    """

    async def fresh_tc(self, iommu: IommuDevice) -> Tc:
        return Tc(0)

    @step()
    async def iotinval_of_old(self, driver: Skeleton, iommu: IommuDevice, context: DeviceContext) -> None:
        """IOTINVAL.VMA of what was cached under a context that has become invalid."""
        await self.flush_cached(driver, iommu, context)

    @step()
    async def iotinval_of_new(self, driver: Skeleton, iommu: IommuDevice, context: DeviceContext) -> None:
        """IOTINVAL.VMA of what is cached under a context that was written."""
        await self.flush_cached(driver, iommu, context)

    async def flush_cached(self, driver: Skeleton, iommu: IommuDevice, context: DeviceContext) -> None:
        """Flush the PSCID that a context names now, or everything."""
        bare = Fsc.mode.get(await context.fsc.load()) == IosatpMode.BARE
        pscid = None if bare else int(DcTa.pscid.get(await context.ta.load()))
        await Work(driver.costs.command)
        await driver.send(iommu, Iotinval.vma(pscid=pscid))
