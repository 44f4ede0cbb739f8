"""An attach that rests on no order that the specification does not promise, and on no fence that has failed.

Between two fences an IOMMU may carry out commands in any order, and so a flush of translations is no use beside the
IODIR.INVAL of the context that they come from:

        attach                                  IOMMU
        tc.V = 0                                .
        IODIR.INVAL                             (later)
        IOTINVAL of the old PSCID               drops what it has
            .                                   a request: the old context, cached; fills under the old PSCID
            .                                   the IODIR.INVAL takes hold
        IOFENCE                                 .

Here the IOTINVAL is sent when a fence has shown that the context is forgotten. A context becomes valid last, and as
what is not valid may not be cached, nothing has to be told of that.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import ClassVar

from cosim.sim.operations import Work
from cosim.spec.pagetable import PAGE_LG2
from cosim.spec.queues import Command, Iodir, Iotinval
from cosim.spec.translation import DcTa, Fsc, Tc
from cosim.sw.contract import asked
from cosim.sw.driver.answers import asked_number
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IN_DOUBT, IommuDevice, info_of
from cosim.sw.driver.device_context import DeviceContext
from cosim.sw.driver.domain import Bond, DomainObject, object_of
from cosim.sw.driver.doubt import doubt
from cosim.sw.driver.policies.attach import BondFirst, V
from cosim.sw.driver.policies.pscid import BondPscids
from cosim.sw.iommu_ops import Device, Domain
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import Ordering
from cosim.sw.steps import step


@dataclass(frozen=True)
class FencedAttach(BondFirst):
    """Bond, barrier, old context and fence, new context; then the PSCID that nobody uses any more, and its fence.

    The PSCID is that of the bond which was made or joined. An attach whose IOMMU may go on with the old context fails:
    the device stays bonded to the old domain, and is refused once its context is forgotten. A PSCID whose flush is not
    fenced stays taken, and the memory of its domain is kept for good when that is freed.
    """

    no_steps: ClassVar = ("iodir_of_new", "fence_of_new")

    async def fresh_tc(self, iommu: IommuDevice) -> Tc:
        return Tc(0)

    async def supported(self, iommu: IommuDevice, domain: DomainObject) -> int:
        """The domain's iosatp.MODE. KernelError EINVAL if the IOMMU does not have it: callers try another."""
        try:
            return await super().supported(iommu, domain)
        except KernelError as error:
            raise KernelError(errno.EINVAL, error.text) from error

    # --- Entering ----------------------------------------------------------------------------------------------------

    async def paging(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        made, numbers = object_of(domain), _numbers(driver)
        mode = await self.supported(iommu, made)
        await driver.policies.tables.attaching(driver, iommu, made)
        taken = await asked_number(numbers.take, driver, iommu, made)
        try:
            bond = await asked(Bond, driver.policies.bonds.new, driver, iommu, device, taken)
        except KernelError:
            await numbers.back(driver, iommu, taken)
            raise
        await driver.policies.bonds.link(driver, iommu, made, bond)
        await self.barrier()
        pscid = await asked_number(numbers.on, driver, iommu, made)
        if pscid != taken:
            await numbers.back(driver, iommu, taken)
        if not await self.forget_contexts(driver, iommu, device):
            await self.leave(driver, iommu, device, made)
            raise KernelError(errno.ETIMEDOUT, f"{device.name}: its IOMMU may not have forgotten the old context")
        fsc = Fsc.of(mode=mode, ppn=await made.root.load() >> PAGE_LG2)
        await self._write(driver, iommu, device, fsc, DcTa.of(pscid=pscid), V, made)

    async def identity(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        if not await self.forget_contexts(driver, iommu, device):
            raise KernelError(errno.ETIMEDOUT, f"{device.name}: its IOMMU may not have forgotten the old context")
        await self._write(driver, iommu, device, Fsc(0), DcTa(0), V, DomainObject(0))

    async def block(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        """Let none of the device's requests pass. After a failed fence the domain stays bonded to where they may."""
        if await self.forget_contexts(driver, iommu, device):
            await self._write(driver, iommu, device, Fsc(0), DcTa(0), 0, DomainObject(0))
            return
        info = await info_of(device.object)
        bonded = DomainObject(await info.domain.load())
        if bonded:
            await doubt(driver, iommu, bonded)
        await info.domain.store(0)

    async def _write(
        self,
        driver: Skeleton,
        iommu: IommuDevice,
        device: Device,
        fsc: Fsc,
        ta: DcTa,
        valid: int,
        domain: DomainObject,
    ) -> None:
        """Write contexts that the IOMMU has forgotten, then leave the domain that they named, if any."""
        for context, _ in await self.contexts(driver, iommu, device):
            tc = await context.tc.load()
            await context.fsc.store(fsc)
            await context.ta.store(ta)
            await self.written()
            await context.tc.store(tc | valid)
        info = await info_of(device.object)
        await self.leave(driver, iommu, device, DomainObject(await info.domain.load()))
        await info.domain.store(domain.address)

    async def forget_contexts(self, driver: Skeleton, iommu: IommuDevice, device: Device) -> bool:
        """Make valid contexts invalid, and see that the IOMMU has forgotten them. From here on requests may fault.

        Of an IOMMU in doubt nobody knows what it has forgotten: it is told again.
        """
        told, sent = False, True
        doubted = await iommu.state.load() & IN_DOUBT
        for context, device_id in await self.contexts(driver, iommu, device):
            tc = await context.tc.load()
            if tc & V:
                await context.tc.store(tc & ~V)
            if tc & V or doubted:
                sent &= await self.iodir_of_old(driver, iommu, device_id, context)
                told = True
        if not told or (await self.fence_of_old(driver, iommu) and sent):
            return True
        await iommu.state.fetch_or(IN_DOUBT, Ordering.RELAXED)
        return False

    @step(answer=True)
    async def iodir_of_old(self, driver: Skeleton, iommu: IommuDevice, device_id: int, context: DeviceContext) -> bool:
        """IODIR.INVAL_DDT of a context that has become invalid."""
        return await self.command(driver, iommu, Iodir.inval_ddt(device_id))

    @step(answer=True)
    async def fence_of_old(self, driver: Skeleton, iommu: IommuDevice) -> bool:
        """IOFENCE between the contexts that are to be forgotten and whatever rests on that."""
        return await driver.sync(iommu, self.fence_ps)

    # --- Leaving -----------------------------------------------------------------------------------------------------

    async def leave(self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: DomainObject) -> None:
        """Leave a domain, if any: the last device behind this IOMMU sees to the PSCID that nobody can enter now."""
        if not domain:
            return
        numbers = _numbers(driver)
        pscid = await asked_number(numbers.on, driver, iommu, domain)
        if not await asked(bool, driver.policies.bonds.unlink, driver, iommu, device, domain):
            return
        if await self.forget_pscid(driver, iommu, pscid):
            await numbers.back(driver, iommu, pscid)
        else:
            await doubt(driver, iommu, domain)

    async def forget_pscid(self, driver: Skeleton, iommu: IommuDevice, pscid: int) -> bool:
        """Have the IOMMU forget what it has cached under a PSCID; whether it has."""
        sent = await self.iotinval_of_leave(driver, iommu, pscid)
        return await self.fence_of_leave(driver, iommu) and sent

    @step(answer=True)
    async def iotinval_of_leave(self, driver: Skeleton, iommu: IommuDevice, pscid: int) -> bool:
        """IOTINVAL.VMA of a PSCID that nobody can enter any more."""
        return await self.command(driver, iommu, Iotinval.vma(pscid=pscid))

    @step(answer=True)
    async def fence_of_leave(self, driver: Skeleton, iommu: IommuDevice) -> bool:
        """IOFENCE behind the flush of a PSCID, before the number is given back."""
        return await driver.sync(iommu, self.fence_ps)

    async def command(self, driver: Skeleton, iommu: IommuDevice, command: Command) -> bool:
        """Send a command; whether it was queued."""
        await Work(driver.costs.command)
        return await asked(int, driver.policies.queue.send, driver, iommu, command) >= 0


def _numbers(driver: Skeleton) -> BondPscids:
    numbers = driver.policies.pscid
    assert isinstance(numbers, BondPscids), "the table says that one needs the other"
    return numbers
