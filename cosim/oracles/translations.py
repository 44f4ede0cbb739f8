"""Which translations software has promised to devices: what is mapped in which domain, and who is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from cosim.events import (
    Attached,
    Attaching,
    DmaCommitted,
    IommuProbed,
    KernelEnded,
    MapBegun,
    Mapped,
    UnmapBegun,
    Unmapped,
)
from cosim.oracles.oracle import Book, of_before
from cosim.spec.page import pages_of

IDENTITY = "identity"
"""The domain in which every page leads to itself."""


class _Identity(dict[int, int]):
    """Where every page leads to itself."""

    def get(self, page: int, default: object = None) -> int:
        return 0


class Pages(NamedTuple):
    """Where the pages of a domain lead: how far above its IOVA, for reads and for writes.

    A leaf that can be written can be read as well ("Sv39: Page-Based 39-bit Virtual-Memory System": W without R is
    reserved).
    """

    reads: dict[int, int]
    writes: dict[int, int]

    def put(self, page: int, lead: int, prot: str) -> None:
        """The page leads `lead` above its IOVA, for `prot` (rw)."""
        self.reads[page] = lead
        if "w" in prot:
            self.writes[page] = lead
        else:
            self.writes.pop(page, None)

    def pop(self, page: int) -> int | None:
        """The page leads nowhere; where it did."""
        self.writes.pop(page, None)
        return self.reads.pop(page, None)


class Gone(NamedTuple):
    """Why a translation must not be used any more: its page was unmapped from `domain`, or its device detached.

    That may also have been by the end of its kernel, which begins when it returns.
    """

    domain: str
    unmapped: bool
    began: int
    """When the unmap or the attach had begun."""
    since: int
    """When it had returned."""
    with_kernel: bool = False


class Translations(Book):
    """A translation is (domain, page, lead): the page's physical address is so much above its IOVA.

    It is *coming* from the beginning of its map, *live* from its return, and so it stays until its unmap has returned
    (in lazy mode: its flush); from then on it is *gone*, until a map that leads there again has begun. From the
    beginning of an attach to its return a device may be in either domain. At the end of a kernel all devices leave
    their domains, and those go; what was mapped in them leads nowhere for the next kernel.
    """

    watches: ClassVar = {
        MapBegun: "map_begun",
        Mapped: "mapped",
        UnmapBegun: "unmap_begun",
        Unmapped: "unmapped",
        Attaching: "attaching",
        Attached: "attached",
        KernelEnded: "kernel_ended",
        IommuProbed: "iommu_probed",
    }

    def __init__(self) -> None:
        self.ended = -1
        """When the last kernel ended; -1 if none has."""
        self._probed: dict[str, int] = {}
        """When the present kernel has probed each IOMMU."""
        self.live: dict[str, Pages] = {IDENTITY: Pages(_Identity(), _Identity())}
        self.coming: dict[str, Pages] = {}
        self.spaces: dict[str, Sequence[Pages]] = {}
        """The pages of the domains in which each device may be now."""
        self.gone: dict[tuple[str, int, int], tuple[int, int]] = {}
        self._unmapping: dict[tuple[str, int], int] = {}
        self._domain: dict[str, str] = {}
        self._entering: dict[str, tuple[str, int]] = {}
        self._left: dict[str, dict[str, tuple[int, int]]] = {}

    # --- What software tells -----------------------------------------------------------------------------------------

    def map_begun(self, event: MapBegun) -> None:
        lead = event.address - event.iova
        pages = self.coming.setdefault(event.domain, Pages({}, {}))
        for page in pages_of(event.iova, event.size):
            pages.put(page, lead, event.prot)

    def mapped(self, event: Mapped) -> None:
        domain, lead = event.domain, event.address - event.iova
        live, coming, gone = self.pages(domain), self.coming.get(domain), self.gone
        for page in pages_of(event.iova, event.size):
            if coming is not None:
                coming.pop(page)
            live.put(page, lead, event.prot)
            gone.pop((domain, page, lead), None)

    def unmap_begun(self, event: UnmapBegun) -> None:
        for page in pages_of(event.iova, event.size):
            self._unmapping[event.domain, page] = event.time

    def unmapped(self, event: Unmapped) -> None:
        domain, live, coming = event.domain, self.pages(event.domain), self.coming.get(event.domain)
        for page in pages_of(event.iova, event.size):
            began = self._unmapping.pop((domain, page), event.time)
            new = None if coming is None else coming.pop(page)
            lead = live.pop(page)
            if lead is None:
                lead = new
            if lead is not None:
                self.gone[domain, page, lead] = began, event.time

    def attaching(self, event: Attaching) -> None:
        self._entering[event.device] = event.domain, event.time
        self._left.setdefault(event.device, {}).pop(event.domain, None)
        self._reach(event.device)

    def attached(self, event: Attached) -> None:
        device, left = event.device, self._left.setdefault(event.device, {})
        entering, began = self._entering.pop(device, ("", event.time))
        for before in (self._domain.get(device, ""), entering):
            if before:
                left[before] = began, event.time
        left.pop(event.domain, None)
        self._domain[device] = event.domain
        self._reach(device)

    def kernel_ended(self, event: KernelEnded) -> None:
        self.ended = event.time
        self._probed.clear()
        for device, left in self._left.items():
            left |= {domain: (event.time, event.time) for domain in self.domains(device) if domain}
            self._left[device] = {of_before(domain): times for domain, times in left.items()}
        self.live = {of_before(domain): pages for domain, pages in self.live.items()}
        self.live[IDENTITY] = Pages(_Identity(), _Identity())
        self.gone = {(of_before(domain), page, lead): times for (domain, page, lead), times in self.gone.items()}
        for known in (self.coming, self.spaces, self._unmapping, self._domain, self._entering):
            known.clear()

    def iommu_probed(self, event: IommuProbed) -> None:
        self._probed[event.who] = event.time

    def pages(self, domain: str) -> Pages:
        """Where the pages of a domain lead; of a domain without a name none does."""
        return self.live.setdefault(domain, Pages({}, {}))

    def _reach(self, device: str) -> None:
        self.spaces[device] = tuple([self.pages(domain) for domain in self.domains(device)])

    # --- What can be asked -------------------------------------------------------------------------------------------

    def domains(self, device: str) -> list[str]:
        """The domains in which a device may be now; an empty name is none."""
        domains = [self._domain.get(device, "")]
        if device in self._entering:
            domains.append(self._entering[device][0])
        return domains

    def fit(self, domains: Sequence[str], page: int, lead: int, write: bool) -> bool:
        """Whether a live or coming translation of one of `domains` leads there, with the permission."""
        return any(
            found[domain][write].get(page) == lead
            for domain in domains
            for found in (self.live, self.coming)
            if domain in found
        )

    def any_fits(self, domain: str, pages: range, lead: int) -> bool:
        """Whether a live or coming translation of one page of a range leads there.

        The shorter is gone through, range or mappings: a root table's entry stands for 2**27 pages, few of them mapped.
        """
        found = [mapped[domain].reads for mapped in (self.live, self.coming) if domain in mapped]
        return any(
            reads.get(page) == lead
            for reads in found
            for page in (pages if len(pages) <= len(reads) else [page for page in reads if page in pages])
        )

    def spares(self, event: DmaCommitted) -> bool:
        """Whether an access of a device that is in no domain is nobody's fault.

        It was issued before the end of the last kernel, or it reaches what it names, and no IOMMU refused it that was
        probed by then.
        """
        if event.issued < self.ended:
            return True
        return event.address == event.iova and event.translated < self._probed.get(event.through, event.time + 1)

    def spares_alike(self, event: DmaCommitted) -> bool:
        """Whether what it spares says the same of each access that is alike and comes later."""
        return event.issued >= self.ended and event.through not in self._probed

    def why_gone(self, device: str, page: int, lead: int) -> Gone | None:
        """Why a translation must not be used any more that a device could have used before."""
        for domain in self.domains(device):
            times = self.gone.get((domain, page, lead))
            if times is not None:
                return Gone(domain, True, *times)
        for domain, times in self._left.get(device, {}).items():
            if self.live[domain].reads.get(page) == lead or (domain, page, lead) in self.gone:
                return Gone(domain, False, *times, with_kernel=times[1] == self.ended)
        return None
