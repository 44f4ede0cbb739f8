"""The driver of the ring device (`spec.descriptor_ring`): buffers are mapped, posted, filled by it, and unmapped."""

from __future__ import annotations

import errno

from cosim.sim.operations import Fence, Load, MmioRead, MmioWrite, Poll, Store
from cosim.spec.bits import Word
from cosim.spec.descriptor_ring import (
    BASE,
    CONTROL,
    STATUS,
    TAIL,
    Descriptor,
    RingBase,
    RingControl,
    RingIndex,
    RingStatus,
)
from cosim.spec.pagetable import PAGE
from cosim.spec.register_map import Register
from cosim.sw.dma_api import Coherent, DmaApi
from cosim.sw.iommu_ops import Prot
from cosim.sw.kernel.barriers import dma_rmb, dma_wmb
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.irq import IrqAction, IrqReturn
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import Cell
from cosim.sw.runtime import RingHardware
from cosim.units.quantities import MS, US

DOORBELL = ("w", "o")
"""The fence in front of a doorbell, as writel has it."""

STOPPING_PS = 100 * MS
"""How long a device may take to finish after it was disabled."""

DONE = Descriptor.done.mask
"""`Descriptor.done` in the second doubleword."""


class ReceiveRing:
    """A ring of `entries` descriptors, each with a buffer of `pages` pages that the device writes.

    States of an entry: *posted* (the device may write its buffer), *done* (the device has), *ours* (its buffer is
    unmapped). One entry stays unused, since head == tail is an empty ring.
    """

    def __init__(self, kernel: Kernel, dma: DmaApi, hardware: RingHardware, entries: int, size: int) -> None:
        self.kernel = kernel
        self.dma = dma
        self.hardware = hardware
        self.entries = entries
        self.size = size
        self._order = (-(-size // PAGE) - 1).bit_length()
        self._ring: Coherent
        self._action: IrqAction | None = None
        self._events = Cell(kernel.static(8))
        self._buffers: list[tuple[int, int] | None] = [None] * entries
        self._head = self._tail = 0

    async def open(self, *, interrupts: bool) -> None:
        """Allocate the ring and tell the device. KernelError ENOMEM, and then nothing is kept."""
        self._ring = await self.dma.alloc_coherent(self.entries * Descriptor.SIZE)
        if interrupts:
            try:
                self._action = await self.kernel.irq.request(
                    self.hardware.cpu, self.hardware.vector, "ring", self._interrupted, self._woken
                )
            except KernelError:
                await self.dma.free_coherent(self._ring)
                raise
        size_lg2 = (self.entries - 1).bit_length()
        await self._write(BASE, RingBase.of(size_lg2=size_lg2, page=self._ring.iova // PAGE))
        await self._write(CONTROL, RingControl.of(en=1, ie=int(interrupts)))

    async def fill(self) -> None:
        """Post buffers until the ring is full. KernelError ENOMEM, with those that could be posted left there."""
        pages = self.kernel.pages
        while (self._tail + 1) % self.entries != self._head:
            address = await pages.alloc(self._order, zero=False, purpose="buffer")
            try:
                await self.post(address)
            except KernelError:
                await pages.free(address)
                raise

    async def post(self, address: int) -> None:
        """Map a buffer and give it to the device. KernelError ENOMEM."""
        iova = await self.dma.map(address, self.size, Prot.WRITE)
        interrupt = int(self._action is not None)
        words = Descriptor.of(buffer=iova, size=self.size, write=1, interrupt=interrupt).words()
        slot = self._ring.address + self._tail * Descriptor.SIZE
        for offset, word in enumerate(words):
            await Store(slot + 8 * offset, word)
        await dma_wmb()
        self._buffers[self._tail] = (address, iova)
        self._tail = (self._tail + 1) % self.entries
        await Fence(*DOORBELL)
        await self._write(TAIL, RingIndex.of(index=self._tail))

    async def take(self, *, poll_ps: int) -> int:
        """Wait for the next buffer that the device has filled, unmap it, and return its address; it is the caller's.

        KernelError ENOBUFS if none is posted.
        """
        held = self._buffers[self._head]
        if held is None:
            raise KernelError(errno.ENOBUFS, "no buffer is posted")
        status = Cell(self._ring.address + self._head * Descriptor.SIZE + 8)
        if self._action is None:
            await status.wait_until(lambda word: bool(word & DONE), spin=False, poll_ps=poll_ps, part="sleep")
        else:
            seen = int(await self._events.load(acquire=True))
            while not await status.load() & DONE:
                seen = await self._event_after(seen)
        await dma_rmb()
        address, iova = held
        self._buffers[self._head] = None
        self._head = (self._head + 1) % self.entries
        await self.dma.unmap(iova, self.size)
        return address

    async def _event_after(self, seen: int) -> int:
        found = await self._events.wait_until(lambda now: now != seen, spin=False, part="sleep")
        assert found is not None
        return found

    async def read(self, address: int) -> int:
        """Look at what the device has written: the first doubleword of a buffer."""
        return await Load(address)

    async def close(self) -> None:
        """Stop the device, then unmap and free everything."""
        await self._write(CONTROL, 0)
        register = STATUS
        on = RingStatus.on.mask
        await Poll(
            self.hardware.base + register.offset,
            on,
            register.size,
            mask=on,
            timeout_ps=STOPPING_PS,
            pause_ps=10 * US,
            sleep=True,
        )
        if self._action is not None:
            await self.kernel.irq.free(self._action)
        for held in self._buffers:
            if held is not None:
                address, iova = held
                await self.dma.unmap(iova, self.size)
                await self.kernel.pages.free(address)
        await self.dma.free_coherent(self._ring)

    async def _interrupted(self) -> IrqReturn:
        status = RingStatus(await MmioRead(self.hardware.base + STATUS.offset, STATUS.size))
        if not status.ip:
            return IrqReturn.NONE
        await self._write(STATUS, RingStatus.of(ip=1))
        return IrqReturn.WAKE_THREAD

    async def _woken(self) -> None:
        await self._events.fetch_add(1)

    async def _write(self, register: Register[Word], value: int) -> None:
        await MmioWrite(self.hardware.base + register.offset, value, register.size)
