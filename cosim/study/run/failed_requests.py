"""Which requests of devices failed in a run, and why: those that an IOMMU refused, and those that failed on the bus."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import ClassVar

from cosim.events import DmaDone, FaultRecorded
from cosim.oracles.oracle import Listener
from cosim.spec.faults import Cause, Ttyp

ByDevice = Mapping[str, Mapping[str, int]]
"""Numbers of requests by device, and by why they failed."""


class FailedRequests(Listener):
    """The failed requests that have ended so far, each counted once.

    `faults` are those that an IOMMU refused, by device and cause; what an IOMMU could not do for itself (store a
    message) stands under its own path. `bus_errors` were translated, and then refused by memory or answered with
    poisoned data: by device and status.
    """

    watches: ClassVar = {DmaDone: "done", FaultRecorded: "recorded"}
    of_failures = True

    def __init__(self) -> None:
        self._faults: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._bus_errors: defaultdict[str, Counter[str]] = defaultdict(Counter)

    @property
    def faults(self) -> dict[str, dict[str, int]]:
        """Refused requests by device and cause, sorted."""
        return _sorted(self._faults)

    @property
    def bus_errors(self) -> dict[str, dict[str, int]]:
        """Requests that failed on the bus, by device and status, sorted."""
        return _sorted(self._bus_errors)

    def done(self, event: DmaDone) -> None:
        """A request is over."""
        if event.status == "SUCCESS":
            return
        if event.cause:
            self._faults[event.who][Cause(event.cause).name.lower()] += 1
        else:
            self._bus_errors[event.who][event.status.lower()] += 1

    def recorded(self, event: FaultRecorded) -> None:
        """An IOMMU has found a fault."""
        if event.ttyp == Ttyp.NONE:  # no request of a device caused it
            self._faults[event.who][Cause(event.cause).name.lower()] += 1


def total(found: ByDevice) -> int:
    """How many there are in all."""
    return sum(sum(whys.values()) for whys in found.values())


def _sorted(found: ByDevice) -> dict[str, dict[str, int]]:
    return {device: dict(sorted(whys.items())) for device, whys in sorted(found.items())}
