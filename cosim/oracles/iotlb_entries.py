"""What an IOMMU puts into its IOTLB is in a table of the domain that the entry's PSCID belongs to."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import CacheFilled, IommuProbed, KernelEnded, LeafCleared, MapBegun
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.tags import Leaf, Tags
from cosim.oracles.translations import Translations
from cosim.spec.page import PAGE_LG2, pages_of


class IotlbEntries(Oracle):
    """Judges each entry of a first stage when it is filled in.

    Its PSCID is in use: a context names it that the IOMMU has not forgotten under a fence. So a PSCID that is retired
    keeps its owner until that. The translation is live, coming or leaving in the owner (`Translations`), and not gone:
    what was flushed may not come back. Between the end of a kernel and the next one's probe nothing is judged.

    Source: "Caching in-memory data structures" (2.8): entries are tagged with what the context says, and an IOTINVAL
    that has completed leaves none. The defect C4, and walks that overtake invalidations, break it.
    """

    name = "iotlb-entries"
    watches: ClassVar = {
        CacheFilled: "filled",
        LeafCleared: "leaf_cleared",
        MapBegun: "map_begun",
        KernelEnded: "kernel_ended",
        IommuProbed: "iommu_probed",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._tags = self.book(Tags)
        self._translations = self.book(Translations)
        self._cleared: dict[tuple[str, int], tuple[Leaf, int]] = {}
        """The leaf of each page of a domain that is cleared in memory, and since when."""
        self._between = False
        """Whether a kernel has ended, and the next one has probed no IOMMU: walks of before may be under way."""

    def kernel_ended(self, event: KernelEnded) -> None:
        self._cleared.clear()
        self._between = True

    def iommu_probed(self, event: IommuProbed) -> None:
        self._between = False

    def leaf_cleared(self, event: LeafCleared) -> None:
        pages = pages_of(event.iova, event.size)
        cleared = Leaf(pages[0], pages[-1]), event.time
        for page in pages:
            self._cleared[event.domain, page] = cleared

    def map_begun(self, event: MapBegun) -> None:
        if self._cleared:
            for page in pages_of(event.iova, event.size):
                self._cleared.pop((event.domain, page), None)

    def filled(self, event: CacheFilled) -> None:
        if event.address < 0 or self._between:
            return
        gscid, pscid, lg2, number = event.tag
        if gscid >= 0 or pscid < 0:
            return
        iommu = event.who.rpartition(".")[0]
        tag = self._tags.tags.get((iommu, pscid))
        iova = number << lg2
        where = f"{iommu}'s IOTLB has {iova:#x} lead to {event.address:#x} under PSCID {pscid} at {exact(event.time)}"
        if tag is None or tag.domain is None:
            self._wrong(event, f"{where}, which is in no context", "under a PSCID that nobody owns")
            return
        translations, domain = self._translations, tag.domain
        page, lead = iova >> PAGE_LG2, event.address - iova
        if not domain:
            return
        cleared = self._cleared.get((domain, page))
        if cleared is not None and self._tags.executed((iommu, pscid), cleared[0]) >= cleared[1]:
            self._wrong(event, f"{where}, which was cleared and invalidated before", "that was invalidated before")
            return
        if translations.fit([domain], page, lead, False):
            return
        if lg2 > PAGE_LG2 and translations.any_fits(domain, range(page, page + (1 << lg2 - PAGE_LG2)), lead):
            return
        if (domain, page, lead) in translations.gone:
            self._wrong(event, f"{where}, which was unmapped from {domain}", "that is unmapped")
        else:
            self._wrong(event, f"{where}, which {domain} does not map so", "that its owner does not map")

    def _wrong(self, event: CacheFilled, message: str, kind: str) -> None:
        self.violated(message, event.time, event.time, signature=f"an entry {kind}")
