"""Lazy unmapping (Linux, drivers/iommu/dma-iommu.c, queue_iova): ranges wait for one flush of the whole domain.

Between an unmap's return and that flush devices may still reach the pages: at most 255 unmaps of each CPU, or until
the timer. What waited is given back once a flush that began after it was queued has ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from cosim.events import FlushAwaited, FlushBegun, FlushEnded, FlushGivenUp, FlushQueued, FlushTimer
from cosim.sw.iommu_ops import Domain, IommuDriver
from cosim.sw.kernel.barriers import smp_mb
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import Object, cell, embed


class FlushQueueState(Object):
    """Words of a domain's flush queue. A flush that is under way has begun and not ended."""

    __slots__ = ()
    begun = cell()
    ended = cell()
    timer_on = cell()


class CpuFlushQueueState(Object):
    """Words of one CPU's queue; the lock guards them and the entries."""

    __slots__ = ()
    lock = embed(SpinLock)
    head = cell()
    tail = cell()


class FlushEntry(Object):
    """A range that waits: `begun` is how many flushes had begun when it came."""

    __slots__ = ()
    start = cell()
    size = cell()
    begun = cell()


class CpuFlushQueue(NamedTuple):
    """One CPU's queue, and the page-table pages that wait with each entry."""

    state: CpuFlushQueueState
    entries: tuple[FlushEntry, ...]
    freelists: list[list[int]]


