"""Attaches with one thing wrong: each is `attach.BondFirst` but for one step, so that a defect can be seen alone."""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import ClassVar

from cosim.spec.translation import DcTa, Fsc
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import DeviceInfo, IommuDevice, info_of
from cosim.sw.driver.device_directory import find_context
from cosim.sw.driver.domain import Bond, DomainObject
from cosim.sw.driver.policies.attach import BondFirst, V
from cosim.sw.iommu_ops import Device, DevIommu
from cosim.sw.kernel.errors import KernelError


@dataclass(frozen=True)
class NoAttachBarrier(BondFirst):
    """`BondFirst` without the barrier between bond and context.

        attach                                  IOMMU
        link the bond                           .
        fsc, ta                                 .
        dma_wmb                                 .
        tc.V = 1                                a walk that finds V comes after the link

    What follows the bond are stores, and dma_wmb (fence ow,ow) orders these too: on RISC-V it does the barrier's work.
    """

    async def barrier(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class NoContextDmaWmb(BondFirst):
    """`BondFirst` without the barrier between a context and its V.

    attach                                  IOMMU
    tc.V = 1                                .
        .                                   a walk finds V with the fsc and ta that were there before
    fsc, ta                                 .
    """

    async def written(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class NoAttachBarriers(NoAttachBarrier, NoContextDmaWmb):
    """`BondFirst` without either: the other half of what is left of remark B6.

    attach                                  unmap
    link the bond, in the store buffer      .
    device context; H walks and caches x    .
        .                                   clear the PTE of x, smp_mb, read the bonds: not H
    the store buffer drains                 .
    """


@dataclass(frozen=True)
class ContextFirst(BondFirst):
    """`BondFirst` with the bond after the context (remark B6 alone).

    attach                                  unmap
    device context, IODIR.INVAL, IOFENCE    .
        (the device works, H caches x)      clear the PTE of x, smp_mb, read the bonds: not H
    link the bond                           .
    """

    no_steps: ClassVar = ("barrier",)

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
        await self.update(driver, iommu, device, fsc, ta, V)
        await driver.policies.bonds.link(driver, iommu, domain, bond)


@dataclass(frozen=True)
class LiveUpdate(BondFirst):
    """`BondFirst`, but a valid context is rewritten in place, doubleword by doubleword (defect C4 alone).

    attach                                  IOMMU
    fsc = new table                             .
        .                                   a walk finds the new table under the old PSCID
    ta = new PSCID                              .
    """

    no_steps: ClassVar = ("iodir_of_old", "fence_of_old", "written", "iodir_of_new", "fence_of_new")

    async def update(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, fsc: Fsc, ta: DcTa, valid: int
    ) -> None:
        for context, device_id in await self.contexts(driver, iommu, device):
            tc = await context.tc.load()
            await context.fsc.xchg(fsc)
            await context.ta.xchg(ta)
            await context.tc.xchg(tc & ~V | valid)
            await self.flush_context(driver, iommu, device_id, context)
        await driver.sync(iommu, self.fence_ps)


@dataclass(frozen=True)
class KeepsInvalidated(BondFirst):
    """`BondFirst`, but a context that becomes invalid is not flushed: the test is of the new V (C1 alone).

    release                                 IOMMU
    tc.V = 0, IOFENCE                       keeps the old context
    free the domain's tables                walks them for the device
    """

    async def update(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, fsc: Fsc, ta: DcTa, valid: int
    ) -> None:
        if valid:
            await super().update(driver, iommu, device, fsc, ta, valid)
            return
        for context, _ in await self.contexts(driver, iommu, device):
            await context.tc.store(await context.tc.load() & ~V)
            await context.fsc.store(fsc)
            await context.ta.store(ta)
        await driver.sync(iommu, self.fence_ps)


@dataclass(frozen=True)
class HalfWay(BondFirst):
    """`BondFirst`, but contexts are made by the first attach, id by id, which may fail half way (defect C7 alone).

    attach, of a device with two ids                        IOMMU
    link the bond
    context of the first id: valid                          answers requests that carry it
    no memory for the context of the second: unlink the bond
    return -ENODEV                                          goes on, and no unmap flushes it
    """

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
        try:
            await super().enter(driver, iommu, device, domain, bond, fsc, ta)
        except KernelError:
            await self.leave(driver, iommu, device, domain)
            raise

    async def probe_device(self, driver: Skeleton, iommu: IommuDevice, device: Device) -> None:
        info = await driver.kernel.pages.new(DeviceInfo)
        await DevIommu(await device.object.iommu.load()).priv.store(info.address)

    async def update(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, fsc: Fsc, ta: DcTa, valid: int
    ) -> None:
        for device_id in device.ids:
            context = await find_context(driver, iommu, device_id)
            if context is None:
                raise KernelError(errno.ENODEV, f"{device.name}: no device context for {device_id:#x}")
            await context.tc.store(await context.tc.load() | await self.fresh_tc(iommu))
            await super().update(driver, iommu, replace(device, ids=(device_id,)), fsc, ta, valid)


@dataclass(frozen=True)
class KeepsDomain(BondFirst):
    """`BondFirst`, but a device that leaves for no table is still noted in its old domain (a report of April 2025).

    identity, or blocked                    core
    context without a table; unlink         .
        .                                   free the domain
    next attach: unlink from a freed domain .
    """

    async def _without_table(self, driver: Skeleton, iommu: IommuDevice, device: Device, valid: int) -> None:
        info = await info_of(device.object)
        noted = await info.domain.load()
        await super()._without_table(driver, iommu, device, valid)
        await info.domain.store(noted)


@dataclass(frozen=True)
class NoOldFlush(BondFirst):
    """`BondFirst`, but the old PSCID is not flushed by its last device (defect C3 alone).

    core                                    IOMMU
    move the device from X to Y             keeps X's translations under PSCID p
    free X, and p; a new domain Z takes p   .
    attach a device to Z                    answers it with X's translations
    """

    no_steps: ClassVar = ("iotinval_of_leave", "fence_of_leave")

    async def flush_old(self, driver: Skeleton, iommu: IommuDevice, pscid: int) -> None:
        """Nothing."""
