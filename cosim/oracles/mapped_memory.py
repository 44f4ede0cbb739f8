"""No memory is freed that devices are told to use."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from cosim.events import DomainFreed, KernelEnded, MapBegun, PageFreed, UnmapBegun, Unmapped
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.ranges import overlapped

NEAR_LG2 = 16
"""What is mapped is found by the 64 KiB of memory that it has something of."""


class _Lead(NamedTuple):
    """From `start` to `end` (exclusive) of a domain leads to `address` and on, since `time`, by `who`."""

    start: int
    end: int
    address: int
    domain: str
    time: int
    who: str

    @property
    def near(self) -> range:
        return _near(self.address, self.end - self.start)


def _near(address: int, size: int) -> range:
    return range(address >> NEAR_LG2, (address + size - 1 >> NEAR_LG2) + 1)


class MappedMemory(Oracle):
    """Reports each page that goes back to the allocator while a domain leads there.

    It is mapped from the beginning of its map to that of its unmap, whose flush `FlushPromises` and `StaleDma` judge.
    A domain that is freed leads nowhere.

    Source: "Part Id - Streaming DMA mappings" of Documentation/core-api/dma-api.rst, by which a buffer is the device's
    until its unmap.
    """

    name = "mapped-memory"
    watches: ClassVar = {
        MapBegun: "map_begun",
        UnmapBegun: "unmapped",
        Unmapped: "unmapped",
        DomainFreed: "domain_freed",
        KernelEnded: "kernel_ended",
        PageFreed: "page_freed",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._leads: dict[str, list[_Lead]] = {}
        """What is mapped in each domain, which ascends and does not overlap."""
        self._to: dict[int, dict[_Lead, None]] = {}
        """The same by what memory it leads to."""

    def map_begun(self, event: MapBegun) -> None:
        new = _Lead(event.iova, event.iova + event.size, event.address, event.domain, event.time, event.who)
        self._replace(event.domain, new.start, new.end, new)

    def unmapped(self, event: UnmapBegun | Unmapped) -> None:
        """The unmap of a map that fails is not told to begin."""
        self._replace(event.domain, event.iova, event.iova + event.size)

    def domain_freed(self, event: DomainFreed) -> None:
        for lead in self._leads.pop(event.domain, ()):
            self._forget(lead)

    def kernel_ended(self, event: KernelEnded) -> None:
        self._leads.clear()
        self._to.clear()

    def page_freed(self, event: PageFreed) -> None:
        for near in _near(event.address, event.size):
            for lead in self._to.get(near, ()):
                first = max(event.address, lead.address)
                if first >= min(event.address + event.size, lead.address + lead.end - lead.start):
                    continue
                self.violated(
                    f"{event.who} frees {first:#x} ({event.purpose}) at {exact(event.time)}, where "
                    f"{lead.start + first - lead.address:#x} of {lead.domain} leads since {exact(lead.time)}, by "
                    f"{lead.who}",
                    event.time,
                    lead.time,
                    signature="memory is freed that is mapped",
                )
                return

    def _replace(self, domain: str, start: int, end: int, *new: _Lead) -> None:
        """What a domain leads to from `start` to `end` is `new` from here on."""
        leads = self._leads.setdefault(domain, [])
        first, last = overlapped(leads, start, end)
        before, after = list[_Lead](), list[_Lead]()
        for old in leads[first:last]:
            self._forget(old)
            if old.start < start:
                before.append(old._replace(end=start))
            if old.end > end:
                after.append(old._replace(start=end, address=old.address + end - old.start))
        leads[first:last] = [*before, *new, *after]
        for lead in (*before, *new, *after):
            for near in lead.near:
                self._to.setdefault(near, {})[lead] = None

    def _forget(self, lead: _Lead) -> None:
        for near in lead.near:
            found = self._to[near]
            del found[lead]
            if not found:
                del self._to[near]
