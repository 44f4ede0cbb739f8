"""The in-memory queues (3 "In-memory queue interface"): allocated, switched on and off."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from cosim.sim.operations import Body
from cosim.spec.pagetable import PAGE, PAGE_LG2
from cosim.spec.register_map import CQB, CQCSR, CQT, FQB, FQCSR, FQH, IPSR, Register
from cosim.spec.registers import Cqcsr, Fqcsr, Interrupt, QueueBase, QueueCsr, QueueIndex
from cosim.sw.contract import answer_of, asked
from cosim.sw.driver import interrupt_setup
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice, Queue
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.irq import IrqReturn
from cosim.units.quantities import MS

CSR_BUSY_PS = 150 * MS
"""How long a queue may take to switch on or off."""
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
    process: Callable[[Skeleton, IommuDevice], Body]
    """The interrupt's thread."""


async def alloc(driver: Skeleton, iommu: IommuDevice, form: QueueForm) -> None:
    """Find out how long the queue may be, give it memory where it has none of its own. KernelError ENOMEM, ENODEV."""
    queue = form.of(iommu)
    await iommu.write(form.base, LARGEST)
    offered = QueueBase(await iommu.read(form.base))
    entries = min(form.entries, offered.entries)
    if offered.ppn:
        address = await asked(int, driver.policies.bringup.fixed_queue, offered)
    else:
        address, entries = await _memory(driver, iommu, form, entries)
    base = QueueBase.of(ppn=address >> PAGE_LG2, log2szm1=entries.bit_length() - 2)
    await iommu.write(form.base, base)
    if await iommu.read(form.base) != base:
        raise KernelError(errno.ENODEV, f"the {form.name} queue is not taken")
    await queue.base.store(address)
    await queue.entries.store(entries)


async def _memory(driver: Skeleton, iommu: IommuDevice, form: QueueForm, entries: int) -> tuple[int, int]:
    """Pages in one piece, for half as many entries and half again until there are. KernelError ENOMEM."""
    while True:
        order = ((entries * form.entry - 1) // PAGE).bit_length()
        try:
            return await driver.keep_page(iommu, order, purpose="queue"), entries
        except KernelError:
            if not order:
                raise
            entries //= 2


async def enable(driver: Skeleton, iommu: IommuDevice, form: QueueForm) -> None:
    """Connect the interrupt, then switch the queue on. KernelError EBUSY if it does not come on."""
    await form.of(iommu).iommu.store(iommu.address)
    action = await interrupt_setup.connect(
        driver,
        iommu,
        form.interrupt,
        f"{driver.hardware(iommu).name}-{form.name}",
        lambda: asked(IrqReturn, driver.policies.interrupts.pending, iommu, form.interrupt),
        lambda: form.process(driver, iommu),
    )
    await driver.policies.bringup.reset_index(iommu, form.index)
    await iommu.write(form.csr, QueueCsr.of(en=1, ie=1, mf=1))
    csr = await _settled(driver, iommu, form)
    if csr.busy or not csr.on or csr.mf:
        await iommu.write(form.csr, 0)
        await interrupt_setup.disconnect(driver, iommu, form.interrupt, action)
        raise KernelError(errno.EBUSY, f"the {form.name} queue does not come on")
    driver.connected(iommu, form.interrupt, action)
    await iommu.write(IPSR, form.interrupt.pending)


async def disable(driver: Skeleton, iommu: IommuDevice, form: QueueForm) -> None:
    """Disconnect the interrupt, then switch the queue off. A thread that sends a command from now on oopses."""
    await interrupt_setup.disconnect(driver, iommu, form.interrupt, driver.disconnected(iommu, form.interrupt))
    await iommu.write(form.csr, 0)
    if (await _settled(driver, iommu, form)).on:
        driver.log("error", f"the {form.name} queue does not go off", iommu)
    await form.of(iommu).iommu.store(0)


async def _settled(driver: Skeleton, iommu: IommuDevice, form: QueueForm) -> QueueCsr:
    waits = driver.policies.bringup.waits_for_queues
    if not answer_of(waits, waits(), bool):
        return QueueCsr(await iommu.read(form.csr))
    busy = QueueCsr.busy.mask
    return QueueCsr(
        await (await iommu.polling(form.csr, busy, busy, CSR_BUSY_PS, pause_ps=driver.costs.csr_poll, sleep=True))
    )


COMMANDS = QueueForm(
    "command",
    CQB,
    CQT,
    CQCSR,
    Interrupt.CQ,
    16,
    8192,
    lambda iommu: iommu.commands,
    lambda driver, iommu: driver.policies.interrupts.cmdq_process(driver, iommu),
)
FAULTS = QueueForm(
    "fault",
    FQB,
    FQH,
    FQCSR,
    Interrupt.FQ,
    32,
    4096,
    lambda iommu: iommu.faults,
    lambda driver, iommu: driver.policies.interrupts.fltq_process(driver, iommu),
)
