"""How many commands the driver sent, and how many a driver would have had to send that sends none in vain."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from cosim.events import (
    Attached,
    CommandExecuted,
    DomainMade,
    FlushBegun,
    FlushGivenUp,
    FlushQueued,
    KernelEnded,
    Unmapped,
)
from cosim.oracles.oracle import Listener
from cosim.spec.pagetable import PAGE_LG2

WHOLE_PAGES = 512
"""From so many pages on (2 MiB), one command for all that the domain has is less than one for each page."""
IDENTITY = "identity"


class NeededCommands(Listener):
    """Counts commands that took hold, and those that were needed for what the core and the DMA API did. It judges none.

    What is needed, where `i` are the IOMMUs with a device in the domain, and a domain has one tag on each of them:

    ==================================  ===========================================================
    an unmap of `n` pages               for each `i`: `n` IOTINVAL, or one from 2 MiB on; an IOFENCE
    a flush that unmaps wait for        for each `i`: one IOTINVAL and an IOFENCE
    a device with `k` ids leaves        `k` IODIR.INVAL_DDT and an IOFENCE
    the last one there leaves a domain  one IOTINVAL and an IOFENCE
    ==================================  ===========================================================

    A device that enters needs none: what is not valid is not cached. Beyond that, hardware's fixed structures, tables
    that a large page replaces and bringing an IOMMU up need some that are not counted here.

    Source: invariant "commands at most those of an ideal driver": the duplicates of the review of 19 Apr 2024 (B4), and
    "Caching in-memory data structures".
    """

    watches: ClassVar = {
        CommandExecuted: "executed",
        DomainMade: "made",
        FlushQueued: "queued",
        FlushBegun: "flush_begun",
        FlushGivenUp: "given_up",
        Unmapped: "unmapped",
        Attached: "attached",
        KernelEnded: "kernel_ended",
    }

    def __init__(self) -> None:
        self._sent = self._needed = 0
        self._place: dict[str, tuple[str, str]] = {}
        """The domain that each device is in, and the IOMMU that it is behind."""
        self._inside: dict[str, Counter[str]] = {}
        """How many devices of each IOMMU are in each domain."""
        self._queued: dict[str, set[int]] = {}

    def counts(self) -> dict[str, int]:
        """Commands since the beginning, by the name of their scalar."""
        return {"driver.commands_sent": self._sent, "driver.commands_needed": self._needed}

    def executed(self, event: CommandExecuted) -> None:
        self._sent += 1

    # --- Flushes -----------------------------------------------------------------------------------------------------

    def made(self, event: DomainMade) -> None:
        self._queued.pop(event.domain, None)

    def kernel_ended(self, event: KernelEnded) -> None:
        for known in (self._place, self._inside, self._queued):
            known.clear()

    def queued(self, event: FlushQueued) -> None:
        self._queued.setdefault(event.domain, set()).add(event.iova)

    def flush_begun(self, event: FlushBegun) -> None:
        if self._queued.get(event.domain):
            self._needed += 2 * len(self._iommus(event.domain))

    def given_up(self, event: FlushGivenUp) -> None:
        self._queued.get(event.domain, set()).discard(event.iova)

    def unmapped(self, event: Unmapped) -> None:
        queued = self._queued.get(event.domain, set())
        if event.iova in queued:
            queued.discard(event.iova)
            return
        pages = (event.iova + event.size - 1 >> PAGE_LG2) - (event.iova >> PAGE_LG2) + 1
        each = (pages if pages < WHOLE_PAGES else 1) + 1
        self._needed += each * len(self._iommus(event.domain))

    def _iommus(self, domain: str) -> list[str]:
        return [iommu for iommu, devices in self._inside.get(domain, {}).items() if devices]

    # --- Devices -----------------------------------------------------------------------------------------------------

    def attached(self, event: Attached) -> None:
        old, iommu = self._place.pop(event.device, ("", event.iommu))
        if event.domain:
            self._place[event.device] = event.domain, event.iommu
        if old == event.domain:
            return
        if old:
            self._needed += len(event.device_ids) + 1
        if old and old != IDENTITY:
            inside = self._inside[old]
            inside[iommu] -= 1
            self._needed += 0 if inside[iommu] else 2
        if event.domain and event.domain != IDENTITY:
            self._inside.setdefault(event.domain, Counter())[event.iommu] += 1
