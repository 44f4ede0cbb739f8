"""Which invalidations had something to drop, and which removals a reader overlapped: what a run could have shown."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import Attached, Attaching, Invalidated, KernelEnded, ReadSectionBegun, ReadSectionEnded
from cosim.oracles.oracle import Listener


class EffectiveInvalidations(Listener):
    """Counts invalidations, and those that an IOMMU could not have left out unnoticed. It judges nothing.

    An invalidation has something to *drop* if an entry of a cache goes, or a walk that is under way is overtaken. Where
    none has, a driver that lost one of them would look the same.
    """

    watches: ClassVar = {Invalidated: "invalidated"}

    def __init__(self) -> None:
        self._all = self._dropping = 0

    def counts(self) -> dict[str, int]:
        """`invalidations`, and how many of them were `dropping` something."""
        return {"invalidations": self._all, "dropping": self._dropping}

    def invalidated(self, event: Invalidated) -> None:
        self._all += 1
        self._dropping += bool(event.dropped or event.overtaken)


class OverlappedRemovals(Listener):
    """Counts removals of a device from a domain, and those beside which a thread was reading. It judges nothing.

    A removal lasts from the beginning of an attach to its return, if the device was in another domain before. It is
    *overlapped* if an RCU read section is open at any time of it: only then could the reader have stood on a bond that
    was unlinked, and a bond that was freed too early have been seen.
    """

    watches: ClassVar = {
        Attaching: "attaching",
        Attached: "attached",
        ReadSectionBegun: "begun",
        ReadSectionEnded: "ended",
        KernelEnded: "kernel_ended",
    }

    def __init__(self) -> None:
        self._domain: dict[str, str] = {}
        self._leaving: dict[str, bool] = {}
        """For each device that is being removed, whether a reader has been seen meanwhile."""
        self._readers: set[str] = set()
        self._all = self._overlapped = 0

    def counts(self) -> dict[str, int]:
        """`removals`, and how many of them were `overlapped` by a reader."""
        return {"removals": self._all, "overlapped": self._overlapped}

    def kernel_ended(self, event: KernelEnded) -> None:
        self._domain.clear()
        self._leaving.clear()

    def attaching(self, event: Attaching) -> None:
        if self._domain.get(event.device, event.domain) != event.domain:
            self._leaving[event.device] = bool(self._readers)

    def attached(self, event: Attached) -> None:
        overlapped = self._leaving.pop(event.device, None)
        if overlapped is not None:
            self._all += 1
            self._overlapped += overlapped
        if event.domain:
            self._domain[event.device] = event.domain
        else:
            self._domain.pop(event.device, None)

    def begun(self, event: ReadSectionBegun) -> None:
        self._readers.add(event.who)
        for device in self._leaving:
            self._leaving[device] = True

    def ended(self, event: ReadSectionEnded) -> None:
        self._readers.discard(event.who)
