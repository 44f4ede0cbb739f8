"""No device is refused what is mapped for it."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import Attached, Attaching, DmaDone, KernelEnded, Mapped, UnmapBegun
from cosim.oracles.oracle import Oracle, cause_name, exact, span
from cosim.spec.page import pages_of


class RefusedDma(Oracle):
    """Judges each request that the IOMMU stopped with a fault, when it is answered.

    It must not be stopped if its page was mapped, with the permission that it needs, in the domain that its device
    was in, all the time from its issue to its answer. A page *is mapped* once the stores of its map have taken hold,
    and no walk that had read before them is under way; so it is until its unmap begins. A device *is in* a domain
    likewise, from when the stores of an attach have taken hold to the beginning of the next: an attach that has
    nothing more to tell the IOMMU may return with the context's V in a store buffer, and who then tells the device
    orders that behind it.

    Source: ``iommu_map`` flushes nothing, since no cache holds what is not valid ("Caching in-memory data
    structures").
    """

    name = "refused-dma"
    watches: ClassVar = {
        Mapped: "mapped",
        UnmapBegun: "unmap_begun",
        Attaching: "attaching",
        Attached: "attached",
        DmaDone: "done",
        KernelEnded: "kernel_ended",
    }
    of_failures = True

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._mapped: dict[tuple[str, int], tuple[int, str]] = {}
        self._domain: dict[str, tuple[str, int]] = {}

    def mapped(self, event: Mapped) -> None:
        for page in pages_of(event.iova, event.size):
            self._mapped[event.domain, page] = event.time, event.prot

    def unmap_begun(self, event: UnmapBegun) -> None:
        for page in pages_of(event.iova, event.size):
            self._mapped.pop((event.domain, page), None)

    def attaching(self, event: Attaching) -> None:
        self._domain.pop(event.device, None)

    def attached(self, event: Attached) -> None:
        self._domain[event.device] = event.domain, event.time

    def kernel_ended(self, event: KernelEnded) -> None:
        self._mapped.clear()
        self._domain.clear()

    def done(self, event: DmaDone) -> None:
        if event.status != "UR" or event.who not in self._domain:
            return
        domain, entered = self._domain[event.who]
        since, came = 0, entered
        for page in pages_of(event.iova, event.size):
            mapped, prot = self._mapped.get((domain, page), (0, ""))
            if ("w" if event.write else "r") not in prot:
                return
            since, came = max(since, mapped), max(came, mapped)
        visible = came + self.bounds.store_ps + self.bounds.answer_ps
        if event.issued >= visible:
            verb = "write" if event.write else "read"
            self.violated(
                f"{event.who} (device {event.device_id}) was refused a {verb} of IOVA "
                f"{event.iova:#x} at {exact(event.time)}, {span(event.time - since)} after it was mapped in {domain}",
                event.time,
                since,
                signature=f"{verb} of a mapped page, {cause_name(event.cause)}",
            )
