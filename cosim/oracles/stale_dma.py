"""No device reaches memory through a translation whose unmap, or whose domain's detach, has returned."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import DmaCommitted
from cosim.oracles.flushes import Flushes
from cosim.oracles.oracle import Oracle, exact, of_before, span
from cosim.oracles.translations import Translations
from cosim.spec.pagetable import PAGE_LG2


class StaleDma(Oracle):
    """Judges each DMA when its access is committed; what is still untranslated then must fault, and that is right.

    It reports what is gone (`Translations`) for the device: by an unmap that has returned (in lazy mode: whose flush
    has ended), or by an attach that has. The signature says what the device's IOMMU was told until then, since that
    unmap or attach had begun: nothing of the page, or of the device's context; or to forget it, which it had executed
    or not, with or without a fence that was executed after that. The end of a kernel is the detach of all devices: what
    they reach by what it had mapped is told with what the IOMMU was told of the context since.

    Source: driver-side promise of ``iommu_unmap`` with ``iommu_iotlb_sync`` (strict mode).
    """

    name = "stale-dma"
    watches: ClassVar = {DmaCommitted: "committed"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._flushes = self.book(Flushes)
        self._translations = self.book(Translations)
        self._spaces = self._translations.spaces

    def committed(self, event: DmaCommitted) -> bool:
        page, lead = event.iova >> PAGE_LG2, event.address - event.iova
        for pages in self._spaces.get(event.who, ()):
            if pages.reads.get(page) == lead:
                return True
        translations, device = self._translations, event.who
        if device not in self._spaces and translations.spares(event):
            return translations.spares_alike(event)
        if translations.fit(translations.domains(device), page, lead, False):
            return False
        gone = translations.why_gone(device, page, lead)
        if gone is None:
            return False
        verb = "wrote" if event.write else "read"
        flushes, place = self._flushes, (event.through, event.device_id)
        if gone.unmapped:
            what = f"its unmap from {gone.domain} returned"
            kind = f"page unmapped, {flushes.of_page(*place, page, gone.began, gone.since)}"
        elif gone.with_kernel:
            what = f"the end of the kernel that had it in {gone.domain.removesuffix(of_before(''))}"
            kind = f"kernel ended, context {flushes.of_context(*place, gone.since, event.time)}"
        else:
            what = f"it was detached from {gone.domain}"
            kind = f"device detached, {flushes.of_context(*place, gone.began, gone.since)}"
        self.violated(
            f"{device} (device {event.device_id}) {verb} {event.address:#x} by IOVA {event.iova:#x} "
            f"at {exact(event.time)}, {span(event.time - gone.since)} after {what}",
            event.time,
            gone.since,
            signature=f"{'write' if event.write else 'read'}, {kind}",
        )
        return False
