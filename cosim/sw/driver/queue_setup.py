"""The in-memory queues (3 "In-memory queue interface"): allocated, switched on and off, and served."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosim.sim.operations import Load, Now
from cosim.spec.pagetable import PAGE
from cosim.spec.queues import FaultRecord
from cosim.spec.register_map import CQB, CQCSR, CQT, FQB, FQCSR, FQH, FQT, IPSR, Register
from cosim.spec.registers import Cqcsr, Fqcsr, Interrupt, QueueBase, QueueCsr, QueueIndex
from cosim.sw.driver.device import IommuDevice, Queue
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.irq import IrqReturn
from cosim.units.quantities import MS, S

if TYPE_CHECKING:
    from cosim.sw.driver.driver import Driver

CSR_BUSY_PS = 150 * MS
"""How long a queue may take to switch on or off."""
INDEX_PS = 150 * MS
"""How long an index register may show what is no index."""
LARGEST = QueueBase.of(log2szm1=QueueBase.log2szm1.ones)


@dataclass(frozen=True, slots=True)
class QueueForm:
    """What tells the command queue from the fault queue."""

    name: str
    base: Register[QueueBase]
    index: Register[QueueIndex]
    """The end that software moves."""
    csr: Register[QueueCsr] | Register[Cqcsr] | Register[Fqcsr]
    interrupt: Interrupt
    entry: int
    """Bytes of an entry."""
    entries: int
    """How many the driver asks for."""
    of: Callable[[IommuDevice], Queue]
    serve: Callable[[Driver, IommuDevice], Awaitable[None]]
    """The interrupt's thread."""


async def alloc(driver: Driver, iommu: IommuDevice, form: QueueForm) -> None:
    """Find out how long the queue may be, give it memory where it has none of its own. KernelError ENOMEM, ENODEV."""
    queue = form.of(iommu)
    await iommu.write(form.base, LARGEST)
    offered = QueueBase(await iommu.read(form.base))
    entries = min(form.entries, offered.entries)
    address, entries = (offered.address, entries) if offered.ppn else await _ring(driver, iommu, form, entries)
    base = QueueBase.placed(address, entries, form.entry)
    await iommu.write(form.base, base)
    if await iommu.read(form.base) != base:
        raise KernelError(errno.ENODEV, f"the {form.name} queue is not taken")
    await queue.base.store(address)
    await queue.entries.store(entries)


