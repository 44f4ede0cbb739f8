"""Threads that map and unmap, and those that move devices between domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from cosim.sw.dma_api import DmaApi, Piece, Segment
from cosim.sw.runtime import Runtime
from cosim.sw.workloads.references import AttachableNames, DeviceName, DmaDomainName, DomainNames
from cosim.sw.workloads.workload import PERMITS, Direction, WorkloadOptions, allocate, around, release
from cosim.units.field_types import Time


class MapUnmap(WorkloadOptions):
    """Maps a buffer, leaves it mapped for a while, unmaps it and frees its pages."""

    does: Literal["map-unmap"]
    domain: DmaDomainName
    """The domain it maps in; a device's own domain has the device's name. In `identity`, and for a device that begins
    there or goes through no IOMMU, a buffer keeps its physical address and nothing is flushed (passthrough)."""
    pages: int = Field(default=1, ge=1, le=1 << 18)
    """Pages of 4 KiB, mapped by one call and unmapped by one."""
    contiguous: bool = False
    """One block of physical memory, so that large leaves can be used; else each page comes from anywhere."""
    mode: Literal["strict", "lazy"] = "strict"
    """When an unmap flushes: before it returns, or together with others, later. One lazy thread makes its domain lazy
    for all, if the driver can defer flushes."""
    direction: Direction = "bidirectional"
    """Which way data go: a device may not write what is mapped `to-device`. It may read what is `from-device`, since a
    RISC-V page that can be written can be read."""
    hold: Time = 0
    """How long the buffer stays mapped."""
    device: DeviceName | None = None
    """A device that is told of each buffer and uses it; it is not stopped before the unmap."""
    free: bool = True
    """Free the pages after each unmap, so that the next allocation gets them; else the same are used again."""

    def tells(self) -> Sequence[str]:
        return () if self.device is None else (self.device,)

    async def set_up(self, runtime: Runtime) -> None:
        if self.mode == "lazy":
            await runtime.domain(self.domain).be_lazy()

    async def run(self, runtime: Runtime) -> None:
        await runtime.sleep_until(self.start)
        kept = [] if self.free else await self._allocate(runtime)
        await self.repeat(runtime, lambda: self._round(runtime, kept))

    async def _round(self, runtime: Runtime, kept: Sequence[Piece]) -> None:
        if kept:
            await self._use(runtime, kept)
            return
        pieces = await self._allocate(runtime)
        await around(self._use(runtime, pieces), lambda: release(runtime, pieces))

    async def _allocate(self, runtime: Runtime) -> list[Piece]:
        """The buffer's pages: one block for a device that has to find them at one range of addresses."""
        one_range = self.device is not None and not runtime.domain(self.domain).merges
        return await allocate(runtime, self.pages, contiguous=self.contiguous or one_range)

    async def _use(self, runtime: Runtime, pieces: Sequence[Piece]) -> None:
        dma = runtime.domain(self.domain)
        segments = await dma.map_sg(pieces, PERMITS[self.direction])
        if self.device is not None:
            await runtime.master(self.device).start(*segments[0])
        if self.hold:
            await runtime.kernel.sleep(self.hold)
        await dma.unmap_sg(segments)


class AttachDetach(WorkloadOptions):
    """Moves devices from domain to domain; a round visits each of `domains` with each of `devices`."""

    does: Literal["attach-detach"]
    devices: AttachableNames
    """The devices, by names or globs."""
    domains: DomainNames
    """The domains, in turn; `identity` is one that is always there."""
    stay: Time = 0
    """How long the devices stay in each domain."""
    detach: bool = True
    """Return the devices to the domains in which they began, at the end of each round."""

    async def round(self, runtime: Runtime) -> None:
        core, devices = runtime.core, runtime.devices(self.devices)
        for name in (self.domains,) if isinstance(self.domains, str) else self.domains:
            domain = runtime.place(name)
            for device in devices:
                await core.replace(device, domain)
            if self.stay:
                await runtime.kernel.sleep(self.stay)
        if self.detach:
            for device in devices:
                await core.detach(device)


class DomainCycle(WorkloadOptions):
    """Makes a domain, maps a buffer there, moves devices in that use it, then undoes all of it and frees the domain."""

    does: Literal["domain-cycle"]
    devices: AttachableNames
    """The devices, by names or globs."""
    pages: int = Field(default=1, ge=1, le=1 << 18)
    """Pages of the buffer."""
    stay: Time = 0
    """How long the devices stay in the domain."""
    use: bool = True
    """Tell the devices of the buffer; they are not stopped before the unmap."""
    order: Literal["map-first", "attach-first"] = "map-first"
    """Whether the buffer is mapped before a device is there, or after; either must work."""

    def tells(self) -> Sequence[str]:
        named = (self.devices,) if isinstance(self.devices, str) else self.devices
        return named if self.use else ()

    async def round(self, runtime: Runtime) -> None:
        devices = runtime.devices(self.devices)
        name = f"{(await runtime.kernel.context()).thread}.domain"
        dma = await runtime.new_domain(name, devices[0] if devices else None)
        await around(self._inhabit(runtime, dma, devices), lambda: runtime.free_domain(name))

    async def _inhabit(self, runtime: Runtime, dma: DmaApi, devices: Sequence[str]) -> None:
        pieces = await allocate(runtime, self.pages)
        await around(self._use(runtime, dma, pieces, devices), lambda: release(runtime, pieces))

    async def _use(self, runtime: Runtime, dma: DmaApi, pieces: Sequence[Piece], devices: Sequence[str]) -> None:
        mapped: list[tuple[Segment, ...]] = []
        moved: list[str] = []

        async def settle() -> None:
            if self.order == "map-first":
                mapped.append(await dma.map_sg(pieces))
            for device in devices:
                await runtime.core.replace(device, dma.domain)
                moved.append(device)
            if self.order == "attach-first":
                mapped.append(await dma.map_sg(pieces))
            for device in devices if self.use else ():
                await runtime.master(device).start(*mapped[0][0])
            await runtime.kernel.sleep(self.stay)

        async def leave() -> None:
            for segments in mapped:
                await dma.unmap_sg(segments)
            for device in moved:
                await runtime.core.detach(device)

        await around(settle(), leave)
