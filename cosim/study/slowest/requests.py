"""The slowest requests of devices, and which requests stood before them wherever they waited."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

from cosim.events import Busy, DmaDone, DmaIssued, DmaSpent, Translated, WalkDone, WalkJoined
from cosim.sim.simulation import Sim
from cosim.study.run.window import Window
from cosim.study.slowest.longest import Longest
from cosim.study.slowest.releases import Releases
from cosim.study.slowest.slow import Slow, Step, joined
from cosim.system.topology import Topology

Request = tuple[str, int]

ACCESSES = 1024
"""So many accesses of each memory are remembered; a request that waited behind one of more is not told which."""


@dataclass(slots=True)
class _UnderWay:
    """A request that is not over: its steps so far, and what can be told of it before its end."""

    steps: list[Step] = field(default_factory=list)
    write: bool = False
    behind: str = ""
    """Whose walk it waits for."""
    stays: bool = False
    """Whether it is translated and keeps its place in the IOMMU, until it goes on in its turn."""
    back: int = -1
    """How many times it has been on a link since it was at memory; -1 before."""


class SlowRequests:
    """Watches the requests that were issued since the window opened, and keeps the slowest with their steps."""

    def __init__(self, sim: Sim, topology: Topology, window: Window, count: int) -> None:
        self._longest = Longest(count)
        self._window = window
        self._through = {name: device.through or "" for name, device in topology.devices().items()}
        iommus = topology.of_kind("iommu")
        self._ordered = {name for name, iommu in iommus.items() if iommu.geometry.order != "any"}
        self._posted = {name: device.posted for name, device in topology.devices().items()}
        self._requests: defaultdict[Request, _UnderWay] = defaultdict(_UnderWay)
        self._releases = Releases()
        self._last: dict[str, str] = {}
        """Who has entered a server last, of those that serve one after the other."""
        self._accesses: defaultdict[str, deque[tuple[int, str]]] = defaultdict(lambda: deque(maxlen=ACCESSES))
        for kind, listener in (
            (DmaSpent, self._spent),
            (DmaIssued, self._issued),
            (DmaDone, self._done),
            (Translated, self._translated),
            (WalkDone, self._walked),
            (WalkJoined, self._joined),
            (Busy, self._busy),
        ):
            sim.probe(kind).watch(listener)  # type: ignore[arg-type]

    def found(self) -> tuple[Slow, ...]:
        """The slowest first."""
        return self._longest.found()

    # --- Where requests wait ------------------------------------------------------------------------------------------

    def _issued(self, event: DmaIssued) -> None:
        self._requests[event.who, event.sequence].write = event.write

    def _joined(self, event: WalkJoined) -> None:
        self._requests[event.by, event.sequence].behind = f"the walk of {event.behind} #{event.other}"

    def _walked(self, event: WalkDone) -> None:
        self._releases.give(f"{event.who}.walkers", event.time, f"the walk of {event.by} #{event.sequence}")

    def _translated(self, event: Translated) -> None:
        if event.who in self._ordered:
            self._requests[event.by, event.sequence].stays = True
        else:
            self._releases.give(f"{event.who}.places", event.time, f"{event.by} #{event.sequence}")

    def _busy(self, event: Busy) -> None:
        if event.by:
            self._accesses[event.who].append((event.time, event.by))

    def _spent(self, event: DmaSpent) -> None:
        request = self._requests[event.who, event.sequence]
        name = f"{event.who} #{event.sequence}"
        behind = self._behind(request, event, name)
        request.steps.append(Step(event.part, event.began, event.ps, behind))
        if request.stays:  # this is what it does next: it has waited for its turn, or has gone on without
            request.stays = False
            left, iommu = event.time if event.part == "order" else event.began, self._through[event.who]
            self._releases.give(f"{iommu}.places", left, name)
            self._releases.give(f"{event.who}.turns", left, name)
        if event.part == "memory":
            request.back = 0
        elif event.part == "link" and request.back >= 0:
            request.back += 1

    def _behind(self, request: _UnderWay, event: DmaSpent, name: str) -> str:
        """Whom the request has waited for, or waits for from now on."""
        device, iommu, now = event.who, self._through[event.who], event.time
        match event.part:
            case "slot":
                return self._releases.taken(f"{device}.slots", event.began, now)
            case "place":
                return self._releases.taken(f"{iommu}.places", event.began, now)
            case "order":
                return self._releases.taken(f"{device}.turns", event.began, now)
            case "walker_wait":
                return self._releases.taken(f"{iommu}.walkers", event.began, now)
            case "merge_wait":
                return request.behind
            case "lookup_wait":
                return self._last.get(f"{iommu}.lookup", "")
            case "iotlb":
                self._last[f"{iommu}.lookup"] = name
                if request.write and self._posted[device]:
                    self._releases.give(f"{device}.slots", now, f"{name}, which was posted")
            case "link_wait":
                return self._last.get(f"{device}.{'up' if request.back < 0 else 'down'}", "")
            case "link" if request.back < 0 and not any(step.part == "link" for step in request.steps):
                self._last[f"{device}.up"] = name
            case "link" if request.back > 0:
                self._last[f"{device}.down"] = name
            case "queue":
                return self._before(event)
        return ""

    def _before(self, event: DmaSpent) -> str:
        """Whose access came to the port of a memory just before that of a request."""
        found = ""
        for accesses in self._accesses.values():
            at = next((i for i, (time, who) in enumerate(accesses) if (time, who) == (event.began, event.who)), None)
            if at:
                found = f"an access of {accesses[at - 1][1]}"
        return found

    # --- The end ------------------------------------------------------------------------------------------------------

    def _done(self, event: DmaDone) -> None:
        request = self._requests.pop((event.who, event.sequence))
        if not (event.write and self._posted[event.who]):
            self._releases.give(f"{event.who}.slots", event.time, f"{event.who} #{event.sequence}")
        if self._window and event.issued >= self._window.opened:
            self._longest.offer(event.time - event.issued, lambda: self._describe(event, request))

    def _describe(self, event: DmaDone, request: _UnderWay) -> Slow:
        purpose = event.purpose if event.purpose != "data" else "write" if event.write else "read"
        what = f"#{event.sequence}, {event.size} bytes at IOVA {event.iova:#x}"
        ended = "" if event.status == "SUCCESS" else f", ended {event.status}"
        ps = event.time - event.issued
        return Slow(f"{event.who}.{purpose}", what + ended, event.issued, ps, joined(request.steps))