async def _ring(driver: Driver, iommu: IommuDevice, form: QueueForm, entries: int) -> tuple[int, int]:
    """Pages in one piece, for half as many entries and half again until there are. KernelError ENOMEM."""
    while True:
        order = ((entries * form.entry - 1) // PAGE).bit_length()
        try:
            return await driver.keep_page(iommu, order, purpose="ring"), entries
        except KernelError:
            if not order:
                raise
            entries //= 2


async def enable(driver: Driver, iommu: IommuDevice, form: QueueForm) -> None:
    """Connect the interrupt, then switch the queue on. KernelError EBUSY if it does not come on."""
    hardware, queue = driver.hardware(iommu), form.of(iommu)
    await queue.iommu.store(iommu.address)
    vector = hardware.vectors[form.interrupt.vector(await iommu.icvec.load())]
    action = await driver.kernel.irq.request(
        hardware.cpu,
        vector,
        f"{hardware.name}-{form.name}",
        lambda: _pending(iommu, form),
        lambda: _serve(driver, iommu, form),
    )
    await driver.bringup.reset_index(iommu, form.index)
    await iommu.write(form.csr, QueueCsr.of(en=1, ie=1, mf=1))
    csr = await _settled(driver, iommu, form)
    if csr.busy or not csr.on or csr.mf:
        await iommu.write(form.csr, 0)
        await driver.kernel.irq.free(action)
        raise KernelError(errno.EBUSY, f"the {form.name} queue does not come on")
    driver.connected(iommu, form, action)
    await iommu.write(IPSR, form.interrupt.pending)


async def disable(driver: Driver, iommu: IommuDevice, form: QueueForm) -> None:
    """Disconnect the interrupt, then switch the queue off. Whoever sends a command from now on oopses."""
    await driver.kernel.irq.free(driver.disconnected(iommu, form))
    await iommu.write(form.csr, 0)
    if (await _settled(driver, iommu, form)).on:
        driver.log("error", f"the {form.name} queue does not go off", iommu)
    await form.of(iommu).iommu.store(0)


async def _settled(driver: Driver, iommu: IommuDevice, form: QueueForm) -> QueueCsr:
    busy = QueueCsr.busy.mask
    return QueueCsr(
        await (await iommu.polling(form.csr, busy, busy, CSR_BUSY_PS, pause_ps=driver.costs.csr_poll, sleep=True))
    )


async def _pending(iommu: IommuDevice, form: QueueForm) -> IrqReturn:
    """The hard handler: is it this queue's interrupt?"""
    pending = await iommu.read(IPSR, part="irq")
    return IrqReturn.WAKE_THREAD if pending & form.interrupt.pending else IrqReturn.NONE


async def _serve(driver: Driver, iommu: IommuDevice, form: QueueForm) -> None:
    await form.serve(driver, iommu)


# --- The command queue ----------------------------------------------------------------------------------------------


async def _serve_commands(driver: Driver, iommu: IommuDevice) -> None:
    """Report an error and clear it: the queue goes on where it stopped, also if that is an illegal command."""
    csr = Cqcsr(await iommu.read(CQCSR))
    if csr.cqmf or csr.cmd_to or csr.cmd_ill or csr.fence_w_ip:
        await iommu.write(CQCSR, csr)
        driver.log(
            "warning",
            f"command queue error: memory fault {csr.cqmf}, time-out {csr.cmd_to}, illegal {csr.cmd_ill}, "
            f"fence interrupt {csr.fence_w_ip}",
            iommu,
        )
    await iommu.write(IPSR, Interrupt.CQ.pending)


COMMANDS = QueueForm("command", CQB, CQT, CQCSR, Interrupt.CQ, 16, 8192, lambda iommu: iommu.commands, _serve_commands)


# --- The fault queue ------------------------------------------------------------------------------------------------

COMPLAINTS, COMPLAINTS_PS = 10, 5 * S
"""Faults that are printed, and in which time: Linux's rate limit."""


async def _serve_faults(driver: Driver, iommu: IommuDevice) -> None:
    """Print what devices did wrong. Nobody else learns of it; what is not read in time overflows."""
    queue = iommu.faults
    await iommu.write(IPSR, Interrupt.FQ.pending)
    entries = await queue.entries.load()
    while True:
        first, count = await _produced(driver, iommu, entries)
        for number in range(first, first + count):
            await _report(driver, iommu, await queue.base.load() + FaultRecord.SIZE * (number % entries))
        head = await queue.head.fetch_add(count) + count
        await iommu.write(FQH, head % entries)
        if count <= 0:
            break
    csr = Fqcsr(await iommu.read(FQCSR))
    if csr.fqmf or csr.fqof:
        await iommu.write(FQCSR, csr)
        driver.log("warning", f"fault queue error: memory fault {csr.fqmf}, overflow {csr.fqof}", iommu)


async def _produced(driver: Driver, iommu: IommuDevice, entries: int) -> tuple[int, int]:
    """The first record that is not served yet, and how many there are; `fqt` is read only if none is known of."""
    queue = iommu.faults
    head, tail = await queue.head.load(), await queue.tail.load()
    if tail > head:
        return head, tail - head
    deadline = (await Now()).time + INDEX_PS
    index = await iommu.read(FQT)
    while index >= entries:
        left = deadline - (await Now()).time
        if left <= 0:
            return head, driver.bringup.no_faults
        index = await (await iommu.polling(FQT, -1, index, left))
    produced = (index - tail) % entries
    return head, await queue.tail.fetch_add(produced) + produced - head


async def _report(driver: Driver, iommu: IommuDevice, address: int) -> None:
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


FAULTS = QueueForm("fault", FQB, FQH, FQCSR, Interrupt.FQ, 32, 4096, lambda iommu: iommu.faults, _serve_faults)
