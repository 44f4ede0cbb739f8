"""What software takes for flushed is flushed: unmapped pages, freed tables, left contexts, PSCIDs used again."""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar

from cosim.events import (
    Attached,
    Attaching,
    ContextChanged,
    DomainMade,
    IommuProbed,
    KernelEnded,
    LeafCleared,
    PageFreed,
    TableFreed,
    UnmapBegun,
    UnmapFailed,
    Unmapped,
)
from cosim.oracles.flushes import Flushes
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.tags import Key, Leaf, Tag, Tags
from cosim.oracles.translations import Translations
from cosim.spec.page import PAGE_LG2, pages_of


class FlushPromises(Oracle):
    """Judges the promise, whether or not a device happens to touch anything.

    When an unmap has returned (in lazy mode: its flush), no IOMMU may hold the page under a PSCID that a device can
    use: an IOTINVAL for it was executed after the leaf was cleared in memory, and a fence behind that. So it is with a
    map that has failed, and each leaf that it has cleared again. When an attach (or a release, which leaves the device
    blocked) has returned, no IOMMU may use the device's old context, be it Bare: it is not valid in memory any
    more, and an IODIR.INVAL_DDT and a fence were executed since. When a PSCID comes into use, no IOMMU may hold under
    it what another domain, or a page that was unmapped meanwhile, has left there; while it is in use for one domain, no
    context names it with the table of another. With its `ddtp` Off an IOMMU refuses every request, and nothing that it
    holds can be used.

    When the flush of an unmap has failed, by what the driver says, nobody frees what was mapped while an IOMMU may hold
    the page under a PSCID that a device can use: it is in quarantine, where a caller may free it in vain.

    When a page of a page table is freed, no IOMMU may hold the way to it under a PSCID that a device can use: no entry
    leads there in memory any more, and an IOTINVAL that forgets more than leaves was executed since, and a fence behind
    that. Such is one of the whole PSCID, or one with NL that names an address of the table.

    An IOMMU may hold what its contexts could have reached: what was mapped while a valid context named the PSCID. All
    of a PSCID is flushed by an IOTINVAL without an address, or by ranges with NL that together are all addresses. A
    domain that is made when another one of its name was freed is not that one.

    When a probe has returned, its IOMMU may hold no context and nothing under any PSCID that is of the kernel before:
    since that ended, an IODIR.INVAL_DDT and an IOTINVAL of all, and a fence behind them, were executed.

    Source: "Changing device-directory table entry", "Changing page table entry", "Guidelines for initialization"
    (software guidelines of the specification); invariants of the driver's review, and CVE-2026-53057.
    """

    name = "flush-promises"
    watches: ClassVar = {
        UnmapBegun: "unmap_begun",
        LeafCleared: "leaf_cleared",
        Unmapped: "unmapped",
        UnmapFailed: "unmap_failed",
        PageFreed: "page_freed",
        TableFreed: "table_freed",
        DomainMade: "domain_made",
        Attaching: "attaching",
        Attached: "attached",
        ContextChanged: "context_changed",
        KernelEnded: "kernel_ended",
        IommuProbed: "iommu_probed",
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
        self._doubtful: dict[int, list[tuple[str, int, UnmapFailed]]] = {}
        """For each frame the domains and pages that led there until an unmap of theirs failed, and that unmap."""
        self._attaching: dict[str, tuple[int, dict[int, int]]] = {}
        """Since when each device is being attached, and the tables of its valid contexts then."""
        self._inside: dict[str, str] = {}
        self._shared: set[tuple[Key, int, int]] = set()
        """Each pair of domains, since when they have the PSCID, of which it has been told."""
        self._left: defaultdict[Key, dict[Leaf, tuple[str, int]]] = defaultdict(dict)
        """What may have been left under each PSCID that is not in use: leaves, of which domain, cleared since when."""
        self._left_ways: defaultdict[Key, dict[Leaf, tuple[str, int]]] = defaultdict(dict)
        """The same of ways to tables that are freed."""

    # --- Unmaps ------------------------------------------------------------------------------------------------------

    def unmap_begun(self, event: UnmapBegun) -> None:
        live, domain = self._translations.pages(event.domain).reads, event.domain
        for page in pages_of(event.iova, event.size):
            if page in live:
                self._begun[domain, page] = event.time
                self._late.pop((domain, page), None)
                self._cleared.pop((domain, page), None)

    def leaf_cleared(self, event: LeafCleared) -> None:
        begun, domain, pages = self._begun, event.domain, pages_of(event.iova, event.size)
        leaf, coming = Leaf(pages[0], pages[-1]), self._translations.coming.get(domain)
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
            elif coming is not None and page in coming.reads:
                self._cleared[domain, page] = leaf, event.time

    def unmapped(self, event: Unmapped) -> None:
        domain, leaves, unseen, what = event.domain, dict[Leaf, int](), set[Leaf](), "an unmap"
        for page in pages_of(event.iova, event.size):
            begun = self._begun.pop((domain, page), None)
            cleared = self._cleared.pop((domain, page), None)
            if begun is None and cleared is not None:  # by a map that has failed
                leaves[cleared[0]], what = cleared[1], "a failed map"
            elif begun is not None:
                leaf, since = (Leaf(page, page), begun) if cleared is None else cleared
                leaves[leaf] = since
                if cleared is None:
                    self._late[domain, page] = event.time
                    unseen.add(leaf)
        tags = self._tags
        for key in sorted(tags.of.get(domain, ())):
            kept = {leaf: since for leaf, since in leaves.items() if tags.may_hold(key, domain, leaf, since)}
            if not kept:
                continue
            tag = tags.tags[key]
            if tag.holder(domain) is not None and key[0] not in tags.off:
                self._kept(event, what, key, kept, unseen)
            else:
                self._left[key] |= {leaf: (domain, since) for leaf, since in kept.items()}

    def unmap_failed(self, event: UnmapFailed) -> None:
        domain, reads = event.domain, self._translations.pages(event.domain).reads
        for page in pages_of(event.iova, event.size):
            if (domain, page) in self._begun:
                frame = (page << PAGE_LG2) + reads[page] >> PAGE_LG2
                self._doubtful.setdefault(frame, []).append((domain, page, event))

    def page_freed(self, event: PageFreed) -> None:
        if not self._doubtful:
            return
        told: set[str] = set()
        for frame in pages_of(event.address, event.size):
            for domain, page, failed in self._doubtful.pop(frame, ()):
                if (domain, page) in self._begun and domain not in told and self._is_held(event, frame, page, failed):
                    told.add(domain)

    def _is_held(self, event: PageFreed, frame: int, page: int, failed: UnmapFailed) -> bool:
        """Whether an IOMMU may hold the page of a frame that is freed, which is told."""
        tags, domain = self._tags, failed.domain
        leaf, since = self._cleared.get((domain, page), (Leaf(page, page), self._begun[domain, page]))
        keys = tags.of.get(domain, ())
        for key in sorted(key for key in keys if tags.may_hold(key, domain, leaf, since)):
            iommu, pscid = key
            if tags.tags[key].holder(domain) is None or iommu in tags.off:
                continue
            state = self._flushes.of_pages(iommu, pscid, *leaf, since, event.time)
            self.violated(
                f"{event.who} freed {frame << PAGE_LG2:#x} at {exact(event.time)}, to which IOVA "
                f"{page << PAGE_LG2:#x} in {domain} led, and {iommu} may hold that under PSCID {pscid}, which a device "
                f"can use: {state} since {exact(since)}; the unmap by {failed.who} said at {exact(failed.time)} that "
                f"its flush had failed, and the page is not in quarantine",
                event.time,
                since,
                signature=f"page freed whose flush has failed, {state}",
            )
            return True
        return False

    def _kept(self, event: Unmapped, what: str, key: Key, kept: dict[Leaf, int], unseen: set[Leaf]) -> None:
        (iommu, pscid), (leaf, since) = key, next(iter(kept.items()))
        state = self._flushes.of_pages(iommu, pscid, leaf.first, leaf.last, since, event.time)
        past = "the unmap began, which was not seen to clear its leaf," if leaf in unseen else "the leaf was cleared"
        self.violated(
            f"{what} of {event.size:#x} bytes at IOVA {event.iova:#x} in {event.domain} by {event.who} returned at "
            f"{exact(event.time)}, and {iommu} may hold {_leaves(len(kept))} of it under PSCID {pscid}, "
            f"which a device can use: {state} since {past} at {exact(since)}",
            event.time,
            since,
            signature=f"{what.partition(' ')[2]} returned, {state}",
        )

    # --- Tables ------------------------------------------------------------------------------------------------------

    def table_freed(self, event: TableFreed) -> None:
        tags, domain = self._tags, self._tags.roots.get(event.root >> PAGE_LG2, "")
        first, since = event.iova >> PAGE_LG2, event.unlinked if event.unlinked >= 0 else event.time
        span = Leaf(first, first + (event.size >> PAGE_LG2) - 1)
        keys = sorted(tags.of.get(domain, ()))
        for key in [key for key in keys if tags.may_hold(key, domain, span, since, table=True)]:
            if tags.tags[key].holder(domain) is None or key[0] in tags.off:
                self._left_ways[key][span] = domain, since
                continue
            (iommu, pscid), state = key, "still linked"
            why = "it is still linked"
            if event.unlinked >= 0:
                state = self._flushes.of_tables(iommu, pscid, *span, since, event.time)
                why = f"{state} since nothing leads there, at {exact(since)}"
            self.violated(
                f"the table at {event.address:#x} of {domain or 'no domain'}, for {event.size:#x} bytes at IOVA "
                f"{event.iova:#x}, was freed by {event.who} at {exact(event.time)}, and {iommu} may hold the way to it "
                f"under PSCID {pscid}, which a device can use: {why}",
                event.time,
                since,
                signature=f"table freed, {state}",
            )

    # --- Attaches ----------------------------------------------------------------------------------------------------

    def attaching(self, event: Attaching) -> None:
        contexts = {device_id: self._tags.contexts.get((event.iommu, device_id)) for device_id in event.device_ids}
        names = {device_id: context.names for device_id, context in contexts.items() if context is not None}
        self._attaching[event.device] = event.time, {each: name[1] for each, name in names.items() if name is not None}

    def attached(self, event: Attached) -> None:
        began, tables = self._attaching.pop(event.device, (event.time, {}))
        moved = self._inside.get(event.device, event.domain) != event.domain
        self._inside[event.device] = event.domain
        for device_id in event.device_ids:
            context = self._tags.contexts.get((event.iommu, device_id))
            if context is None or event.iommu in self._tags.off:
                continue
            if context.left:
                state = self._flushes.of_context(event.iommu, device_id, context.left[-1].since, event.time)
                self._used(event, device_id, began, state, f"context {state}")
            elif moved and context.names is not None and context.names[1] == tables.get(device_id):
                self._used(event, device_id, began, "it is still valid in memory", "old context still valid")
            self._judge_domains(event.time, event.iommu, device_id)

    def _used(self, event: Attached, device_id: int, began: int, why: str, kind: str) -> None:
        self.violated(
            f"an attach of {event.device} to {event.domain or 'blocked'} returned at {exact(event.time)}, and "
            f"{event.iommu} may use the old context of device {device_id}: {why}",
            event.time,
            began,
            signature=f"attach returned, {kind}",
        )

    # --- One kernel after the other ----------------------------------------------------------------------------------

    def kernel_ended(self, event: KernelEnded) -> None:
        """Whose unmaps, attaches and domains these were is gone; what is left under its PSCIDs has `Tags`."""
        for known in (self._begun, self._cleared, self._late, self._doubtful, self._attaching, self._inside):
            known.clear()
        self._left.clear()
        self._left_ways.clear()

    def iommu_probed(self, event: IommuProbed) -> None:
        iommu, since = event.who, self._translations.ended
        devices, pscids = self._tags.held(iommu) if since >= 0 else ([], [])
        if devices:
            what = f"the context of device {devices[0]}"
            self._held(event, what, "context", self._flushes.of_context(iommu, devices[0], since, event.time))
        if pscids:
            what = f"translations under PSCID {pscids[0]}"
            self._held(event, what, "translations", self._flushes.of_pscid(iommu, pscids[0], since, event.time))

    def _held(self, event: IommuProbed, what: str, kind: str, state: str) -> None:
        since = self._translations.ended
        self.violated(
            f"the probe of {event.who} returned at {exact(event.time)}, and it may hold {what} of the kernel before: "
            f"{state} since that ended at {exact(since)}",
            event.time,
            since,
            signature=f"probe returned, old {kind} {state}",
        )

    # --- PSCIDs ------------------------------------------------------------------------------------------------------

    def domain_made(self, event: DomainMade) -> None:
        """What a domain of that name has left is judged as another one's, by its PSCID alone."""
        for left in (*self._left.values(), *self._left_ways.values()):
            for leaf in [leaf for leaf, (owner, _) in left.items() if owner == event.domain]:
                del left[leaf]
        for pages in (self._begun, self._cleared, self._late):
            for place in [place for place in pages if place[0] == event.domain]:
                del pages[place]

    def context_changed(self, event: ContextChanged) -> None:
        """A valid context that changes word by word names what it is not to name in between: `ContextUpdate` tells."""
        if event.field == "tc":
            self._judge_domains(event.time, event.who, event.device_id)

    def _judge_domains(self, time: int, iommu: str, device_id: int) -> None:
        context = self._tags.contexts[iommu, device_id]
        holder = context.holder
        if holder is None or context.names is None or iommu in self._tags.off:
            return
        pscid, root = context.names
        for other in self._tags.tags[iommu, pscid].holders:
            pair = (iommu, pscid), min(holder.since, other.since), max(holder.since, other.since)
            if other is holder or other.root == root or pair in self._shared:
                continue
            self._shared.add(pair)
            self.violated(
                f"PSCID {pscid} of {iommu} names {holder.domain or 'no domain'} in the context of device {device_id} "
                f"at {exact(time)}, and {other.domain or 'no domain'} since {exact(other.since)}",
                time,
                other.since,
                signature="one PSCID names two domains",
            )

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
        for left, table in ((self._left.pop(key, {}), False), (self._left_ways.pop(key, {}), True)):
            kept = [
                (leaf, since)
                for leaf, (owner, since) in left.items()
                if owner == domain and self._tags.may_hold(key, domain, leaf, since, table=table)
            ]
            if kept:
                self._again(time, where, domain, kept, table=table)

    def _again(self, time: int, where: str, domain: str, kept: list[tuple[Leaf, int]], *, table: bool) -> None:
        leaf, since = kept[0]
        what = f"{len(kept)} {'way' if len(kept) == 1 else 'ways'} to tables" if table else _leaves(len(kept))
        became, gone = ("unlinked", "freed") if table else ("cleared", "unmapped")
        self.violated(
            f"{where}, and {what} that {domain} had there, such as that of {leaf.first << PAGE_LG2:#x}, {became} at "
            f"{exact(since)}, were {gone} meanwhile and are not flushed",
            time,
            since,
            signature=f"PSCID in use again before the flush of what was {gone} meanwhile",
        )


def _leaves(number: int) -> str:
    return f"{number} {'leaf' if number == 1 else 'leaves'}"
