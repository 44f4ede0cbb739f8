"""Which resource a kind of request waits for in the end: what is full, and is not itself waiting for another.

Resources lie inside one another: a slot of the device is held while the request waits for its link, for a place in the
IOMMU and for memory; a place while it waits for the look-up and for a walker; a walker while it waits for memory.

    slots [ link up   places [ look-up   walkers [ table reads [ memory ] ] ]   memory   link down ]

A resource that is full only because its holders wait inside passes the blame on. So do places whose holders wait for
one another's walks: with twice as many, twice as many would wait for the same walk, and a shorter walk is what helps.
What is full and does not pass the blame on is the cause; where several are, each would be at once in the way of the
other, and all of them are named.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from cosim.hw.dma.options import DmaOptions, RingOptions
from cosim.study.run.latency import Latency
from cosim.system.resources import Knob, Resource, fullness, resources_of, shorter
from cosim.system.topology import Topology
from cosim.units.latency_parts import LatencyPart

FULL = 0.9
"""A resource in use for this fraction of the window would be in the way at once if another were larger."""

ALWAYS = 0.97
"""A resource in use for this fraction of the window has nothing left to give."""

PASSES = 0.25
"""A resource passes the blame on if its holders spend this fraction of their time waiting for what is inside it."""

MERGED = 0.4
"""Places pass the blame on to walks if their holders spend this fraction of their time waiting for one another's; with
a device's slots a shorter walk is named as well if that is this fraction of a latency."""

HALF = 0.5
NOTABLE = 0.15
"""A wait is worth naming, though nothing is full, if it is this fraction of a latency."""

WAITS = frozenset(part.value for part in LatencyPart if part.waits)
BEHIND = ("merge_wait", "order")
"""Parts that are the walks of others: one that has been joined, and in an IOMMU that keeps order, one ahead."""

WALKING = ("walk", "ddt", "pdt", *BEHIND)
"""Parts that are a walk: one's own, or another's."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What a kind of request waits for in the end: resources, or if there is none, what a part of its latency is."""

    resources: tuple[Resource, ...]
    uses: tuple[float, ...]
    part: str
    knobs: tuple[Knob, ...]


