"""No IOVA of a domain is given out while it is in use."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from cosim.events import DomainMade, KernelEnded, MapBegun, Unmapped
from cosim.oracles.oracle import Oracle, exact
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

    Source: alloc_iova and free_iova (drivers/iommu/iova.c); "IOVA" in __iommu_dma_unmap (drivers/iommu/dma-iommu.c),
    which frees whatever it is given.
    """

    name = "iova-ranges"
    watches: ClassVar = {
        DomainMade: "made",
        MapBegun: "map_begun",
        Unmapped: "unmapped",
        KernelEnded: "kernel_ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._used: dict[str, list[_Range]] = {}
        """The ranges in use of each domain, which ascend and do not overlap."""

    def kernel_ended(self, event: KernelEnded) -> None:
        self._used.clear()

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
