"""What software takes for flushed is flushed: unmapped pages, the contexts of devices that left, PSCIDs used again."""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar

from cosim.events import Attached, Attaching, LeafCleared, UnmapBegun, Unmapped
from cosim.oracles.flushes import Flushes
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.tags import Key, Leaf, Tag, Tags
from cosim.oracles.translations import Translations
from cosim.spec.page import PAGE_LG2, pages_of


class FlushPromises(Oracle):
    """Judges the promise, whether or not a device happens to touch anything.

    When an unmap has returned (in lazy mode: its flush), no IOMMU may hold the page under a PSCID that a device can
    use: an IOTINVAL for it was executed after the leaf was cleared in memory, and a fence behind that. When an attach
    has returned, no IOMMU may use the device's old context: likewise with IODIR.INVAL_DDT. When a PSCID comes into
    use, no IOMMU may hold under it what another domain, or a page that was unmapped meanwhile, has left there. With its
    `ddtp` Off an IOMMU refuses every request, and nothing that it holds can be used.

    An IOMMU may hold what its contexts could have reached: what was mapped while a valid context named the PSCID.

    Source: "Changing device-directory table entry", "Changing page table entry" (software guidelines of the
    specification); invariants of the driver's review, and CVE-2026-53057.
    """

    name = "flush-promises"
    watches: ClassVar = {
        UnmapBegun: "unmap_begun",
        LeafCleared: "leaf_cleared",
        Unmapped: "unmapped",
        Attaching: "attaching",
        Attached: "attached",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._translations = self.book(Translations)
        self._tags = self.book(Tags)
        self._tags.starting.append(self._starting)
        self._flushes = self.book(Flushes)
        self._begun: dict[tuple[str, int], int] = {}
        """Since when each page (of a domain) is being unmapped."""
        self._cleared: dict[tuple[str, int], tuple[Leaf, int]] = {}
        """The leaf of such a page, and since when it is cleared in memory."""
        self._late: dict[tuple[str, int], int] = {}
        """When the unmap of a page returned whose leaf was not cleared in memory by then."""
        self._attaching: dict[str, int] = {}
        self._left: defaultdict[Key, dict[Leaf, tuple[str, int]]] = defaultdict(dict)
        """What may have been left under each PSCID that is not in use: leaves, of which domain, cleared since when."""

    # --- Unmaps ------------------------------------------------------------------------------------------------------

    def unmap_begun(self, event: UnmapBegun) -> None:
        live, domain = self._translations.pages(event.domain).reads, event.domain
        for page in pages_of(event.iova, event.size):
            if page in live:
                self._begun[domain, page] = event.time
                self._late.pop((domain, page), None)

    def leaf_cleared(self, event: LeafCleared) -> None:
        begun, domain, pages = self._begun, event.domain, pages_of(event.iova, event.size)
        leaf = Leaf(pages[0], pages[-1])
        for page in pages:
            if (domain, page) in begun:
                self._cleared[domain, page] = leaf, event.time
            elif self._late and (returned := self._late.pop((domain, page), None)) is not None:
                self.violated(
                    f"an unmap of IOVA {page << PAGE_LG2:#x} in {domain} returned at {exact(returned)}, and its leaf "
                    f"is cleared in memory only at {exact(event.time)}",
                    event.time,
                    returned,
                    signature="unmap returned before its leaf was cleared in memory",
                )

    def unmapped(self, event: Unmapped) -> None:
        domain, leaves = event.domain, dict[Leaf, int]()
        for page in pages_of(event.iova, event.size):
            begun = self._begun.pop((domain, page), None)
            if begun is not None:
                cleared = self._cleared.pop((domain, page), None)
                leaf, since = (Leaf(page, page), begun) if cleared is None else cleared
                leaves[leaf] = since
                if cleared is None:
                    self._late[domain, page] = event.time
        tags = self._tags
        for key in sorted(tags.of.get(domain, ())):
            kept = {leaf: since for leaf, since in leaves.items() if tags.may_hold(key, domain, leaf, since)}
            if not kept:
                continue
            tag = tags.tags[key]
            if tag.users and tag.domain == domain and key[0] not in tags.off:
                self._kept(event, key, kept)
            else:
                self._left[key] |= {leaf: (domain, since) for leaf, since in kept.items()}

    def _kept(self, event: Unmapped, key: Key, kept: dict[Leaf, int]) -> None:
        (iommu, pscid), (leaf, since) = key, next(iter(kept.items()))
        state = self._flushes.of_pages(iommu, pscid, leaf.first, leaf.last, since, event.time)
        self.violated(
            f"an unmap of {event.size:#x} bytes at IOVA {event.iova:#x} in {event.domain} by {event.who} returned at "
            f"{exact(event.time)}, and {iommu} may hold {_leaves(len(kept))} of it under PSCID {pscid}, "
            f"which a device can use: {state} since the leaf was cleared at {exact(since)}",
            event.time,
            since,
            signature=f"unmap returned, {state}",
        )

    # --- Attaches ----------------------------------------------------------------------------------------------------

    def attaching(self, event: Attaching) -> None:
        self._attaching[event.device] = event.time

    def attached(self, event: Attached) -> None:
        began = self._attaching.pop(event.device, event.time)
        for device_id in event.device_ids:
            context = self._tags.contexts.get((event.iommu, device_id))
            if context is None or not context.old or event.iommu in self._tags.off:
                continue
            state = self._flushes.of_context(event.iommu, device_id, began, event.time)
            self.violated(
                f"an attach of {event.device} to {event.domain or 'blocked'} returned at {exact(event.time)}, and "
                f"{event.iommu} may use the old context of device {device_id}: {state}",
                event.time,
                began,
                signature=f"attach returned, context {state}",
            )

    # --- PSCIDs ------------------------------------------------------------------------------------------------------

    def _starting(self, time: int, key: Key, tag: Tag, domain: str) -> None:
        iommu, pscid = key
        where = f"PSCID {pscid} of {iommu} is in use for {domain or 'no domain'} from {exact(time)} on"
        others = [use for use in tag.uses if use.domain != domain]
        if others:
            self.violated(
                f"{where}, and what {others[-1].domain} has left there is not flushed",
                time,
                others[-1].ended,
                signature="PSCID taken over from another domain before its flush",
            )
        left = self._left.pop(key, {})
        kept = [
            (leaf, since)
            for leaf, (owner, since) in left.items()
            if owner == domain and self._tags.may_hold(key, domain, leaf, since)
        ]
        if kept:
            leaf, since = kept[0]
            self.violated(
                f"{where}, and {_leaves(len(kept))} that {domain} had there, such as that of "
                f"{leaf.first << PAGE_LG2:#x}, cleared at {exact(since)}, were unmapped meanwhile and are not flushed",
                time,
                since,
                signature="PSCID in use again before the flush of what was unmapped meanwhile",
            )


def _leaves(number: int) -> str:
    return f"{number} {'leaf' if number == 1 else 'leaves'}"
