"""A domain's page table holds what is mapped and nothing else, and its driver says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar

from cosim.events import (
    AddressAsked,
    DomainMade,
    EntriesCleared,
    KernelEnded,
    MapBegun,
    Mapped,
    Misused,
    TableSeen,
    UnmapBegun,
    Unmapped,
)
from cosim.events.domains import SeenLeaf
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.ranges import overlapped
from cosim.oracles.refused_leaves import Reader, readers, refusal
from cosim.oracles.tags import Tags


class State(Enum):
    """Of a mapping."""

    COMING = auto()
    LIVE = auto()
    LEAVING = auto()
    TOLD = auto()
    """It is not in the table, and that has been reported."""
    UNSURE = auto()
    """A caller has mapped it twice, or unmapped a part of it, or more: whatever becomes of it is not judged."""


@dataclass(slots=True)
class Mapping:
    """From `start` to `end` (exclusive), to `address` and on, for `prot` (rw), by a thread; in its state `since`."""

    start: int
    end: int
    address: int
    prot: str
    since: int
    state: State = State.COMING
    by: str = ""


class PageTable(Oracle):
    """Holds the table in memory against what is mapped, whether or not a device happens to touch it.

    It looks when an unmap begins, when its range is about to be given out again, and at all of each table at the end of
    a run: for a page that is not mapped there is no valid leaf, and the leaf of one that is mapped leads to its frame,
    and permits what was asked for. Pages that are coming or leaving, also those that wait for a flush, or whose flush
    has failed, may have a leaf or none. An unmap of whole mappings that are live has all of that cleared, by what the
    driver returns, and `iova_to_phys` answers where a page leads, 0 for one that is not mapped. What a caller has
    brought about that maps an IOVA twice, or unmaps other ranges than were mapped, is not judged, nor is what a call
    goes on to do when its kernel has ended.

    Source: map_pages, unmap_pages and iova_to_phys of iommu_domain_ops (include/linux/iommu.h), and the warnings of
    iommu_unmap and __iommu_dma_unmap; "Virtual Address Translation Process" ("Supervisor-Level ISA"), and
    capabilities.AMO_HWAD, Svpbmt and Svrsw60t59b.
    """

    name = "page-table"
    watches: ClassVar = {
        DomainMade: "made",
        MapBegun: "map_begun",
        Mapped: "mapped",
        UnmapBegun: "unmap_begun",
        EntriesCleared: "cleared",
        Unmapped: "unmapped",
        Misused: "misused",
        TableSeen: "seen",
        AddressAsked: "asked",
        KernelEnded: "kernel_ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._mappings: dict[str, list[Mapping]] = {}
        """Of each domain, those that are coming, live or leaving; they ascend and do not overlap."""
        self._changed: dict[str, int] = {}
        """When each domain's mappings last changed."""
        self._told: set[tuple[str, int, str]] = set()
        """The IOVAs of each domain of which something is reported, and what."""
        self._over: set[str] = set()
        """The domains of a kernel that has ended: what is mapped in them is not known any more."""
        self._tags = self.book(Tags)

    # --- What software tells -----------------------------------------------------------------------------------------

    def made(self, event: DomainMade) -> None:
        self._mappings[event.domain] = []
        self._over.discard(event.domain)
        self._told = {told for told in self._told if told[0] != event.domain}

    def kernel_ended(self, event: KernelEnded) -> None:
        self._over |= self._mappings.keys()
        for known in (self._mappings, self._changed, self._told):
            known.clear()

    def map_begun(self, event: MapBegun) -> None:
        used, end = self._of(event.domain, event.time), event.iova + event.size
        first, last = overlapped(used, event.iova, end)
        new = Mapping(event.iova, end, event.address, event.prot, event.time, by=event.who)
        if first < last:
            new = Mapping(min(new.start, used[first].start), max(end, used[last - 1].end), 0, "", 0, State.UNSURE)
        used[first:last] = [new]
        if self._told:
            self._told = {told for told in self._told if told[0] != event.domain or not event.iova <= told[1] < end}

    def mapped(self, event: Mapped) -> None:
        for mapping in self._within(event.domain, event.iova, event.size, event.time):
            if mapping.state is State.COMING:
                mapping.state, mapping.since = State.LIVE, event.time

    def unmap_begun(self, event: UnmapBegun) -> None:
        found = self._within(event.domain, event.iova, event.size, event.time)
        state = State.LEAVING if _whole(found, event.iova, event.size, State.LIVE, State.TOLD) else State.UNSURE
        for mapping in found:
            if mapping.state is not State.TOLD or state is State.UNSURE:
                mapping.state = state

    def cleared(self, event: EntriesCleared) -> None:
        found = self._within(event.domain, event.iova, event.size, event.time)
        if event.cleared != event.size and _whole(found, event.iova, event.size, State.LEAVING):
            self.violated(
                f"an unmap of {event.size:#x} bytes at IOVA {event.iova:#x} in {event.domain} by {event.who} says at "
                f"{exact(event.time)} that it has cleared {event.cleared:#x}, and all of them were mapped",
                event.time,
                event.time,
                signature="an unmap has not cleared what was mapped",
            )

    def unmapped(self, event: Unmapped) -> None:
        used, end = self._of(event.domain, event.time), event.iova + event.size
        first, last = overlapped(used, event.iova, end)
        used[first:last] = [
            one for one in used[first:last] if one.state is State.UNSURE or one.start < event.iova or one.end > end
        ]

    def misused(self, event: Misused) -> None:
        for mapping in self._within(event.domain, event.iova, event.size, event.time):
            mapping.state = State.UNSURE

    def _of(self, domain: str, time: int) -> list[Mapping]:
        self._changed[domain] = time
        return self._mappings.setdefault(domain, [])

    def _within(self, domain: str, iova: int, size: int, time: int) -> list[Mapping]:
        used = self._of(domain, time)
        first, last = overlapped(used, iova, iova + size)
        return used[first:last]

    # --- The table ---------------------------------------------------------------------------------------------------

    def seen(self, event: TableSeen) -> None:
        if event.domain in self._over:
            return
        used, end = self._mappings.get(event.domain, []), event.iova + event.size
        there: dict[int, int] = {}
        users = readers(self._tags, event.domain, self.bounds.capabilities)
        for leaf in event.leaves:
            start, stop = max(leaf.iova, event.iova), min(leaf.iova + leaf.size, end)
            first, last = overlapped(used, start, stop)
            for mapping in used[first:last]:
                at, until = max(start, mapping.start), min(stop, mapping.end)
                if at > start:
                    self._stray(event, start, leaf)
                start = until
                there[mapping.start] = there.get(mapping.start, 0) + until - at
                if mapping.state is State.LIVE:
                    self._leads(event, mapping, at, leaf, users)
            if start < stop:
                self._stray(event, start, leaf)
        first, last = overlapped(used, event.iova, end)
        for mapping in used[first:last]:
            wanted = min(end, mapping.end) - max(event.iova, mapping.start)
            if mapping.state is State.LIVE and there.get(mapping.start, 0) < wanted:
                self._missing(event, mapping, wanted - there.get(mapping.start, 0))

    def _stray(self, event: TableSeen, iova: int, leaf: SeenLeaf) -> None:
        address = leaf.address + iova - leaf.iova
        self._wrong(
            event,
            iova,
            f"leads to {address:#x}, and is not mapped",
            "a valid leaf of a page that is not mapped",
        )

    def _leads(self, event: TableSeen, mapping: Mapping, at: int, leaf: SeenLeaf, users: list[Reader]) -> None:
        address, wanted = leaf.address + at - leaf.iova, mapping.address + at - mapping.start
        prot = "rw" if "w" in mapping.prot else mapping.prot  # W without R is reserved
        if address != wanted:
            text = f"leads to {address:#x}, and was mapped to {wanted:#x} by {mapping.by}"
            self._wrong(event, at, text, "a leaf that leads to another frame than was mapped")
        elif leaf.prot != prot:
            text = f"permits {leaf.prot or 'nothing'}, and was mapped for {prot} by {mapping.by}"
            self._wrong(event, at, text, "a leaf that permits something else than was mapped")
        elif leaf.pte:
            self._usable(event, at, leaf, prot, users)

    def _usable(self, event: TableSeen, at: int, leaf: SeenLeaf, prot: str, users: list[Reader]) -> None:
        for user in users:
            if why := refusal(user, leaf, write="w" in prot):
                text = f"is mapped for {prot}, and {user.iommu} refuses that: {why}"
                self._wrong(event, at, text, "a leaf that its IOMMU refuses")
                return

    def _missing(self, event: TableSeen, mapping: Mapping, size: int) -> None:
        mapping.state = State.TOLD
        text = f"is mapped with {mapping.end - mapping.start:#x} bytes, and {size:#x} of them have no valid leaf"
        self._wrong(event, mapping.start, text, "a mapped page has no valid leaf")

    def _wrong(self, event: TableSeen, iova: int, text: str, kind: str) -> None:
        """Report it, of a place once until something is mapped there again."""
        told = event.domain, iova, kind
        if told not in self._told:
            self._told.add(told)
            message = f"IOVA {iova:#x} of {event.domain} {text}, by its page table at {exact(event.time)}"
            self.violated(message, event.time, event.time, signature=kind)

    # --- Answers -----------------------------------------------------------------------------------------------------

    def asked(self, event: AddressAsked) -> None:
        if event.domain in self._over:
            return
        used = self._mappings.get(event.domain, [])
        first, last = overlapped(used, event.iova, event.iova + 1)
        long_ago = event.began - self.bounds.store_ps
        wanted = 0
        if first < last:
            mapping = used[first]
            if mapping.state is not State.LIVE or mapping.since > long_ago:
                return
            wanted = mapping.address + event.iova - mapping.start
        elif self._changed.get(event.domain, -1) > long_ago:
            return
        if event.address != wanted:
            leads = f"it leads to {wanted:#x}" if wanted else "it is not mapped"
            self.violated(
                f"iova_to_phys of {event.iova:#x} in {event.domain}, asked by {event.who}, answers "
                f"{event.address:#x} at {exact(event.time)}, and {leads}",
                event.time,
                event.began,
                signature=f"iova_to_phys is wrong of a page that is {'' if wanted else 'not '}mapped",
            )


def _whole(mappings: list[Mapping], iova: int, size: int, *states: State) -> bool:
    """Whether a range is all of these mappings, without a gap, each of them in one of `states`."""
    length = sum(one.end - one.start for one in mappings)
    ends = bool(mappings) and mappings[0].start == iova and mappings[-1].end == iova + size
    return ends and length == size and all(one.state in states for one in mappings)
