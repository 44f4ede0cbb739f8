"""What is done when a queue interrupts: the hard handler, and the threads of command queue and fault queue.

Mirrors riscv_iommu_queue_ipsr, riscv_iommu_cmdq_process and riscv_iommu_fltq_process. The fault queue's thread clears
its interrupt before it looks for records:

        thread                                  IOMMU
        ipsr.fip = 0                            .
        read fqt, serve the records             .
            .                                   another record, fqt + 1, ipsr.fip = 1: the thread will run again
        fqh = what fqt was                      .

Cleared behind the last look at `fqt` instead, the bit of that other record would be lost with it. The records are read
with no barrier behind `fqt`, and no variant tells a domain or a device of its faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cosim.sim.operations import Load, Now, Store
from cosim.spec.queues import Command, FaultRecord, Iofence
from cosim.spec.register_map import CQCSR, CQH, FQCSR, FQH, FQT, IPSR
from cosim.spec.registers import Cqcsr, Fqcsr, Interrupt
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.kernel.barriers import dma_wmb
from cosim.sw.kernel.irq import IrqReturn
from cosim.units.quantities import MS, S

INDEX_PS = 150 * MS
"""How long an index register may show what is no index."""

COMPLAINTS, COMPLAINTS_PS = 10, 5 * S
"""Faults that are printed, and in which time: Linux's rate limit."""

COUNTS = 1 << 64
"""What `head` and `tail` are counted modulo: a head that was moved back from 0 is behind its tail all the same."""


@dataclass(frozen=True)
class PrintsAndClears:
    """Linux 6.13 (b6e2174ef49b): faults and errors are printed, and errors cleared; nothing is repaired."""

    unreadable: ClassVar[int] = 0
    """How many records are served when `fqt` cannot be read."""

    async def pending(self, iommu: IommuDevice, interrupt: Interrupt) -> IrqReturn:
        """Look whether the bit of `interrupt` is set in `ipsr`."""
        pending = await iommu.read(IPSR, part="irq")
        return IrqReturn.WAKE_THREAD if pending & interrupt.pending else IrqReturn.NONE

    async def cmdq_process(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """Report an error and clear it: the queue goes on where it stopped, also if that is an illegal command."""
        csr = Cqcsr(await iommu.read(CQCSR))
        if csr.cqmf or csr.cmd_to or csr.cmd_ill or csr.fence_w_ip:
            await self.repair(iommu, csr)
            await iommu.write(CQCSR, csr)
            driver.log(
                "warning",
                f"command queue error: memory fault {csr.cqmf}, time-out {csr.cmd_to}, illegal {csr.cmd_ill}, "
                f"fence interrupt {csr.fence_w_ip}",
                iommu,
            )
        await iommu.write(IPSR, Interrupt.CQ.pending)

    async def repair(self, iommu: IommuDevice, csr: Cqcsr) -> None:
        """Nothing, before the error is cleared."""

    async def fltq_process(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """Print what devices did wrong, and no more; records that are not served in time overflow."""
        queue = iommu.faults
        await iommu.write(IPSR, Interrupt.FQ.pending)
        entries = await queue.entries.load()
        while True:
            first, count = await self.produced(iommu, entries)
            for number in range(first, first + count):
                await self.report(driver, iommu, await queue.base.load() + FaultRecord.SIZE * (number % entries))
            head = await queue.head.fetch_add(count) + count
            await iommu.write(FQH, head % entries)
            if count <= 0:
                break
        csr = Fqcsr(await iommu.read(FQCSR))
        if csr.fqmf or csr.fqof:
            await iommu.write(FQCSR, csr)
            driver.log("warning", f"fault queue error: memory fault {csr.fqmf}, overflow {csr.fqof}", iommu)

    async def produced(self, iommu: IommuDevice, entries: int) -> tuple[int, int]:
        """The first record that is not served yet, and how many there are; `fqt` is read only if none is known of."""
        queue = iommu.faults
        head, tail = await queue.head.load(), await queue.tail.load()
        if tail != head:
            return head, (tail - head) % COUNTS
        deadline = (await Now()).time + INDEX_PS
        index = await iommu.read(FQT)
        while index >= entries:
            left = deadline - (await Now()).time
            if left <= 0:
                return head, self.unreadable
            index = await (await iommu.polling(FQT, -1, index, left))
        produced = (index - tail) % entries
        if not produced:
            return head, 0
        return head, await queue.tail.fetch_add(produced) + produced - head

    async def report(self, driver: Skeleton, iommu: IommuDevice, address: int) -> None:
        """Print the record at `address`, unless too many were printed of late."""
        record = FaultRecord([await Load(address + 8 * n) for n in range(FaultRecord.DWORDS)])
        now = (await Now()).time
        if now - await iommu.complained_since.load() >= COMPLAINTS_PS or not await iommu.complained_since.load():
            await iommu.complained_since.store(now)
            await iommu.complained.store(0)
        printed = await iommu.complained.load()
        await iommu.complained.store(printed + 1)
        if printed < COMPLAINTS:
            driver.log(
                "warning",
                f"fault {record.cause} device {record.did:#x} iotval {record.iotval:#x} iotval2 {record.iotval2:#x}",
                iommu,
            )


@dataclass(frozen=True)
class Repairs(PrintsAndClears):
    """`PrintsAndClears`, which puts an IOFENCE in the place of an illegal command (proposed in June 2026).

    thread                                  IOMMU
    .                                       the command at cqh is illegal: stops
    slot cqh = IOFENCE                      .
    dma_wmb                                 .
    cqcsr.cmd_ill = 0                       fetches the slot again, and goes on

    What the command was to do is not done, and whoever sent it is not told.
    """

    async def repair(self, iommu: IommuDevice, csr: Cqcsr) -> None:
        if csr.cmd_ill:
            queue = iommu.commands
            slot = await queue.base.load() + Command.SIZE * (await iommu.read(CQH) % await queue.entries.load())
            for offset, word in enumerate(Iofence.c().words()):
                await Store(slot + 8 * offset, word)
            await dma_wmb()


@dataclass(frozen=True)
class ReviewedInterrupts(PrintsAndClears):
    """v2 5/7 (18 Apr 2024): the error of a fault queue whose tail cannot be read, -16, is taken for a number of records
    (defect C12)."""

    unreadable: ClassVar[int] = -16
