"""The IOVA allocator (Linux, drivers/iommu/iova.c): magazines for each CPU in front of one top-down search.

What was freed last on a CPU is what the next allocation of that size gets there: in strict mode a missed invalidation
thereby becomes an access to the wrong page.
"""

from __future__ import annotations

import errno
from bisect import bisect_left
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from cosim.sim.operations import Work
from cosim.spec.pagetable import PAGE, PAGE_LG2
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import Object, embed
from cosim.units.field_types import PositiveTime, Size, Time
from cosim.units.options import Options
from cosim.units.quantities import MS, NS, format_size

if TYPE_CHECKING:
    from cosim.sw.kernel.kernel import Kernel


class IovaOptions(Options):
    """How IOVAs are given out; the sizes are those of Linux."""

    magazine: int = Field(default=127, ge=1, le=4096)
    """Ranges that a magazine holds; each CPU has two for each size."""
    classes: int = Field(default=6, ge=0, le=16)
    """Sizes that are cached: 1, 2, 4 ... pages."""
    prefer_32bit: bool = True
    """Look below 4 GiB first, as for PCI devices."""
    trim: Time = 100 * MS
    """How often the depot gives back a magazine, while it has more than there are CPUs."""
    cache_cost: Time = 20 * NS
    """CPU time to take from a magazine or put into one."""
    search_cost: Time = 150 * NS
    """CPU time to search the ranges in use, or change them."""
    align: Size = PAGE
    """Where a range may begin: at multiples of this, and of its own size. 2 MiB gives each a page table of its own, as
    an allocator may come to that has scattered what it gives out; the reach of tables is what that costs."""
    flush_entries: int = Field(default=256, ge=2, le=1 << 16)
    """Unmaps that a CPU lets wait for one flush in a lazy domain (IOVA_DEFAULT_FQ_SIZE); one entry stays unused."""
    flush_timeout: PositiveTime = 10 * MS
    """After how long they are flushed at the latest, in ticks of the kernel's clock (IOVA_DEFAULT_FQ_TIMEOUT)."""

    @field_validator("align")
    @classmethod
    def _pages(cls, align: int) -> int:
        if align < PAGE or align & (align - 1):
            raise ValueError(f"{format_size(align)} is no power of two of at least 4 KiB")
        return align


class SearchState(Object):
    """Words of the search."""

    __slots__ = ()
    lock = embed(SpinLock)


class DepotState(Object):
    """Words of the depot of one size."""

    __slots__ = ()
    lock = embed(SpinLock)


class Ranges:
    """The ranges in use, in page frames; the highest place that fits is taken. Plain data."""

    def __init__(self, lowest: int, align: int = 1) -> None:
        self.lowest = lowest
        self.align = align
        self._starts: list[int] = []
        self._ends: list[int] = []

    def take(self, count: int, limit: int) -> int | None:
        """The start of the highest free range of `count` frames, aligned to the next power of two, up to `limit`.

        Where `align` is more than that, it is aligned to this.
        """
        align = ~(max(1 << (count - 1).bit_length(), self.align) - 1)
        top = limit + 1
        index = bisect_left(self._starts, top)
        while True:
            start = (top - count) & align
            floor = self._ends[index - 1] if index else self.lowest
            if start >= max(floor, self.lowest):
                self._starts.insert(index, start)
                self._ends.insert(index, start + count)
                return start
            if not index:
                return None
            index -= 1
            top = min(top, self._starts[index])

    def give(self, start: int, count: int) -> bool:
        """Return a range; whether it was in use just so."""
        index = bisect_left(self._starts, start)
        if index == len(self._starts) or self._starts[index] != start or self._ends[index] != start + count:
            return False
        del self._starts[index], self._ends[index]
        return True

    def __len__(self) -> int:
        return len(self._starts)


class Magazines:
    """One CPU's ranges of one size: `loaded` is used, `spare` is what it is changed with."""

    __slots__ = ("loaded", "spare")

    def __init__(self) -> None:
        self.loaded: list[int] = []
        self.spare: list[int] = []