class FlushQueue:
    """The ranges of a domain that are unmapped and not flushed. `give_back` is called for each once it is.

    A CPU's queue has `entries`, one of which stays unused; the first one waits for `timeout_ps` at least, in ticks of
    the kernel's clock.
    """

    def __init__(
        self,
        driver: IommuDriver,
        domain: Domain,
        give_back: Callable[[int, int], Awaitable[None]],
        entries: int,
        timeout_ps: int,
    ) -> None:
        self._entries, self._timeout_ps = entries, timeout_ps
        self._driver = driver
        self._kernel = driver.kernel
        self._domain = domain
        self._give_back = give_back
        self._state = FlushQueueState(self._kernel.static(FlushQueueState.SIZE))
        self._queues: dict[str, CpuFlushQueue] = {}
        self._timer = self._kernel.timers.new("iova-flush", self._expired)
        sim = self._kernel.sim
        self._queued, self._awaited = sim.probe(FlushQueued), sim.probe(FlushAwaited)
        self._begun, self._ended = sim.probe(FlushBegun), sim.probe(FlushEnded)
        self._timer_told, self._given_up = sim.probe(FlushTimer), sim.probe(FlushGivenUp)

    async def open(self) -> None:
        """Allocate the queues, one for every CPU. KernelError ENOMEM, and then none is kept."""
        try:
            for cpu in self._kernel.cpus:
                self._queues[cpu] = await self._new_queue()
        except KernelError:
            await self.close()
            raise

    async def _new_queue(self) -> CpuFlushQueue:
        pages = self._kernel.pages
        state = await pages.new(CpuFlushQueueState)
        try:
            first = await pages.kmalloc(self._entries * FlushEntry.SIZE, purpose="FlushEntries")
        except KernelError:
            await pages.delete(state)
            raise
        entries = tuple(FlushEntry(first + index * FlushEntry.SIZE) for index in range(self._entries))
        return CpuFlushQueue(state, entries, [[] for _ in entries])

    async def close(self) -> None:
        """Free the queues; the domain is about to go, and nothing is flushed any more."""
        await self._kernel.timers.cancel(self._timer)
        for queue in self._queues.values():
            for freelist in queue.freelists:
                await self._free(freelist)
            await self._kernel.pages.kfree(queue.entries[0].address)
            await self._kernel.pages.delete(queue.state)
        self._queues.clear()

    def roots(self) -> list[int]:
        """The objects that it holds; takes no time."""
        held = [int(one.address) for queue in self._queues.values() for one in (queue.state, queue.entries[0])]
        return held + [page for queue in self._queues.values() for freelist in queue.freelists for page in freelist]

    async def add(self, start: int, size: int, freelist: list[int]) -> None:
        """Let a range wait, whose entries are cleared; a full queue is flushed at once, by the caller."""
        # Order the clearing of the entries before the count of flushes that the range is queued with.
        await smp_mb()
        context = await self._kernel.context()
        queue, sim, name = self._queues[context.cpu], self._kernel.sim, self._domain.name
        async with self._kernel.spin_irqsave(queue.state.lock):
            await self._release(queue)
            tail = int(await queue.state.tail.load())
            if (tail + 1) % self._entries == await queue.state.head.load():
                await self._flush_and_release(queue)
            entry = queue.entries[tail]
            await entry.start.store(start)
            await entry.size.store(size)
            await entry.begun.store(await self._state.begun.load())
            queue.freelists[tail] = freelist
            await queue.state.tail.store((tail + 1) % self._entries)
            if self._queued:
                self._queued(FlushQueued(sim.now, context.thread, context.cpu, name, start, size))
        if not await self._state.timer_on.load() and not await self._state.timer_on.xchg(1):
            self._tell_timer(context.thread, "arming")
            await self._kernel.timers.arm(self._timer, self._timeout_ps)
            self._tell_timer(context.thread, "armed")
        if self._awaited:
            self._awaited(FlushAwaited(sim.now, context.thread, name, start))

    def _tell_timer(self, who: str, state: str) -> None:
        if self._timer_told:
            self._timer_told(FlushTimer(self._kernel.sim.now, who, self._domain.name, state, self._timer.due))

    async def _flush_and_release(self, queue: CpuFlushQueue) -> None:
        if await self._flush():
            await self._release(queue)
        else:
            await self._give_up(queue)

    async def _flush(self) -> bool:
        """Flush the domain; whether that is done. Else the flush is as if it had not begun."""
        await self._state.begun.fetch_add(1)
        sim, name = self._kernel.sim, self._domain.name
        began = sim.now
        if self._begun:
            self._begun(FlushBegun(began, name))
        if await self._driver.flush_iotlb_all(self._domain) is False:
            await self._state.begun.fetch_add(-1)
            return False
        await self._state.ended.fetch_add(1)
        if self._ended:
            self._ended(FlushEnded(sim.now, name, began))
        return True

    async def _give_up(self, queue: CpuFlushQueue) -> None:
        """Keep for good what waits, since devices may reach it still; the caller holds the queue's lock."""
        head, tail = int(await queue.state.head.load()), int(await queue.state.tail.load())
        while head != tail:
            for page in queue.freelists[head]:
                self._kernel.pages.quarantine(page, "no flush has passed it")
            queue.freelists[head] = []
            start = int(await queue.entries[head].start.load())
            if self._given_up:
                self._given_up(FlushGivenUp(self._kernel.sim.now, self._domain.name, start))
            head = (head + 1) % self._entries
        await queue.state.head.store(tail)

    async def _release(self, queue: CpuFlushQueue) -> None:
        """Give back what a flush has passed; the caller holds the queue's lock."""
        ended = await self._state.ended.load()
        head, tail = int(await queue.state.head.load()), int(await queue.state.tail.load())
        while head != tail:
            entry = queue.entries[head]
            if await entry.begun.load() >= ended:
                return
            await self._free(queue.freelists[head])
            await self._give_back(int(await entry.start.load()), int(await entry.size.load()))
            head = (head + 1) % self._entries
            await queue.state.head.store(head)

    async def _free(self, freelist: list[int]) -> None:
        while freelist:
            await self._kernel.pages.free(freelist.pop())

    async def _expired(self) -> None:
        who = (await self._kernel.context()).thread
        self._tell_timer(who, "fires")
        await self._state.timer_on.store(0)
        flushed = await self._flush()
        for queue in self._queues.values():
            async with self._kernel.spin_irqsave(queue.state.lock):
                await (self._release if flushed else self._give_up)(queue)
        self._tell_timer(who, "done")
