"""A thread that drives a ring device."""

from __future__ import annotations

import errno
from typing import Literal

from pydantic import Field, field_validator

from cosim.spec.pagetable import PAGE
from cosim.sw.kernel.errors import KernelError
from cosim.sw.receive_ring import ReceiveRing
from cosim.sw.runtime import Runtime
from cosim.sw.workloads.references import RingName
from cosim.sw.workloads.workload import WorkloadOptions
from cosim.units.field_types import PositiveSize, PositiveTime
from cosim.units.quantities import US


class ReceiveRingWork(WorkloadOptions):
    """Drives a ring device: maps buffers and posts them, unmaps what the device has filled, and posts others.

    A round is one packet.
    """

    does: Literal["receive-ring"]
    device: RingName
    """The device, of `kind: ring`."""
    entries: int = Field(default=64, ge=2, le=1 << 16)
    """Descriptors of the ring, a power of two; one stays unused."""
    buffer: PositiveSize = PAGE
    """Bytes of a buffer."""
    wait: Literal["interrupt", "poll"] = "interrupt"
    """How the thread learns that a buffer is filled."""
    poll: PositiveTime = 1 * US
    """How often it looks, with `wait: poll`."""
    free: bool = True
    """Free each packet's pages and post others, so that the next allocation gets them; else post the same again."""

    @field_validator("entries")
    @classmethod
    def _is_a_power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            below = 1 << (value.bit_length() - 1)
            raise ValueError(f"{value} is not a power of two; the nearest are {below} and {2 * below}")
        return value

    async def run(self, runtime: Runtime) -> None:
        kernel = runtime.kernel
        await runtime.sleep_until(self.start)
        try:
            if self.device not in runtime.rings:
                raise KernelError(errno.ENODEV, f"{self.device} has no ring")
            dma = await runtime.domain_of(self.device)
            ring = ReceiveRing(kernel, dma, runtime.rings[self.device], self.entries, self.buffer)
            await ring.open(interrupts=self.wait == "interrupt")
        except KernelError as error:
            kernel.log("error", str(error), (await kernel.context()).thread)
            return
        await self.repeat(runtime, lambda: self._packet(runtime, ring))
        await ring.close()

    async def _packet(self, runtime: Runtime, ring: ReceiveRing) -> None:
        await ring.fill()
        address = await ring.take(poll_ps=self.poll)
        await ring.read(address)
        if self.free:
            await runtime.kernel.pages.free(address)
            await ring.fill()
            return
        try:
            await ring.post(address)
        except KernelError:
            await runtime.kernel.pages.free(address)
            raise
