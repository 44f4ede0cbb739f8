"""Which unmapped buffers a device tried to reach afterwards: what a run could have shown, whatever it did show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from cosim.events import Attached, DmaCommitted, DmaDone, KernelEnded, MapBegun, Mapped, UnmapBegun, Unmapped
from cosim.oracles.oracle import Listener
from cosim.spec.page import PAGE_LG2, pages_of


class TouchedAfterwards(Listener):
    """Counts unmapped buffers, and those of them that a device touched afterwards. It judges nothing.

    A buffer is one unmap of what was mapped; it counts when the promise of its unmap begins (at its return, or, if
    the domain is lazy, at its flush). It is *touched* by a request that a device of its domain issues, or that is
    translated, from then on, if the request is for one of the buffer's pages and that page does not lead to the
    buffer's memory again: a translation that had outlived the unmap would have answered it, and `StaleDma` seen it.
    Whether the IOMMU refuses the request does not matter.
    """

    watches: ClassVar = {
        MapBegun: "map_begun",
        Mapped: "mapped",
        UnmapBegun: "unmap_begun",
        Unmapped: "unmapped",
        Attached: "attached",
        DmaCommitted: "committed",
        DmaDone: "done",
        KernelEnded: "kernel_ended",
    }
    of_failures = True

    def __init__(self) -> None:
        self._live: dict[tuple[str, int], int] = {}
        self._gone: dict[tuple[str, int], dict[int, tuple[int, int]]] = {}
        """For each page: the frames that it led to, each with the time from which on it must not, and its buffer."""
        self._domain: dict[str, str] = {}
        self._waiting: set[tuple[str, int]] = set()
        self._touched: set[int] = set()
        self._unmapped = 0

    def counts(self) -> dict[str, int]:
        """`unmapped` buffers, how many of them were `touched`, and how many unmaps are `unflushed` at the end."""
        return {"unmapped": self._unmapped, "touched": len(self._touched), "unflushed": len(self._waiting)}

    def kernel_ended(self, event: KernelEnded) -> None:
        for known in (self._live, self._gone, self._domain, self._waiting):
            known.clear()

    def map_begun(self, event: MapBegun) -> None:
        for page, frame in _leads(event):
            if gone := self._gone.get((event.domain, page)):
                gone.pop(frame, None)

    def mapped(self, event: Mapped) -> None:
        for page, frame in _leads(event):
            self._live[event.domain, page] = frame

    def unmap_begun(self, event: UnmapBegun) -> None:
        if any((event.domain, page) in self._live for page in pages_of(event.iova, event.size)):
            self._waiting.add((event.domain, event.iova))

    def unmapped(self, event: Unmapped) -> None:
        self._waiting.discard((event.domain, event.iova))
        buffer = self._unmapped
        for page in pages_of(event.iova, event.size):
            frame = self._live.pop((event.domain, page), None)
            if frame is not None:
                self._unmapped = buffer + 1
                self._gone.setdefault((event.domain, page), {})[frame] = event.time, buffer

    def attached(self, event: Attached) -> None:
        self._domain[event.device] = event.domain

    def committed(self, event: DmaCommitted) -> bool:
        return not self._touch(event.who, event.iova, event.translated)

    def done(self, event: DmaDone) -> None:
        if event.status == "UR":
            self._touch(event.who, event.iova, event.issued + event.parts.get("slot", 0))

    def _touch(self, who: str, iova: int, time: int) -> bool:
        """A request reaches for a page; whether something was unmapped there."""
        gone = self._gone.get((self._domain.get(who, ""), iova >> PAGE_LG2))
        if gone:
            for frame, (since, buffer) in list(gone.items()):
                if time >= since:
                    self._touched.add(buffer)
                    del gone[frame]
        return bool(gone)


def _leads(event: MapBegun | Mapped) -> Iterator[tuple[int, int]]:
    """Each page of a mapping with the frame that it leads to."""
    return zip(pages_of(event.iova, event.size), pages_of(event.address, event.size), strict=True)
