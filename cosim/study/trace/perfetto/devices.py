"""The requests of devices, each with its latency parts inside of it, and how many are in flight."""

from __future__ import annotations

from collections import Counter

from cosim.events import DmaCommitted, DmaDone, DmaIssued, DmaSpent
from cosim.sim.simulation import Sim
from cosim.spec.faults import Cause
from cosim.study.trace.perfetto.packets import Packets
from cosim.study.trace.perfetto.tracks import Tracks
from cosim.study.trace.selection import Selection

Request = tuple[str, int]
"""A device, and which of its requests."""


class Devices:
    """A slice for each request, with a slice for each stretch of a latency part."""

    def __init__(self, packets: Packets, tracks: Tracks) -> None:
        self._packets = packets
        self._tracks = tracks
        self._spent: dict[Request, list[tuple[str, int, int]]] = {}
        self._address: dict[Request, int] = {}
        self._in_flight: Counter[str] = Counter()

    def watch(self, sim: Sim, selection: Selection) -> None:
        selection.listen(sim, DmaSpent, self._spends)
        selection.listen(sim, DmaIssued, self._issued)
        selection.listen(sim, DmaCommitted, self._committed)
        selection.listen(sim, DmaDone, self._done)

    def close(self, now: int) -> None:
        """What has not ended is there up to now."""
        for (device, sequence), parts in self._spent.items():
            parts = [(part, began, min(ended, now)) for part, began, ended in parts if began < now]
            began = min((began for _, began, _ in parts), default=now)
            track = self._tracks.lane(device, "requests", began, now)
            self._packets.slice(track, "unfinished", began, now, {"sequence": sequence}, inside=parts)

    def _issued(self, event: DmaIssued) -> None:
        self._count(event.who, 1, event.time)

    def _count(self, device: str, change: int, time: int) -> None:
        self._in_flight[device] += change
        self._packets.count(self._tracks.below(device, "in flight", counts="requests"), self._in_flight[device], time)

    def _spends(self, event: DmaSpent) -> None:
        parts = self._spent.setdefault((event.who, event.sequence), [])
        until = event.began + event.ps
        if parts and parts[-1][0] == event.part:
            parts[-1] = event.part, parts[-1][1], until
        else:
            parts.append((event.part, event.began, until))

    def _committed(self, event: DmaCommitted) -> None:
        self._address[event.who, event.sequence] = event.address

    def _done(self, event: DmaDone) -> None:
        self._count(event.who, -1, event.time)
        request = event.who, event.sequence
        parts = self._spent.pop(request, [])
        way = "write" if event.write else "read"
        args: dict[str, int | str] = {
            "sequence": event.sequence,
            "device_id": event.device_id,
            "way": way,
            "iova": hex(event.iova),
            "size": event.size,
            "status": event.status,
        }
        if (address := self._address.pop(request, None)) is not None:
            args["address"] = hex(address)
        if event.cause:
            args["cause"] = Cause(event.cause).name.lower()
        args |= {f"{part} ps": ps for part, ps in event.parts.items()}
        track = self._tracks.lane(event.who, "requests", event.issued, event.time)
        name = way if event.purpose == "data" else event.purpose
        self._packets.slice(track, name, event.issued, event.time, args, inside=parts)