class IovaAllocator:
    """IOVAs of one domain, up to `last` (an address). A range is known by its first byte and its size in bytes.

    The search is guarded by a spinlock, as is the depot of full magazines of each size; a CPU's own magazines are
    used with its interrupts masked.
    """

    def __init__(self, kernel: Kernel, last: int, options: IovaOptions | None = None) -> None:
        self.options = options or IovaOptions()
        self.last = last
        self._kernel = kernel
        self._ranges = Ranges(lowest=1, align=self.options.align >> PAGE_LG2)
        self._search_lock = SearchState(kernel.static(SearchState.SIZE)).lock
        classes = range(self.options.classes)
        self._depots: list[list[list[int]]] = [[] for _ in classes]
        self._depot_locks = [DepotState(kernel.static(DepotState.SIZE)).lock for _ in classes]
        self._magazines: dict[str, list[Magazines]] = {}
        self._trim = kernel.timers.new("iova-trim", self._trimmed)

    async def alloc(self, size: int) -> int:
        """The address of a free range of `size` bytes, in whole pages. KernelError ENOMEM if there is none.

        Sizes that are cached are rounded up to a power of two.
        """
        count = self._rounded(size)
        limits = [self.last >> PAGE_LG2]
        if self.options.prefer_32bit and limits[0] > 0xF_FFFF:
            limits.insert(0, 0xF_FFFF)
        for limit in limits:
            found = await self._alloc(count, limit)
            if found is not None:
                return found << PAGE_LG2
        await self._give_up_caches()
        found = await self._search(count, limits[-1])
        if found is None:
            raise KernelError(errno.ENOMEM, f"no IOVA range of {count} pages is free")
        return found << PAGE_LG2

    async def free(self, iova: int, size: int) -> None:
        """Return a range."""
        count, start = self._rounded(size), iova >> PAGE_LG2
        size_class = (count - 1).bit_length()
        if size_class < self.options.classes:
            await self._put(size_class, start)
        else:
            await self._give(start, count)

    def _rounded(self, size: int) -> int:
        count = (size + (1 << PAGE_LG2) - 1) >> PAGE_LG2
        size_class = (count - 1).bit_length()
        return 1 << size_class if size_class < self.options.classes else count

    async def _alloc(self, count: int, limit: int) -> int | None:
        size_class = (count - 1).bit_length()
        if size_class < self.options.classes:
            found = await self._get(size_class, limit)
            if found is not None:
                return found
        return await self._search(count, limit)

    # --- The search ------------------------------------------------------------------------------------------------

    async def _search(self, count: int, limit: int) -> int | None:
        async with self._kernel.spin_irqsave(self._search_lock):
            await Work(self.options.search_cost)
            return self._ranges.take(count, limit)

    async def _give(self, start: int, count: int) -> None:
        async with self._kernel.spin_irqsave(self._search_lock):
            await Work(self.options.search_cost)
            known = self._ranges.give(start, count)
        if not known:
            self._kernel.log("warning", f"iova: {start << PAGE_LG2:#x} was freed but is not in use")

    # --- Magazines -------------------------------------------------------------------------------------------------

    def _mine(self, cpu: str, size_class: int) -> Magazines:
        """What a CPU keeps of one size: made when it is first asked for, since most CPUs never use most domains."""
        kept = self._magazines.get(cpu)
        if kept is None:
            kept = self._magazines[cpu] = [Magazines() for _ in self._depots]
        return kept[size_class]

    async def _get(self, size_class: int, limit: int) -> int | None:
        cpu = (await self._kernel.context()).cpu
        async with self._kernel.irqs_off():
            await Work(self.options.cache_cost)
            mine = self._mine(cpu, size_class)
            if not mine.loaded:
                if mine.spare:
                    mine.loaded, mine.spare = mine.spare, mine.loaded
                elif self._depots[size_class]:
                    async with self._kernel.spin(self._depot_locks[size_class]):
                        if self._depots[size_class]:
                            mine.loaded = self._depots[size_class].pop()
            # The last one that was freed below the limit.
            for index in reversed(range(len(mine.loaded))):
                if mine.loaded[index] <= limit:
                    mine.loaded[index], mine.loaded[-1] = mine.loaded[-1], mine.loaded[index]
                    return mine.loaded.pop()
        return None

    async def _put(self, size_class: int, start: int) -> None:
        cpu = (await self._kernel.context()).cpu
        full = False
        async with self._kernel.irqs_off():
            await Work(self.options.cache_cost)
            mine = self._mine(cpu, size_class)
            if len(mine.loaded) >= self.options.magazine:
                if len(mine.spare) < self.options.magazine:
                    mine.loaded, mine.spare = mine.spare, mine.loaded
                else:
                    full = True
                    async with self._kernel.spin(self._depot_locks[size_class]):
                        self._depots[size_class].append(mine.loaded)
                        mine.loaded = []
            mine.loaded.append(start)
        if full and self.options.trim and not await self._trim.state.load():
            await self._kernel.timers.arm(self._trim, self.options.trim)

    async def _trimmed(self) -> None:
        """Give back one magazine of each depot that has more than there are CPUs."""
        again = False
        for size_class, depot in enumerate(self._depots):
            if len(depot) <= len(self._kernel.cpus):
                continue
            async with self._kernel.spin_irqsave(self._depot_locks[size_class]):
                magazine = depot.pop() if depot else []
                again = again or len(depot) > len(self._kernel.cpus)
            for start in magazine:
                await self._give(start, 1 << size_class)
        if again:
            await self._kernel.timers.arm(self._trim, self.options.trim)

    async def _give_up_caches(self) -> None:
        """Return everything that is cached anywhere, since nothing else is left."""
        for size_class, depot in enumerate(self._depots):
            async with self._kernel.spin_irqsave(self._depot_locks[size_class]):
                cached = [start for magazine in depot for start in magazine]
                depot.clear()
                for cpu in filter(self._magazines.__contains__, self._kernel.cpus):
                    mine = self._mine(cpu, size_class)
                    cached += [*mine.loaded, *mine.spare]
                    mine.loaded, mine.spare = [], []
            for start in cached:
                await self._give(start, 1 << size_class)
