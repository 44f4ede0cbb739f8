"""Single steps, each done once by a thread of its own: what an experiment is made of, and what is prepared for it.

A buffer that `map` leaves mapped has a name, by which other threads unmap it or tell devices of it.
"""

from __future__ import annotations

import errno
from typing import Literal

from pydantic import Field, model_validator

from cosim.events import AddressAsked
from cosim.sim.operations import StoreBlock
from cosim.spec.pagetable import PAGE, PAGE_LG2, Pte
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import WORD
from cosim.sw.runtime import Buffer, Runtime
from cosim.sw.workloads.references import (
    AttachableNames,
    BufferName,
    DeviceName,
    DmaDomainName,
    DomainName,
    NewBuffer,
    PagingDomainName,
)
from cosim.sw.workloads.workload import PERMITS, Direction, WorkloadOptions, allocate, release
from cosim.units.field_types import Address, PositiveSize


class Map(WorkloadOptions):
    """Maps a buffer, once, and leaves it mapped for other threads to use."""

    does: Literal["map"]
    domain: DmaDomainName
    """The domain it maps in; a device's own domain has the device's name."""
    buffer: NewBuffer
    """What the buffer is called from then on."""
    pages: int = Field(default=1, ge=1, le=1 << 18)
    """Pages of 4 KiB, mapped by one call."""
    contiguous: bool = False
    """One block of physical memory, so that large leaves can be used; else each page comes from anywhere."""
    mode: Literal["strict", "lazy"] = "strict"
    """When unmaps in this domain flush: before they return, or together with others, later."""
    direction: Direction = "bidirectional"
    """Which way data go: a device may not write what is mapped `to-device`. It may read what is `from-device`, since a
    RISC-V page that can be written can be read."""
    count: Literal[1] = 1

    async def set_up(self, runtime: Runtime) -> None:
        if self.mode == "lazy":
            await runtime.domain(self.domain).be_lazy()

    async def round(self, runtime: Runtime) -> None:
        dma = runtime.domain(self.domain)
        pieces = await allocate(runtime, self.pages, contiguous=self.contiguous or not dma.merges)
        try:
            segments = await dma.map_sg(pieces, PERMITS[self.direction])
        except KernelError:
            await release(runtime, pieces)
            raise
        runtime.leave_buffer(self.buffer, Buffer(self.domain, tuple(pieces), segments))


class Unmap(WorkloadOptions):
    """Unmaps a buffer that was left mapped, once, and frees its pages."""

    does: Literal["unmap"]
    buffer: BufferName
    """The buffer, by the name that a `map` gave it."""
    free: bool = True
    """Free its pages after the unmap."""
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        buffer = runtime.take_buffer(self.buffer)
        await runtime.domain(buffer.domain).unmap_sg(buffer.segments)
        if self.free:
            await release(runtime, buffer.pieces)


class Tell(WorkloadOptions):
    """Tells a device where its window is, which starts it; it goes on while the thread ends.

    Behind a `probe-again` its IOMMU has to refuse a device that only the kernel before had found.
    """

    does: Literal["tell"]
    device: DeviceName
    """The device."""
    buffer: BufferName | None = None
    """The buffer that becomes its window, by the name that a `map` gave it."""
    iova: Address | None = None
    """Instead of a buffer, where the window begins, whether or not something is mapped there."""
    size: PositiveSize = PAGE
    """How long such a window is."""
    count: int | None = Field(default=1, ge=1)
    """How many times; without end, if absent."""

    @model_validator(mode="after")
    def _one_window(self) -> Tell:
        if (self.buffer is None) == (self.iova is None):
            raise ValueError("a device is told either of a `buffer:` or of an `iova:`")
        return self

    def tells(self) -> tuple[str, ...]:
        return (self.device,)

    async def round(self, runtime: Runtime) -> None:
        master = runtime.master(self.device)
        if self.iova is not None:
            await master.start(self.iova, self.size)
        elif self.buffer is not None:
            await master.start(*runtime.buffer(self.buffer).segments[0])


class IovaToPhys(WorkloadOptions):
    """Asks the driver where an IOVA leads, whether or not something is mapped there."""

    does: Literal["iova-to-phys"]
    domain: PagingDomainName
    """The domain; a device's own domain has the device's name."""
    iova: Address
    """The IOVA."""
    count: int | None = Field(default=1, ge=1)
    """How many times; without end, if absent."""

    async def round(self, runtime: Runtime) -> None:
        sim = runtime.kernel.sim
        began = sim.now
        leads = int(await runtime.driver.iova_to_phys(runtime.place(self.domain), self.iova))
        if asked := sim.probe(AddressAsked):
            who = (await runtime.kernel.context()).thread
            asked(AddressAsked(sim.now, who, self.domain, self.iova, leads, began))
        runtime.kernel.log("info", f"{self.iova:#x} of {self.domain} leads to {leads:#x}")


class Attach(WorkloadOptions):
    """Moves devices into a domain, once, where they stay."""

    does: Literal["attach"]
    devices: AttachableNames
    """The devices, by names or globs."""
    domain: DomainName
    """The domain; `identity` is one that is always there."""
    or_else: DomainName | None = None
    """The domain for a device of which the driver says EINVAL, that it does not fit: so iommufd goes on to another one.
    Any other errno ends the thread."""
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        domain = runtime.place(self.domain)
        for device in runtime.devices(self.devices):
            try:
                await runtime.core.replace(device, domain)
            except KernelError as error:
                if error.code != errno.EINVAL or self.or_else is None:
                    raise
                await runtime.core.replace(device, runtime.place(self.or_else))


class FreeDomain(WorkloadOptions):
    """Frees a domain that no device is in any more, once, and then the pages of all buffers that were mapped there."""

    does: Literal["free-domain"]
    domain: PagingDomainName
    """The domain."""
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        runtime.domain(self.domain)
        await runtime.free_domain(self.domain)
        for name in [name for name, buffer in runtime.buffers.items() if buffer.domain == self.domain]:
            await release(runtime, runtime.take_buffer(name).pieces)


class Scribble(WorkloadOptions):
    """Fills pages with what reads as entries of a page table and frees them: what is used before it is zeroed shows.

    The entries lead to a page that is free as well, and is given out again after all others.
    """

    does: Literal["scribble"]
    pages: int = Field(default=1, ge=1, le=1 << 10)
    """Pages that are filled."""
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        pages = runtime.kernel.pages
        pieces = await allocate(runtime, self.pages + 1)
        leads_to, *filled = pieces
        leaf = Pte.of(v=1, r=1, w=1, u=1, a=1, d=1, ppn=leads_to.address >> PAGE_LG2)
        for piece in filled:
            await StoreBlock(piece.address, (leaf,) * (PAGE // WORD))
        await pages.free(leads_to.address)
        await release(runtime, filled)
