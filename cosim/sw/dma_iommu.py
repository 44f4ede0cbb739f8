"""The DMA API on an IOMMU (Linux, drivers/iommu/dma-iommu.c): buffers become IOVAs, and cease to be.

Strict: on return of an unmap no device reaches the pages any more, and they may be freed. Lazy: that is so later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from cosim.events import EntriesCleared, IovaFreed, MapBegun, Mapped, UnmapBegun, UnmapFailed, Unmapped
from cosim.sim.probe import Probe
from cosim.spec.pagetable import PAGE
from cosim.sw.dma_api import BOTH, DmaApi, Piece, Segment
from cosim.sw.flush_queue import FlushQueue
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_map import Unflushed, iommu_map, iommu_unmap_fast
from cosim.sw.iommu_ops import Domain, Gather, Prot
from cosim.sw.iova import IovaAllocator, IovaOptions
from cosim.sw.kernel.errors import KernelError
from cosim.sw.tables_seen import TablesSeen

E = TypeVar("E", UnmapFailed, Unmapped, IovaFreed)


class DmaDomain(DmaApi):
    """A domain that is used through the DMA API: it has an IOVA allocator.

    What it does not check, Linux does not: unmapping what is not mapped is warned of, and its IOVAs are freed all the
    same, so that a later mapping may be given them twice.
    """

    merges = True

    def __init__(self, core: IommuCore, domain: Domain, options: IovaOptions | None = None) -> None:
        super().__init__(core, domain)
        self._kernel, self._driver = core.kernel, core.driver
        self._options = options or IovaOptions()
        self._iovas = IovaAllocator(core.kernel, domain.aperture_end, self._options)
        self._waiting: FlushQueue | None = None
        self._begun = core.kernel.sim.probe(MapBegun)
        self._mapped = core.kernel.sim.probe(Mapped)
        self._unmap_begun = core.kernel.sim.probe(UnmapBegun)
        self._unmapped = core.kernel.sim.probe(Unmapped)
        self._failed = core.kernel.sim.probe(UnmapFailed)
        self._cleared = core.kernel.sim.probe(EntriesCleared)
        self._freed = core.kernel.sim.probe(IovaFreed)
        self._tables = TablesSeen(core.kernel, core.driver)

    async def be_lazy(self) -> None:
        """A driver that does not claim it can defer flushes stays strict, as dma-iommu decides; that is logged."""
        if self._waiting is not None:
            return
        if not self._driver.capable("deferred_flush"):
            self._kernel.log("info", f"{self.domain.name}: the driver does not defer flushes; unmaps are strict")
            return
        options = self._options
        queue = FlushQueue(self._driver, self.domain, self._give_back, options.flush_entries, options.flush_timeout)
        await queue.open()
        self._waiting = queue

    async def close(self) -> None:
        """Free what the domain has here; no thread maps any more."""
        if self._waiting is not None:
            await self._waiting.close()

    def roots(self) -> list[int]:
        """The objects that it holds; takes no time."""
        return [] if self._waiting is None else self._waiting.roots()

    async def map_sg(self, pieces: Sequence[Piece], prot: Prot = BOTH) -> tuple[Segment, ...]:
        """One segment, in which all `pieces` follow one another, each in pages of its own."""
        async with self.core.calls.measured("map"):
            total = sum(_whole(piece) for piece in pieces)
            start = await self._iovas.alloc(total)
            done = 0
            try:
                for piece in pieces:
                    await self._map_piece(start + done, piece, prot)
                    done += _whole(piece)
            except KernelError as error:
                cleared = not done or await self._clear(start, done)
                if cleared and not isinstance(error, Unflushed):
                    await self._free(start, total)
                raise
            offset = pieces[0].address % PAGE
            return (Segment(start + offset, total - offset),)

    async def unmap_sg(self, segments: Sequence[Segment]) -> None:
        async with self.core.calls.measured("unmap"):
            for iova, size in segments:
                await self._unmap(iova, size)

    async def _unmap(self, iova: int, size: int) -> None:
        start = iova & ~(PAGE - 1)
        size = _whole(Piece(iova, size))
        if self._waiting is None:
            if await self._clear(start, size):
                await self._free(start, size)
            return
        gather = Gather(queued=True)
        await self._clear_entries(start, size, gather)
        await self._waiting.add(start, size, gather.freelist)

    async def _map_piece(self, iova: int, piece: Piece, prot: Prot) -> None:
        who = (await self._kernel.context()).thread
        first, size = piece.address & ~(PAGE - 1), _whole(piece)
        if self._begun:
            self._begun(MapBegun(self._kernel.sim.now, who, self.domain.name, iova, size, first, prot.letters))
        try:
            await iommu_map(self._driver, self.domain, iova, first, size, prot)
        except Unflushed:
            await self._tell_failed(iova, size)
            raise
        except KernelError:
            await self._tell_unmapped(iova, size)
            raise
        if self._mapped:
            self._mapped(Mapped(self._kernel.sim.now, who, self.domain.name, iova, size, first, prot.letters))

    async def _clear(self, start: int, size: int) -> bool:
        """Unmap a range; whether it is: else its IOVAs are lost, since a device may use them still."""
        gather = Gather()
        await self._clear_entries(start, size, gather)
        if await self._driver.iotlb_sync(self.domain, gather) is False:
            await self._tell_failed(start, size)
            return False
        await self._tell_unmapped(start, size)
        return True

    async def _give_back(self, start: int, size: int) -> None:
        """A range that waited is flushed."""
        await self._tell_unmapped(start, size)
        await self._free(start, size)

    async def _free(self, start: int, size: int) -> None:
        await self._tell(self._freed, IovaFreed, start, size)
        await self._iovas.free(start, size)

    async def _clear_entries(self, start: int, size: int, gather: Gather) -> None:
        if self._unmap_begun:
            who = (await self._kernel.context()).thread
            self._tables.of_range(who, self.domain, start, size)
            self._unmap_begun(UnmapBegun(self._kernel.sim.now, who, self.domain.name, start, size))
        cleared = await iommu_unmap_fast(self._driver, self.domain, start, size, gather)
        if self._cleared:
            who = (await self._kernel.context()).thread
            self._cleared(EntriesCleared(self._kernel.sim.now, who, self.domain.name, start, size, int(cleared)))
        if cleared != size:
            self._kernel.log(
                "warning",
                f"dma: unmap of {size:#x} bytes at {start:#x} in {self.domain.name} cleared only {cleared:#x}: "
                "they were not mapped so",
                (await self._kernel.context()).thread,
            )

    async def _tell_failed(self, start: int, size: int) -> None:
        await self._tell(self._failed, UnmapFailed, start, size)

    async def _tell_unmapped(self, start: int, size: int) -> None:
        if self._unmapped:
            await self._tell(self._unmapped, Unmapped, start, size)
            self._tables.of_range((await self._kernel.context()).thread, self.domain, start, size)

    async def _tell(self, probe: Probe[E], kind: Callable[[int, str, str, int, int], E], start: int, size: int) -> None:
        """Tell what has become of a range, and by whom."""
        if probe:
            who = (await self._kernel.context()).thread
            probe(kind(self._kernel.sim.now, who, self.domain.name, start, size))


def _whole(piece: Piece) -> int:
    """The size of a piece in whole pages."""
    return (piece.address % PAGE + piece.size + PAGE - 1) // PAGE * PAGE
