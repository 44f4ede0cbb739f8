"""A leaf with G is flushed for all PSCIDs: what names one of them forgets no such leaf."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import KernelEnded, TableSeen, Unmapped
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.tags import Leaf, Tags
from cosim.spec.page import PAGE_LG2, pages_of


class GlobalLeaves(Oracle):
    """Judges each unmap of a leaf with G when it returns, where a device can use the page: whether an IOTINVAL.VMA with
    PSCV=0, and a fence behind it, was executed since it began.

    What was not flushed at all is reported by `flush-promises`.

    Source: table of IOTINVAL.VMA ("IOMMU Page-Table cache invalidation commands"): with PSCV=1 "entries that contain
    global mappings" stay.
    """

    name = "global-leaves"
    watches: ClassVar = {TableSeen: "seen", Unmapped: "unmapped", KernelEnded: "kernel_ended"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._tags = self.book(Tags)
        self._leaves: dict[tuple[str, int], tuple[Leaf, int]] = {}
        """By domain and page the leaves with G of what is being unmapped, and since when it is."""

    def kernel_ended(self, event: KernelEnded) -> None:
        self._leaves.clear()

    def seen(self, event: TableSeen) -> None:
        for leaf in event.leaves:
            if leaf.everywhere:
                pages = pages_of(leaf.iova, leaf.size)
                for page in pages:
                    self._leaves[event.domain, page] = Leaf(pages[0], pages[-1]), event.time

    def unmapped(self, event: Unmapped) -> None:
        if not self._leaves:
            return
        leaves = {self._leaves.pop((event.domain, page), None): None for page in pages_of(event.iova, event.size)}
        for found in leaves:
            if found is not None and (iommu := self._kept(event.domain, *found)):
                self.violated(
                    f"an unmap of {event.size:#x} bytes at IOVA {event.iova:#x} in {event.domain} by {event.who} "
                    f"returned at {exact(event.time)}, and {iommu} may hold the leaf of "
                    f"{found[0].first << PAGE_LG2:#x}, which has G: no invalidation was for all PSCIDs",
                    event.time,
                    found[1],
                    signature="unmap returned, a leaf with G is flushed for one PSCID alone",
                )
                return

    def _kept(self, domain: str, leaf: Leaf, since: int) -> str:
        """An IOMMU that was told to forget a leaf for a PSCID that a device can use, and not for all; else empty."""
        tags = self._tags
        for key in sorted(tags.of.get(domain, ())):
            holder, nobodys = tags.tags[key].holder(domain), (key[0], -1)
            used = holder is not None and holder.since < since and key[0] not in tags.off
            if used and tags.flushed(key, leaf) >= since > tags.flushed(nobodys, leaf):
                return key[0]
        return ""
