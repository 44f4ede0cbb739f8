"""No device reaches memory through a translation whose unmap, or whose domain's detach, has returned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from cosim.events import Attached, Attaching, DmaCommitted, MapBegun, Mapped, Unmapped
from cosim.oracles.oracle import Oracle, exact, span
from cosim.spec.pagetable import PAGE_LG2


class StaleDma(Oracle):
    """Judges each DMA when its access is committed; what is still untranslated then must fault, and that is right.

    A translation is named by (domain, IOVA page, physical page). It is *live* from the return of its map, *gone*
    from the return of its unmap. What a map still under way makes visible is live as well, also if it was gone
    before. From the beginning of an attach to its return a device may be in either domain.

    Source: driver-side promise of ``iommu_unmap`` with ``iommu_iotlb_sync`` (strict mode).
    """

    name = "stale-dma"
    watches: ClassVar = {
        MapBegun: "begun",
        Mapped: "mapped",
        Unmapped: "unmapped",
        Attaching: "attaching",
        Attached: "attached",
        DmaCommitted: "committed",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._live: dict[tuple[str, int], int] = {}
        self._coming: dict[tuple[str, int], int] = {}
        self._gone: dict[tuple[str, int, int], int] = {}
        self._domain: dict[str, str] = {}
        self._entering: dict[str, str] = {}
        self._left: dict[str, dict[str, int]] = {}

    def begun(self, event: MapBegun) -> None:
        for page, frame in _leads(event):
            self._coming[event.domain, page] = frame

    def mapped(self, event: Mapped) -> None:
        for page, frame in _leads(event):
            self._coming.pop((event.domain, page), None)
            self._live[event.domain, page] = frame
            self._gone.pop((event.domain, page, frame), None)

    def unmapped(self, event: Unmapped) -> None:
        first = event.iova >> PAGE_LG2
        for page in range(first, first + _pages(event.iova, event.size)):
            frame = self._live.pop((event.domain, page), self._coming.pop((event.domain, page), None))
            if frame is not None:
                self._gone[event.domain, page, frame] = event.time

    def attaching(self, event: Attaching) -> None:
        self._entering[event.device] = event.domain
        self._left.setdefault(event.device, {}).pop(event.domain, None)

    def attached(self, event: Attached) -> None:
        left = self._left.setdefault(event.device, {})
        for before in (self._domain.get(event.device, ""), self._entering.pop(event.device, "")):
            if before != event.domain:
                left[before] = event.time
        left.pop(event.domain, None)
        self._domain[event.device] = event.domain

    def committed(self, event: DmaCommitted) -> None:
        page, frame = event.iova >> PAGE_LG2, event.address >> PAGE_LG2
        domains = [self._domain.get(event.who, "")]
        if event.who in self._entering:
            domains.append(self._entering[event.who])
        if any(frame in (self._live.get((domain, page)), self._coming.get((domain, page))) for domain in domains):
            return
        for domain in domains:
            since = self._gone.get((domain, page, frame))
            if since is not None:
                self._stale(event, since, f"its unmap from {domain} returned", "page unmapped")
                return
        for old, left in self._left.get(event.who, {}).items():
            if self._live.get((old, page)) == frame or (old, page, frame) in self._gone:
                self._stale(event, left, f"it was detached from {old}", "device detached")
                return

    def _stale(self, event: DmaCommitted, since: int, what: str, kind: str) -> None:
        verb = "wrote" if event.write else "read"
        self.violated(
            f"{event.who} (device {event.device_id}) {verb} {event.address:#x} by IOVA {event.iova:#x} "
            f"at {exact(event.time)}, {span(event.time - since)} after {what}",
            event.time,
            since,
            signature=f"{'write' if event.write else 'read'}, {kind}",
        )


def _leads(event: MapBegun | Mapped) -> Iterator[tuple[int, int]]:
    """Each page of a mapping with the frame that it leads to."""
    first, frame = event.iova >> PAGE_LG2, event.address >> PAGE_LG2
    return ((first + index, frame + index) for index in range(_pages(event.iova, event.size)))


def _pages(iova: int, size: int) -> int:
    return ((iova + size - 1) >> PAGE_LG2) - (iova >> PAGE_LG2) + 1
