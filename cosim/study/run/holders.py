"""What those who hold a resource spend that time on: how much of it they wait for what lies inside of that resource."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.hw.dma.options import DmaOptions, RingOptions
from cosim.study.run.latency import Latency
from cosim.study.run.placement import Placement
from cosim.system.resources import Resource
from cosim.system.topology import Topology
from cosim.units.latency_parts import LatencyPart

MERGED = 0.4
"""Places pass the blame on to walks if their holders spend this fraction of their time waiting for one another's; with
a device's slots a shorter walk is named as well if that is this fraction of a latency."""

WAITS = frozenset(part.value for part in LatencyPart if part.waits)
BEHIND = ("merge_wait", "order")
"""Parts that are the walks of others: one that has been joined, and in an IOMMU that keeps order, one ahead."""


def behind(latency: Latency) -> int:
    """How long a kind of request waited for walks of others, on average."""
    return sum(latency.parts.get(part, 0) for part in BEHIND)


class Holders:
    """The holders of a run's resources; `latencies` are those of DMA requests, by name."""

    def __init__(
        self,
        topology: Topology,
        latencies: Mapping[str, Latency],
        scalars: Mapping[str, int | float],
        placement: Placement,
    ) -> None:
        self._topology = topology
        self._latencies = latencies
        self._scalars = scalars
        self._placement = placement

    def blocked(self, resource: Resource, name: str) -> float:
        """The fraction of the time that a resource is held in which its holder waits for what is inside it.

        The holders of a device's slots are requests of the kind `name`, such as ``nic0.read``.
        """
        busy = f"{resource.path}.busy_ps"
        if resource.name == "walkers":
            return _ratio(self._walkers_wait(resource.owner), self._scalars[busy])
        if resource.name == "places":
            return _ratio(self._places_wait(resource.owner), self._scalars[busy])
        if resource.name == "slots":
            return _ratio(*self._slot(name))
        return 0.0

    def slots_taken(self, device: str) -> float:
        """The fraction of the window that a device's slots are taken: all of them if it always has a request to make.

        A posted write is in flight for longer than it has its slot, and counts as long as it has it.
        """
        pace = self._topology.devices()[device].pace
        if pace.always or self._scalars[f"{device}.backlog_mean"] >= 1:
            return 1.0
        kinds = [name for name in self._latencies if name.rpartition(".")[0] == device]
        counts = {name: self._latencies[name].count for name in kinds}
        held = sum(counts[name] * self._slot(name)[1] for name in kinds)
        in_flight = sum(counts[name] * _without_slot(self._latencies[name]) for name in kinds)
        share = _ratio(held, in_flight) if in_flight else 1.0
        return min(1.0, share * self._scalars[f"{device}.in_flight_mean"] / pace.outstanding)

    def merged(self, iommu: str) -> float:
        """The fraction of the time that places are held in which their holders wait for walks of others to be done."""
        walks_of_others = self._scalars[f"{iommu}.merge_wait_ps"] + self._total(iommu, "order")
        merged = walks_of_others * (1 - self.waiting_for_walkers(iommu))
        return _ratio(merged, self._scalars[f"{iommu}.places.busy_ps"])

    def walks_alone(self, iommu: str) -> bool:
        """Whether there is one place, whose holder walks much of the time: a second one may wait for that walk."""
        one = self._topology.of_kind("iommu")[iommu].geometry.in_flight == 1
        walking = _ratio(self._scalars[f"{iommu}.walkers.busy_ps"], self._scalars[f"{iommu}.places.busy_ps"])
        return one and walking >= MERGED

    def waiting_for_walkers(self, iommu: str) -> float:
        """The fraction of a walk that is the wait for a walker."""
        waits = self._total(iommu, "walker_wait")
        return _ratio(waits, waits + self._scalars[f"{iommu}.walkers.busy_ps"])

    def table_wait(self, iommu: str) -> float:
        """What an access of the memory that an IOMMU's tables are in waits for its port, on average."""
        memories = self._placement.tables(iommu)
        accesses = sum(self._scalars[f"{path}.{what}"] for path in memories for what in ("reads", "writes"))
        waited = sum(self._scalars[f"{path}.port.waited_ps"] for path in memories)
        return waited / accesses if accesses else 0.0

    def _walkers_wait(self, iommu: str) -> float:
        """How long walkers waited, added up: for one another's reads, and for memory."""
        reads = self._scalars[f"{iommu}.walk_reads"] + self._scalars[f"{iommu}.ddt_reads"]
        return reads * self.table_wait(iommu) + self._scalars.get(f"{iommu}.table_reads.waited_ps", 0)

    def _places_wait(self, iommu: str) -> float:
        """How long requests with a place waited, added up: for look-up, walkers and records, and walkers for memory.

        Who waits for another's walk waits for a walker as long as that other does.
        """
        merged = sum(self._total(iommu, part) for part in BEHIND) * self.waiting_for_walkers(iommu)
        waits = self._total(iommu, "lookup_wait") + self._total(iommu, "walker_wait")
        records = self._total(iommu, "fault") * self._waiting_for_records(iommu)
        return waits + merged + records + self._walkers_wait(iommu)

    def _waiting_for_records(self, iommu: str) -> float:
        """The fraction of the time that reporting a fault takes which is the wait for records of others.

        With a buffer all of it is: a fault that finds a place there takes no time.
        """
        spent = self._total(iommu, "fault")
        own = (
            0 if self._topology.of_kind("iommu")[iommu].geometry.fault_buffer else self._scalars[f"{iommu}.fq.busy_ps"]
        )
        return _ratio(max(0, spent - own), spent)

    def _total(self, iommu: str, part: str) -> int:
        """The time that all requests through an IOMMU spent in a part."""
        devices = {path for path, options in self._topology.devices().items() if options.through == iommu}
        found = (each for name, each in self._latencies.items() if name.rpartition(".")[0] in devices)
        return sum(each.count * each.parts.get(part, 0) for each in found)

    def _slot(self, name: str) -> tuple[float, float]:
        """How much a request waits while it holds its slot, on average, and how long it does; a posted write lets it
        go."""
        device, _, kind = name.rpartition(".")
        options, parts = self._topology.devices()[device], self._latencies[name].parts
        if options.posted and kind in ("write", "status"):
            inside = parts.get("link_wait", 0) + parts.get("place", 0)
            return inside, inside + options.link + _packet(options)
        held = {part: ps for part, ps in parts.items() if part != "slot"}
        waits: float = sum(ps for part, ps in held.items() if part in WAITS and part not in BEHIND)
        if options.through:
            waits += behind(self._latencies[name]) * self.waiting_for_walkers(options.through)
            waits += parts.get("fault", 0) * self._waiting_for_records(options.through)
        return waits, sum(held.values())


def _without_slot(latency: Latency) -> int:
    """How long a kind of request is in flight, on average."""
    return sum(ps for part, ps in latency.parts.items() if part != "slot")


def _packet(device: DmaOptions | RingOptions) -> int:
    """How long a write of a device is on its way out onto the link."""
    if device.bandwidth is None:
        return 0
    return device.bandwidth.transfer_ps(device.header + device.mean_size)


def _ratio(inside: float, held: float) -> float:
    return min(1.0, inside / held) if held > 0 else 0.0
