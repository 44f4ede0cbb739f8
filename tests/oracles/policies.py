"""Policies that are right in their own way, and some with a slip, for oracles to judge."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from cosim.sim.operations import Store
from cosim.spec.page import PAGE_LG2
from cosim.spec.queues import FaultRecord, Iotinval
from cosim.spec.register_map import CQT, FQCSR, FQH, IPSR
from cosim.spec.registers import Fqcsr, Interrupt
from cosim.spec.translation import DcTa, Fsc, IosatpMode, Tc
from cosim.sw.driver import pagetable
from cosim.sw.driver.device import info_of
from cosim.sw.driver.domain import DomainObject, object_of
from cosim.sw.driver.policies.attach import BondFirst, V
from cosim.sw.driver.policies.interrupts import PrintsAndClears
from cosim.sw.driver.policies.invalidate_ranges import Ranges
from cosim.sw.driver.policies.pscid import Shared
from cosim.sw.driver.policies.queue import ENTRY, FENCE
from cosim.sw.driver.policies.queue_locked import LockedQueue
from cosim.sw.driver.policies.tables_generic import Generic
from cosim.sw.driver.queue_setup import CSR_BUSY_PS
from cosim.sw.iommu_ops import Gather, MapResult
from cosim.sw.kernel.barriers import dma_wmb


@dataclass(frozen=True)
class OfAllPscids(Ranges):
    """Right: pages are named for all PSCIDs at once."""

    def needed(self, capabilities: Any, pscid: Any, gather: Any) -> Iterator[Iotinval]:
        for command in super().needed(capabilities, pscid, gather):
            yield command.replace(pscv=0)


@dataclass(frozen=True)
class LeavesByRange(BondFirst):
    """Right, with S and NL: the PSCID that is left is flushed by a range that is all addresses."""

    async def iotinval_of_leave(self, driver: Any, iommu: Any, pscid: Any) -> None:
        await driver.send(iommu, Iotinval.vma(pscid=pscid, addr=0, pages_lg2=52, nl=1))


@dataclass(frozen=True)
class AnyMode(BondFirst):
    """Wrong: nobody asks whether the IOMMU has the domain's mode."""

    async def supported(self, iommu: Any, domain: Any) -> int:
        return int(await domain.mode.load())


@dataclass(frozen=True)
class OneStoreToBare(BondFirst):
    """Right: a table is left for identity by one store to fsc, and all flushes behind that."""

    async def identity(self, driver: Any, iommu: Any, device: Any, domain: Any, old: Any) -> None:
        for context, device_id in await self.contexts(driver, iommu, device):
            if not (await context.tc.load() & V and await context.fsc.load()):
                await super().identity(driver, iommu, device, domain, old)
                return
            await context.fsc.store(Fsc(0))
            await dma_wmb()
            await self.flush_context(driver, iommu, device_id, context)
        await driver.sync(iommu, self.fence_ps)
        info = await info_of(device.object)
        await self.leave(driver, iommu, device, DomainObject(await info.domain.load()))
        await info.domain.store(0)


@dataclass(frozen=True)
class ReleasesValid(BondFirst):
    """Wrong: a device that is released leaves its domain, and its context stays valid."""

    has_blocked: ClassVar[bool] = False

    async def release_device(self, driver: Any, iommu: Any, device: Any, old: Any) -> None:
        info = await info_of(device.object)
        await self.leave(driver, iommu, device, DomainObject(await info.domain.load()))
        await super().release_device(driver, iommu, device, old)


@dataclass(frozen=True)
class Writes(BondFirst):
    """What `words` makes of a context of a paging domain is written."""

    def words(self, fsc: Any, ta: Any, valid: int) -> tuple[Any, Any, int]:
        return fsc, ta, valid

    async def update(self, driver: Any, iommu: Any, device: Any, fsc: Any, ta: Any, valid: int) -> None:
        if fsc:
            fsc, ta, valid = self.words(fsc, ta, valid)
        await super().update(driver, iommu, device, fsc, ta, valid)


@dataclass(frozen=True)
class NeverValid(Writes):
    """Wrong: V is forgotten."""

    def words(self, fsc: Any, ta: Any, valid: int) -> tuple[Any, Any, int]:
        return fsc, ta, 0


@dataclass(frozen=True)
class PagingBare(Writes):
    """Wrong: the table is forgotten."""

    def words(self, fsc: Any, ta: Any, valid: int) -> tuple[Any, Any, int]:
        return Fsc(0), ta, valid


