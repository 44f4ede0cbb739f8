"""The drivers of cosim's own devices, as far as the rest of the kernel knows them: they start and stop.

```
thread                                        device
------                                        ------
map the buffer: its PTEs are written
write window, size, not_before
fence w,o
write control = run               ------->    its first request finds the buffer mapped
fence o,w
release the lock                              another CPU's writes come after these
```

Without the first fence a device may run ahead of the page table that its buffer is in. Without the second, and the
lock, two threads that tell one device of a buffer each may give it the window of one and the size of the other.
"""

from __future__ import annotations

from typing import Protocol

from cosim.sim.operations import Fence, MmioRead, MmioWrite
from cosim.spec import descriptor_ring, dma_device
from cosim.spec.bits import Word
from cosim.spec.register_map import Register
from cosim.sw.kernel.barriers import mmiowb
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import Object, embed

DOORBELL = ("w", "o")
"""The fence in front of a doorbell, as writel has it."""


class DeviceDriver(Protocol):
    """A device as the rest of the kernel knows it."""

    async def start(self, iova: int, size: int, *, not_before_ps: int = 0) -> None:
        """Let it use `size` bytes from `iova` on, from the given time on; what the caller has written comes first."""

    async def stop(self) -> None:
        """Let it make no further request."""


class DeviceState(Object):
    """What the threads that use a device share; many devices may share one."""

    __slots__ = ()
    lock = embed(SpinLock)


class DmaDevice:
    """A device with a window (`spec.dma_device`), whose registers are at `base`."""

    def __init__(self, kernel: Kernel, base: int, state: DeviceState) -> None:
        self._kernel = kernel
        self._base = base
        self._lock = state.lock

    async def start(self, iova: int, size: int, *, not_before_ps: int = 0) -> None:
        """Give it a window, and ring its doorbell."""
        async with self._kernel.spin(self._lock):
            await self._write(dma_device.WINDOW, iova)
            await self._write(dma_device.SIZE, size)
            await self._write(dma_device.NOT_BEFORE, not_before_ps)
            await Fence(*DOORBELL)
            await self._write(dma_device.CONTROL, dma_device.DmaControl.of(run=1))
            await mmiowb()

    async def stop(self) -> None:
        """Tell it to stop, and wait until it knows."""
        async with self._kernel.spin(self._lock):
            await Fence(*DOORBELL)
            await self._write(dma_device.CONTROL, dma_device.DmaControl.of(run=0))
            await _arrived(self._base + dma_device.STATUS.offset)

    async def _write(self, register: Register[Word], value: int) -> None:
        await MmioWrite(self._base + register.offset, value, register.size)


class RingDevice:
    """A device with a ring of descriptors; only the thread that owns the ring starts it."""

    def __init__(self, base: int) -> None:
        self._base = base

    async def start(self, iova: int, size: int, *, not_before_ps: int = 0) -> None:
        """Nothing: it has no window."""

    async def stop(self) -> None:
        """Disable the ring, whatever is under way, and wait until it knows."""
        await Fence(*DOORBELL)
        register = descriptor_ring.CONTROL
        await MmioWrite(self._base + register.offset, descriptor_ring.RingControl.of(abandon=1), register.size)
        await _arrived(self._base + descriptor_ring.STATUS.offset)


async def _arrived(status: int) -> None:
    """Read a register: the answer comes back behind all writes to the device that were on their way."""
    await Fence("o", "i")
    await MmioRead(status, 4)