class Blame:
    """Traces the waits of a run's requests; `latencies` are those of DMA requests, by name."""

    def __init__(
        self, topology: Topology, latencies: Mapping[str, Latency], scalars: Mapping[str, int | float]
    ) -> None:
        self.topology = topology
        self.latencies = latencies
        self.scalars = scalars
        self.resources = resources_of(topology)
        self.uses = {path: fullness(each, topology, scalars) for path, each in self.resources.items()}
        self._memories = list(topology.of_kind("memory"))
        accesses = sum(scalars[f"{path}.{what}"] for path in self._memories for what in ("reads", "writes"))
        waited = sum(scalars[f"{path}.port.waited_ps"] for path in self._memories)
        self._memory_wait = waited / accesses if accesses else 0.0
        """What an access of memory waits for its port, on average."""

    def cause(self, name: str) -> Cause:
        """What the requests of a kind, such as ``nic0.read``, wait for in the end."""
        device = name.rpartition(".")[0]
        latency, options = self.latencies[name], self.topology.devices()[device]
        way = self._way(device, latency.parts)
        full = self._full(name, way) or self._waited_for(device, name, way)
        places = f"{options.through}.places"
        by_itself = places in full and f"{options.through}.walkers" not in full
        if by_itself and self._merged(places) >= MERGED and (knob := self._lowers_memory(name, "walk")):
            return self._of([places], "merge_wait", (knob,))
        if by_itself and self._walks_alone(options.through or "") and (knob := self._lowers_memory(name, "walk")):
            return self._of([places], "", tuple(filter(None, (self.resources[places].knob, knob))))
        slots = f"{device}.slots"
        if full == [slots] and _behind(latency) >= MERGED * latency.mean_ps:
            both = (self.resources[slots].knob, self._lowers_memory(name, "walk"))
            return self._of(full, "merge_wait", tuple(knob for knob in both if knob))
        if full:
            return self._of(full)
        for part in sorted(latency.parts, key=lambda part: -latency.parts[part]):
            if (knob := self._lowers(device, name, part)) is not None:
                return Cause((), (), part, (knob,))
        return Cause((), (), max(latency.parts, key=lambda part: latency.parts[part]), ())

    def behind(self, device: str) -> Cause | None:
        """What is in the way of a device of which no request made in the window ended in it, as its backlog was long.

        None if it made none, or if nothing is full. Without a latency the innermost of what is full is the cause.
        """
        if self.scalars[f"{device}.backlog_mean"] < 1:
            return None
        full = [path for path in self._way(device, WALKING) if self.uses[path] >= FULL]
        return self._of(full[:1] + [path for path in full[1:] if self._bounds(path, full[:1])])

    def _of(self, paths: list[str], part: str = "", knobs: tuple[Knob, ...] | None = None) -> Cause:
        """The cause that these resources are; what makes it better are their own knobs, if no others are given."""
        resources = tuple(self.resources[path] for path in paths)
        if knobs is None:
            knobs = tuple(dict.fromkeys(resource.knob for resource in resources if resource.knob))
        return Cause(resources, tuple(self.uses[path] for path in paths), part, knobs)

    def _full(self, name: str, way: list[str]) -> list[str]:
        """What is full and does not pass the blame on to something full inside it.

        Walkers come with the places that bound how many of them can be in use.
        Where the innermost passes the blame on to what is busy and not full, both are named: either alone may not help.
        Where none of it is in use all the time, the slots of a device that always has a request are in the way as well.
        """
        full = [path for path in way if self.uses[path] >= FULL and not self._idly_full(path, name)]
        named = [path for path in full if self.blocked(path, name) < PASSES]
        if full and full[0] not in named and self.resources[full[0]].name != "slots":
            named = [*self._busiest_inside(full[0], way), full[0], *named]
        named += [path for path in full if path not in named and self._bounds(path, named)]
        if named and max(self.uses[path] for path in named) < ALWAYS:
            named += [path for path in full if path not in named and self.resources[path].name == "slots"]
        return named

    def _idly_full(self, path: str, name: str) -> bool:
        """Whether it is the slots of a device whose requests come at times of their own, and for which none waits."""
        resource = self.resources[path]
        if resource.name != "slots" or self.topology.devices()[resource.owner].pace.always:
            return False
        return not self.latencies[name].parts.get("slot", 0)

    def _busiest_inside(self, path: str, way: list[str]) -> list[str]:
        """What is busiest of all that lies inside of a resource, if it is busy at least half of the time."""
        inside = [each for each in way[: way.index(path)] if self.uses[each] >= HALF]
        return [max(inside, key=lambda each: self.uses[each])] if inside else []

    def _bounds(self, path: str, named: list[str]) -> bool:
        """Whether a resource is so few that more walkers, where they are named, would stay idle: the places."""
        resource = self.resources[path]
        if resource.name != "places" or f"{resource.owner}.walkers" not in named:
            return False
        geometry = self.topology.of_kind("iommu")[resource.owner].geometry
        return bool(geometry.in_flight <= geometry.walkers)

    def _way(self, device: str, parts: Container[str]) -> list[str]:
        """The resources that requests of this kind pass, the innermost first."""
        options = self.topology.devices()[device]
        iommu = options.through
        names = [f"{memory}.port" for memory in self._memories]
        if iommu:
            walks = any(part in parts for part in (*WALKING, "walker_wait", "read_wait"))
            names += [f"{iommu}.table_reads", f"{iommu}.walkers"] if walks else []
            names += [f"{iommu}.lookup", f"{iommu}.places"]
        names += [f"{device}.link_down", f"{device}.link_up", f"{device}.slots"]
        return [name for name in names if name in self.resources]

    def blocked(self, path: str, name: str) -> float:
        """The fraction of the time that a resource is held in which its holder waits for what is inside it."""
        resource = self.resources[path]
        if resource.name == "walkers":
            return self._ratio(self._walkers_wait(resource.owner), self.scalars[f"{path}.busy_ps"])
        if resource.name == "places":
            return self._ratio(self._places_wait(resource.owner), self.scalars[f"{path}.busy_ps"])
        if resource.name == "slots":
            inside, held = self._slot(name)
            return self._ratio(inside, held)
        return 0.0

    @staticmethod
    def _ratio(inside: float, held: float) -> float:
        return min(1.0, inside / held) if held > 0 else 0.0

    def _walkers_wait(self, iommu: str) -> float:
        """How long walkers waited, added up: for one another's reads, and for memory."""
        reads = self.scalars[f"{iommu}.walk_reads"] + self.scalars[f"{iommu}.ddt_reads"]
        return reads * self._memory_wait + self.scalars.get(f"{iommu}.table_reads.waited_ps", 0)

    def _places_wait(self, iommu: str) -> float:
        """How long requests with a place waited, added up: for the look-up, for walkers, and walkers for memory.

        Who waits for another's walk waits for a walker as long as that other does.
        """
        merged = sum(self._total(iommu, part) for part in BEHIND) * self._waiting_for_walkers(iommu)
        waits = self._total(iommu, "lookup_wait") + self._total(iommu, "walker_wait")
        return waits + merged + self._walkers_wait(iommu)

    def _merged(self, path: str) -> float:
        """The fraction of the time that places are held in which their holders wait for walks of others to be done."""
        iommu = path.rpartition(".")[0]
        behind = self.scalars[f"{iommu}.merge_wait_ps"] + self._total(iommu, "order")
        merged = behind * (1 - self._waiting_for_walkers(iommu))
        return self._ratio(merged, self.scalars[f"{path}.busy_ps"])

    def _walks_alone(self, iommu: str) -> bool:
        """Whether there is one place, whose holder walks much of the time: a second one may wait for that walk."""
        one = self.topology.of_kind("iommu")[iommu].geometry.in_flight == 1
        walking = self._ratio(self.scalars[f"{iommu}.walkers.busy_ps"], self.scalars[f"{iommu}.places.busy_ps"])
        return one and walking >= MERGED

    def _waiting_for_walkers(self, iommu: str) -> float:
        """The fraction of a walk that is the wait for a walker."""
        waits = self._total(iommu, "walker_wait")
        return self._ratio(waits, waits + self.scalars[f"{iommu}.walkers.busy_ps"])

    def _total(self, iommu: str, part: str) -> int:
        """The time that all requests through an IOMMU spent in a part."""
        devices = {path for path, options in self.topology.devices().items() if options.through == iommu}
        found = (each for name, each in self.latencies.items() if name.rpartition(".")[0] in devices)
        return sum(each.count * each.parts.get(part, 0) for each in found)

    def _slot(self, name: str) -> tuple[float, float]:
        """How long a request holds its slot, on average, and how much of that it waits; a posted write lets it go."""
        device, _, kind = name.rpartition(".")
        options, parts = self.topology.devices()[device], self.latencies[name].parts
        if options.posted and kind in ("write", "status"):
            inside = parts.get("link_wait", 0) + parts.get("place", 0)
            return inside, inside + options.link
        held = {part: ps for part, ps in parts.items() if part != "slot"}
        waits: float = sum(ps for part, ps in held.items() if part in WAITS and part not in BEHIND)
        if options.through:
            waits += _behind(self.latencies[name]) * self._waiting_for_walkers(options.through)
        return waits, sum(held.values())

    # --- Where nothing is full ---------------------------------------------------------------------------------------

    def _waited_for(self, device: str, name: str, way: list[str]) -> list[str]:
        """The resource behind the longest wait, though none is full all the time; none if hardly anything waits."""
        latency, options = self.latencies[name], self.topology.devices()[device]
        iommu = options.through or ""
        waits: dict[str, float] = {}
        for part, path in (
            ("slot", f"{device}.slots"),
            ("place", f"{iommu}.places"),
            ("lookup_wait", f"{iommu}.lookup"),
            ("walker_wait", f"{iommu}.walkers"),
            ("read_wait", f"{iommu}.table_reads"),
            ("queue", f"{self._busiest_memory()}.port"),
            ("link_wait", f"{device}.link_{self._busier_way(device)}"),
        ):
            if path in way:
                waits[path] = float(latency.parts.get(part, 0))
        if f"{iommu}.walkers" in waits:
            waits[f"{iommu}.walkers"] += _behind(latency) * self._waiting_for_walkers(iommu)
        longest = max(waits, key=lambda path: waits[path])
        while self.blocked(longest, name) >= HALF:
            inside = [path for path in way[: way.index(longest)] if waits.get(path)]
            if not inside:
                return []
            longest = max(inside, key=lambda path: waits[path])
        return [longest] if waits[longest] >= NOTABLE * latency.mean_ps else []

    def _busiest_memory(self) -> str:
        return max(self._memories, key=lambda path: self.scalars[f"{path}.port.waited_ps"])

    def _busier_way(self, device: str) -> str:
        return max(("up", "down"), key=lambda way: self.scalars[f"{device}.link_{way}.busy_ps"])

    # --- Where nothing waits -----------------------------------------------------------------------------------------

    def _lowers(self, device: str, name: str, part: str) -> Knob | None:
        """What lowers a part of a latency that is no wait: half a hop, half an access."""
        options = self.topology.devices()[device]
        if part == "link":
            return self._lowers_link(device, options, name)
        if part in ("memory", *WALKING):
            return self._lowers_memory(name, part)
        if part == "iotlb" and options.through:
            timing = self.topology.of_kind("iommu")[options.through].timing
            return shorter(f"{options.through}.timing.lookup", timing.lookup)
        return None

    def _lowers_link(self, device: str, options: DmaOptions | RingOptions, name: str) -> Knob | None:
        spent = self.latencies[name].parts["link"]
        one_way = options.posted and name.endswith((".write", ".status"))
        hops = options.link if one_way else 2 * options.link
        found: list[tuple[float, str, int]] = [(hops, f"{device}.link", options.link)]
        packets = 0.0
        if options.bandwidth is not None:
            size = _size(options)
            packets = options.bandwidth.transfer_ps((1 if one_way else 2) * options.header + size)
        if options.through:
            hop = self.topology.of_kind("iommu")[options.through].timing.link
            found.append((spent - hops - packets, f"{options.through}.timing.link", hop))
        most, path, time_ps = max(found)
        if packets > most:
            return self.resources[f"{device}.link_up"].knob
        return shorter(path, time_ps)

    def _lowers_memory(self, name: str, part: str) -> Knob | None:
        most = max(self._memories, key=lambda path: self.scalars[f"{path}.reads"] + self.scalars[f"{path}.writes"])
        memory = self.topology.of_kind("memory")[most]
        writes = name.endswith((".write", ".status")) and part == "memory"
        if memory.bandwidth is not None:
            device = self.topology.devices()[name.rpartition(".")[0]]
            size = _size(device) if part == "memory" else 8
            waited = 0.0 if part == "memory" else self._memory_wait
            if waited + memory.bandwidth.transfer_ps(size) > memory.latency:
                return self.resources[f"{most}.port"].knob
        if writes and memory.write_latency is not None:
            return shorter(f"{most}.write_latency", memory.write_latency)
        return shorter(f"{most}.latency", memory.latency)


def _behind(latency: Latency) -> int:
    """How long a kind of request waited for walks of others, on average."""
    return sum(latency.parts.get(part, 0) for part in BEHIND)


def _size(device: DmaOptions | RingOptions) -> int:
    """Bytes of a request of a device, on average."""
    return device.size if isinstance(device, RingOptions) else device.traffic.mean_size