@dataclass(frozen=True)
class WrongMode(Writes):
    """Wrong: a table of five levels is walked as one of three."""

    def words(self, fsc: Any, ta: Any, valid: int) -> tuple[Any, Any, int]:
        return fsc.replace(mode=IosatpMode.SV39), ta, valid


@dataclass(frozen=True)
class PpnUnshifted(Writes):
    """Wrong: the page number of the root is the one behind it."""

    def words(self, fsc: Any, ta: Any, valid: int) -> tuple[Any, Any, int]:
        return fsc.replace(ppn=fsc.ppn + 1), ta, valid


@dataclass(frozen=True)
class ReservedTc(BondFirst):
    """Wrong: a bit of tc is set that is reserved."""

    async def fresh_tc(self, iommu: Any) -> Tc:
        return Tc(1 << 40)


@dataclass(frozen=True)
class FirstIdOnly(BondFirst):
    """Wrong: of a device with several ids one context is written."""

    async def contexts(self, driver: Any, iommu: Any, device: Any) -> list[tuple[Any, int]]:
        return (await super().contexts(driver, iommu, device))[:1]


@dataclass(frozen=True)
class IdentityBlocks(BondFirst):
    """Wrong: in the identity domain the context is not valid."""

    async def identity(self, driver: Any, iommu: Any, device: Any, domain: Any, old: Any) -> None:
        await self._without_table(driver, iommu, device, 0)


@dataclass(frozen=True)
class BlocksByFscOnly(BondFirst):
    """Wrong: a device that is blocked has a valid context without a table."""

    async def block(self, driver: Any, iommu: Any, device: Any, domain: Any, old: Any) -> None:
        await self._without_table(driver, iommu, device, V)


@dataclass(frozen=True)
class BlocksByEmptyTable(BondFirst):
    """Right: a device that is blocked has a table in which nothing is mapped, until it is released."""

    async def block(self, driver: Any, iommu: Any, device: Any, domain: Any, old: Any) -> None:
        empty = await driver.keep_page(iommu, purpose="table")
        fsc = Fsc.of(mode=IosatpMode.SV39, ppn=empty >> PAGE_LG2)
        await self.update(driver, iommu, device, fsc, DcTa.of(pscid=1 << 18), V)
        info = await info_of(device.object)
        await self.leave(driver, iommu, device, DomainObject(await info.domain.load()))
        await info.domain.store(0)

    async def release_device(self, driver: Any, iommu: Any, device: Any, old: Any) -> None:
        await self._without_table(driver, iommu, device, 0)
        await super().release_device(driver, iommu, device, old)


@dataclass(frozen=True)
class BlocksOnRelease(BondFirst):
    """Right, without a domain that blocks: the release does all of it."""

    has_blocked: ClassVar[bool] = False

    async def release_device(self, driver: Any, iommu: Any, device: Any, old: Any) -> None:
        await self._without_table(driver, iommu, device, 0)
        await super().release_device(driver, iommu, device, old)


@dataclass(frozen=True)
class OneNumber(Shared):
    """Wrong: every domain has the same PSCID."""

    async def born(self, driver: Any, domain: Any) -> None:
        await domain.pscid.store(7)

    async def died(self, driver: Any, domain: Any) -> None:
        await driver.policies.tables.free(driver, domain)


@dataclass(frozen=True)
class ReadsNothing(PrintsAndClears):
    """Wrong: records of faults are passed, and nobody looks at them."""

    async def report(self, driver: Any, iommu: Any, address: Any) -> None:
        return


@dataclass(frozen=True)
class ReadsLate(PrintsAndClears):
    """Wrong: of each record the one before it is read as well, which the IOMMU has back."""

    async def report(self, driver: Any, iommu: Any, address: Any) -> None:
        if address > await iommu.faults.base.load():
            await super().report(driver, iommu, address - FaultRecord.SIZE)
        await super().report(driver, iommu, address)


@dataclass(frozen=True)
class TurnsOff(PrintsAndClears):
    """Wrong: the fault queue is off once it was served."""

    async def fltq_process(self, driver: Any, iommu: Any) -> None:
        await super().fltq_process(driver, iommu)
        await iommu.write(FQCSR, 0)


@dataclass(frozen=True)
class TurnsOffAndOn(TurnsOff):
    """Right, where no fault comes meanwhile: the queue is reset whenever it was served."""

    async def fltq_process(self, driver: Any, iommu: Any) -> None:
        await super().fltq_process(driver, iommu)
        busy = Fqcsr.busy.mask
        await (await iommu.polling(FQCSR, busy, busy, CSR_BUSY_PS, sleep=True))
        await iommu.faults.head.store(0)
        await iommu.faults.tail.store(0)
        await iommu.write(FQH, 0)
        await iommu.write(FQCSR, Fqcsr.of(fqen=1, fie=1))


