"""The attach that was reviewed: v2 7/7, "Paging domain support" (18 Apr 2024).

Mirrors riscv_iommu_attach_domain and its three callers. Beside an unmap of the domain that is attached:

        attach                                  unmap
        fsc, ta, tc of a live context               .
        IODIR.INVAL, IOTINVAL, IOFENCE              .
            (the device works, H caches x)      clear the PTE of x
            .                                   read the bonds: none
            .                                   return; x's page is used for something else
        link the bond                               .
        unlink the old bond                         .

No flush takes x from H. With the bond linked first, the unmap finds H, given the barriers that `invalidate` draws.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import ClassVar

from cosim.spec.pagetable import PAGE_LG2
from cosim.spec.queues import Iodir, Iotinval
from cosim.spec.registers import IommuMode
from cosim.spec.translation import DcTa, Fsc, IosatpMode, Tc
from cosim.sw.contract import asked
from cosim.sw.driver.answers import asked_number
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.device_directory import find_context
from cosim.sw.driver.domain import Bond, DomainObject, object_of
from cosim.sw.driver.policies.attach import BondFirst
from cosim.sw.iommu_ops import Device, Domain, DomainKind
from cosim.sw.kernel.errors import KernelError
from cosim.sw.steps import steps


@dataclass(frozen=True)
class ReviewedAttach(BondFirst):
    """Live update, then the bond; flushes the new PSCID instead of the old one; no domain that blocks.

    Defects C1, C3, C4, C7 and remarks B5, B6 are all of this function.
    """

    has_blocked: ClassVar[bool] = False
    no_steps: ClassVar = frozenset(one.method for one in steps(BondFirst()).values())

    async def probe_device(self, driver: Skeleton, iommu: IommuDevice, device: Device) -> None:
        """Contexts are made by the first attach."""

    async def release_device(self, driver: Skeleton, iommu: IommuDevice, device: Device, old: Domain | None) -> None:
        """An invalid context, which the IOMMU is not told of (C1)."""
        await self.change(driver, iommu, device, None, Fsc(0), DcTa(0), Tc(0), old)

    async def paging(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        made = object_of(domain)
        mode = await self.supported(iommu, made)
        await driver.policies.tables.attaching(driver, iommu, made)
        fsc = Fsc.of(mode=mode, ppn=await made.root.load() >> PAGE_LG2)
        ta = DcTa.of(pscid=await asked_number(driver.policies.pscid.take, driver, iommu, made))
        tc = Tc.of(v=1, sade=await made.dirty_by_hardware.load())
        await self.change(driver, iommu, device, made, fsc, ta, tc, old)

    async def identity(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        if IommuMode(await iommu.mode.load()) is not IommuMode.BARE:
            await self.change(driver, iommu, device, None, Fsc(0), DcTa(0), Tc.of(v=1), old)

    async def change(
        self,
        driver: Skeleton,
        iommu: IommuDevice,
        device: Device,
        domain: DomainObject | None,
        fsc: Fsc,
        ta: DcTa,
        tc: Tc,
        old: Domain | None,
    ) -> None:
        """Switch id by id. KernelError ENODEV half way leaves earlier ids switched, and the bond on no list (C7)."""
        bond = None
        if domain is not None:
            bond = await asked(Bond, driver.policies.bonds.new, driver, iommu, device, ta.pscid)
        for device_id in device.ids:
            context = await find_context(driver, iommu, device_id)
            if context is None:
                raise KernelError(errno.ENODEV, f"{device.name}: no device context for {device_id:#x}")
            await context.fsc.xchg(fsc)
            await context.ta.xchg(ta)
            await context.tc.xchg(tc)
            if not tc.v:
                continue
            await driver.send(iommu, Iodir.inval_ddt(device_id))
            if fsc.mode != IosatpMode.BARE:
                await driver.send(iommu, Iotinval.vma(pscid=ta.pscid))
        await driver.sync(iommu, self.fence_ps)
        if domain is not None and bond is not None:
            await driver.policies.bonds.link(driver, iommu, domain, bond)
        if old is not None and old.kind is DomainKind.PAGING:
            await asked(bool, driver.policies.bonds.unlink, driver, iommu, device, object_of(old))
            await driver.policies.pscid.drop(driver, iommu, object_of(old))
