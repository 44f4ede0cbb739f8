"""No IOVA of a domain is given out while it is in use, and each is given back that is not."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from cosim.events import (
    CallBegun,
    CallDone,
    DomainMade,
    FlushTimer,
    IovaFreed,
    KernelEnded,
    MapBegun,
    UnmapFailed,
    Unmapped,
)
from cosim.oracles.oracle import UNMAPPING, Oracle, exact
from cosim.oracles.ranges import overlapped


class _Range(NamedTuple):
    """From `start` to `end` (exclusive), mapped since `time` by `who`."""

    start: int
    end: int
    time: int
    who: str


class IovaRanges(Oracle):
    """Reports each map whose range of IOVAs overlaps one that the same domain has in use.

    A range is in use from the beginning of its map until its unmap has returned, or, where unmaps wait for a common
    flush, until that is done. Two ranges overlap if the allocator gives one out twice: of itself, or since it was
    freed twice.

    Reports each range that is given back while it is in use, since it may be given out then; and each that a map, an
    unmap or the flush of a queue has taken out of use and not given back when it returns. Whoever was told that a flush
    has failed keeps its IOVAs for good, and is not judged.

    Source: alloc_iova and free_iova (drivers/iommu/iova.c); "IOVA" in __iommu_dma_unmap (drivers/iommu/dma-iommu.c),
    which frees whatever it is given.
    """

    name = "iova-ranges"
    watches: ClassVar = {
        DomainMade: "made",
        MapBegun: "map_begun",
        Unmapped: "unmapped",
        UnmapFailed: "unmap_failed",
        IovaFreed: "freed",
        CallBegun: "call_begun",
        CallDone: "call_done",
        FlushTimer: "flush_timer",
        KernelEnded: "kernel_ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._used: dict[str, list[_Range]] = {}
        """The ranges in use of each domain, which ascend and do not overlap."""
        self._unused: dict[str, list[Unmapped]] = {}
        """What each thread has taken out of use, and not given back, in the call that it makes."""
        self._keeps: set[str] = set()
        """The threads that were told of a failed flush in there."""

    def kernel_ended(self, event: KernelEnded) -> None:
        self._used.clear()
        self._unused.clear()
        self._keeps.clear()

    def made(self, event: DomainMade) -> None:
        self._used.pop(event.domain, None)

    def map_begun(self, event: MapBegun) -> None:
        new = _Range(event.iova, event.iova + event.size, event.time, event.who)
        used = self._used.setdefault(event.domain, [])
        first, last = overlapped(used, new.start, new.end)
        for old in used[first:last]:
            same = (old.start, old.end) == (new.start, new.end)
            self.violated(
                f"{new.who} maps {new.start:#x} .. {new.end - 1:#x} of {event.domain} at {exact(new.time)}, of which "
                f"{old.start:#x} .. {old.end - 1:#x} is in use since {exact(old.time)} by {old.who}",
                new.time,
                old.time,
                signature="a range is given out twice" if same else "ranges overlap",
            )
        used[first:last] = [new]

    def unmapped(self, event: Unmapped) -> None:
        start, end = event.iova, event.iova + event.size
        used = self._used.get(event.domain, [])
        first, last = overlapped(used, start, end)
        left = []
        for old in used[first:last]:
            if old.start < start:
                left.append(old._replace(end=start))
            if old.end > end:
                left.append(old._replace(start=end))
        used[first:last] = left
        self._unused.setdefault(event.who, []).append(event)

    # --- Giving back -------------------------------------------------------------------------------------------------

    def unmap_failed(self, event: UnmapFailed) -> None:
        self._keeps.add(event.who)

    def freed(self, event: IovaFreed) -> None:
        start, end = event.iova, event.iova + event.size
        used = self._used.get(event.domain, [])
        first, last = overlapped(used, start, end)
        for old in used[first:last]:
            self.violated(
                f"{event.who} gives back {start:#x} .. {end - 1:#x} of {event.domain} at {exact(event.time)}, of which "
                f"{old.start:#x} .. {old.end - 1:#x} is in use since {exact(old.time)} by {old.who}",
                event.time,
                old.time,
                signature="a range is given back that is in use",
            )
        unused = self._unused.get(event.who, [])
        unused[:] = [
            each for each in unused if each.domain != event.domain or each.iova < start or each.iova + each.size > end
        ]

    def call_begun(self, event: CallBegun) -> None:
        if event.call in UNMAPPING:
            self._begin(event.who)

    def call_done(self, event: CallDone) -> None:
        if event.call in UNMAPPING:
            self._end(event.who, event.call, event.time)

    def flush_timer(self, event: FlushTimer) -> None:
        if event.state == "fires":
            self._begin(event.who)
        elif event.state == "done":
            self._end(event.who, "flush", event.time)

    def _begin(self, who: str) -> None:
        self._unused.pop(who, None)
        self._keeps.discard(who)

    def _end(self, who: str, call: str, now: int) -> None:
        for left in self._unused.pop(who, ()) if who not in self._keeps else ():
            self.violated(
                f"{left.size:#x} bytes at {left.iova:#x} of {left.domain} are out of use since {exact(left.time)}, and "
                f"not given back at {exact(now)}, when the {call} of {who} has returned",
                now,
                left.time,
                signature="a range is not given back",
            )