@dataclass(frozen=True)
class NeverAcknowledges(PrintsAndClears):
    """Wrong: the bit of the fault queue's interrupt stays set."""

    async def fltq_process(self, driver: Any, iommu: Any) -> None:
        entries = await iommu.faults.entries.load()
        _, count = await self.produced(iommu, entries)
        head = await iommu.faults.head.fetch_add(count) + count
        await iommu.write(FQH, head % entries)


@dataclass(frozen=True)
class AcknowledgesLast(NeverAcknowledges):
    """Wrong in another way, since a record may come before: the bit is cleared at the end."""

    async def fltq_process(self, driver: Any, iommu: Any) -> None:
        await super().fltq_process(driver, iommu)
        await iommu.write(IPSR, Interrupt.FQ.pending)


@dataclass(frozen=True)
class PutsOver(LockedQueue):
    """Wrong: a fence is put over each command, once that is in its slot."""

    def slot(self, number: int, entries: int) -> int:
        """Where a command goes at first."""
        return number

    async def publish(self, driver: Any, iommu: Any, ticket: Any, command: Any) -> str:
        queue = iommu.commands
        base, entries = int(await queue.base.load()), int(await queue.entries.load())
        number = int(ticket) % entries
        await driver.publishing(iommu, number, command)
        for slot, put in ((self.slot(number, entries), command), (number, FENCE)):
            for offset, word in enumerate(put.words()):
                await Store(base + ENTRY * slot + 8 * offset, word)
            await self.filled()
        await iommu.write(CQT, (number + 1) % entries)
        await self.published()
        await queue.tail.store(ticket + 1)
        await queue.prod.store(ticket + 1)
        return ""


@dataclass(frozen=True)
class PutsElsewhere(PutsOver):
    """Wrong: commands go to the other end of the ring, and fences where they are to be."""

    def slot(self, number: int, entries: int) -> int:
        return entries - 1 - number


@dataclass(frozen=True)
class FreesBeforeFlush(Generic):
    """Wrong: tables that an unmap leaves empty are freed before the flush."""

    async def unmap_pages(self, driver: Any, domain: Any, iova: int, size: int, gather: Any) -> int:
        done = await super().unmap_pages(driver, domain, iova, size, gather)
        while gather.freelist:
            await driver.kernel.pages.free(gather.freelist.pop(0))
        return done


@dataclass(frozen=True)
class TakesBack(Generic):
    """Right: a map that fails clears its own leaves again, flushes them, and says that it has mapped nothing."""

    flushes: ClassVar[bool] = True

    async def map_pages(
        self, driver: Any, domain: Any, iova: int, paddr: int, page_size: int, count: int, prot: Any
    ) -> MapResult:
        result = await super().map_pages(driver, domain, iova, paddr, page_size, count, prot)
        if not result.failed or not result.mapped:
            return result
        gather = Gather()
        await self.unmap_pages(driver, domain, iova, result.mapped, gather)
        if self.flushes:
            await driver.iotlb_sync(domain, gather)
        return MapResult(0, result.failed)


@dataclass(frozen=True)
class TakesBackUnflushed(TakesBack):
    """Wrong: it does not flush them."""

    flushes: ClassVar[bool] = False


@dataclass(frozen=True)
class Silent(Generic):
    """Right: leaves are cleared one after the other, and nobody is told of it."""

    async def unmap_pages(self, driver: Any, domain: Any, iova: Any, size: Any, gather: Any) -> int:
        made, done = object_of(domain), 0
        scheme = await pagetable.scheme_of(made)
        while done < size:
            leaf = await pagetable.find_leaf(made, scheme, iova + done)
            if leaf is None or not leaf.pte & V:
                break
            await self.clear(leaf.entry, scheme, await made.root.load(), iova + done)
            gather.add(iova + done, leaf.size)
            done += leaf.size
        return done

    async def clear(self, entry: Any, scheme: Any, root: Any, iova: Any) -> None:
        """Clear a leaf."""
        await entry.store(0)


@dataclass(frozen=True)
class TakesTheTableOff(Silent):
    """Right where a table has one leaf, but for the table, which is lost."""

    async def clear(self, entry: Any, scheme: Any, root: Any, iova: Any) -> None:
        """Take all off that is below the root."""
        await pagetable.cell_at(root, scheme, scheme.levels - 1, iova).store(0)
