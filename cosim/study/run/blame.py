"""Which resource a kind of request waits for in the end: what is full, and is not itself waiting for another.

Resources lie inside one another: a slot of the device is held while the request waits for its link, for a place in the
IOMMU and for memory; a place while it waits for the look-up, for a walker and for the record of a fault; a walker while
it waits for memory.

    slots [ link up   places [ look-up   walkers [ table reads [ memory ] ]   fault recorder ]   memory   link down ]

The two memories are one, or apart: where a window is on another node than the tables of the IOMMU.

A resource that is full only because its holders wait inside passes the blame on. So do places whose holders wait for
one another's walks: with twice as many, twice as many would wait for the same walk, and a shorter walk is what helps.
What is full and does not pass the blame on is the cause; where several are, each would be at once in the way of the
other, and all of them are named.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from cosim.study.run.holders import MERGED, Holders, behind
from cosim.study.run.latency import Latency
from cosim.study.run.placement import Placement
from cosim.study.run.shortening import WALKING, Shortening
from cosim.study.run.starved import starved
from cosim.study.run.uses import SATURATED
from cosim.system.resources import Knob, Resource, fullness, resources_of
from cosim.system.topology import Topology

FULL = 0.9
"""A resource in use for this fraction of the window would be in the way at once if another were larger."""

ALWAYS = 0.97
"""A resource in use for this fraction of the window has nothing left to give."""

PASSES = 0.25
"""A resource passes the blame on if its holders spend this fraction of their time waiting for what is inside it."""

HARDLY = 0.05
"""A request hardly waits for what it waits for no longer than this fraction of its latency."""

NEARLY = 0.8
"""A resource in use for this fraction of the window would be full with twice as much around it."""

HALF = 0.5
NOTABLE = 0.15
"""A wait is worth naming, though nothing is full, if it is this fraction of a latency."""


HOLDING = frozenset({"walkers", "places", "slots"})
"""Resources that are held while their holders wait for what is inside."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What a kind of request waits for in the end: resources, if there are any, and what makes it wait less."""

    resources: tuple[Resource, ...]
    uses: tuple[float, ...]
    """The fraction of the window that each of them was in use."""
    of: tuple[str, ...]
    """The latency part that each is full of, if the wait for that is what has to become shorter; else empty."""
    knobs: tuple[Knob, ...]


Filled = Mapping[str, str]
Instead = Mapping[str, tuple[Knob | None, ...]]
NONE: Mapping[str, Any] = {}


class Blame:
    """Traces the waits of a run's requests; `latencies` are those of DMA requests, by name."""

    def __init__(
        self, topology: Topology, latencies: Mapping[str, Latency], scalars: Mapping[str, int | float]
    ) -> None:
        self.topology = topology
        self.latencies = latencies
        self.scalars = scalars
        self.resources = resources_of(topology)
        self._placement = Placement(topology)
        self._holders = Holders(topology, latencies, scalars, self._placement)
        self.uses = {path: self._use(each) for path, each in self.resources.items()}
        self._shortening = Shortening(topology, latencies, scalars, self.resources, self._placement, self._holders)

    def cause(self, name: str) -> Cause:
        """What the requests of a kind, such as ``nic0.read``, wait for in the end."""
        device = name.rpartition(".")[0]
        latency, options = self.latencies[name], self.topology.devices()[device]
        way = self._way(device, latency.parts)
        full = self._full(name, way) or self._waited_for(device, name, way)
        iommu = options.through or ""
        places, slots = f"{iommu}.places", f"{device}.slots"
        of: Filled = {}
        instead: Instead = {}
        # With more of what requests hold while they wait for one another's walks, more of them wait for the same one.
        if places in full and f"{iommu}.walkers" not in full and (walk := self._shortening.walk(iommu)):
            if self._holders.merged(iommu) >= MERGED:
                full = [path for path in full if path != slots or self.uses[places] < FULL]
                of, instead = {places: "merge_wait"}, {places: (walk,)}
            elif self._holders.walks_alone(iommu):
                instead = {places: (self.resources[places].knob, walk)}
        elif full == [slots] and behind(latency) >= MERGED * latency.mean_ps:
            of, instead = {slots: "merge_wait"}, {slots: (self.resources[slots].knob, self._shortening.walk(iommu))}
        elif self.uses[slots] >= FULL and behind(latency) >= PASSES * latency.mean_ps and self._all_links(full):
            instead = {full[-1]: (self.resources[full[-1]].knob, self._shortening.walk(iommu))}
        if max(latency.parts, key=lambda part: latency.parts[part]) == "fault":
            instead = {**instead, slots: ()}  # with more of them there would be more faults
        if full:
            return self._of(full, of, instead)
        for part in sorted(latency.parts, key=lambda part: -latency.parts[part]):
            if (knob := self._shortening.of(name, part)) is not None:
                return Cause((), (), (), (knob,))
        return Cause((), (), (), ())

    def saturated(self) -> list[str]:
        """All hardware that is saturated, the busiest first; slots, which a device may take as it pleases, are none."""
        found = [path for path, use in self.uses.items() if use > SATURATED and self.resources[path].name != "slots"]
        return sorted(found, key=lambda path: -self.uses[path])

    def behind(self, device: str) -> Cause | None:
        """What is in the way of a device of which no request made in the window ended in it: its backlog was long, or
        it got nothing at all.

        None if it made none, or if nothing is full but slots that it always takes. How long the holders wait for what
        is inside is not known without a latency: named are the innermost that is full, with what is busiest inside it,
        since what becomes free goes to other devices as well, and whatever else is full and has nothing inside.
        """
        backlog = self.scalars[f"{device}.backlog_mean"]
        if backlog < 1 and device not in starved(self.scalars):
            return None
        way = self._way(device, (*WALKING, "place"))
        full = [path for path in way if self.uses[path] >= FULL]
        if full == [f"{device}.slots"] and backlog < 1:
            return None
        iommu = self.topology.devices()[device].through
        places = f"{iommu}.places"
        if places in full and self._reads_overtake(device):
            arrival = Knob(f"{iommu}.geometry.arbitration", "arrival")
            return self._of([places], {places: "place"}, {places: (arrival,)})
        named = [path for path in full[1:] if self.resources[path].name not in HOLDING or self._bounds(path, full)]
        if full and self.resources[full[0]].name != "slots":
            named = [*self._busiest_inside(full[0], way, HALF), *full[:1], *named]
        return self._of(named or full)

    def _reads_overtake(self, device: str) -> bool:
        """Whether reads of other devices go first where no write of this one was served: they take more places, too."""
        options = self.topology.devices()
        through = options[device].through
        if through is None or self.topology.of_kind("iommu")[through].geometry.arbitration == "arrival":
            return False
        others = (path for path, each in options.items() if path != device and each.through == through)
        served = not options[device].writes or self.scalars[f"{device}.writes"]
        return not served and any(self.scalars[f"{path}.reads"] for path in others)

    def _of(self, paths: list[str], of: Filled = NONE, instead: Instead = NONE) -> Cause:
        """The cause that these resources are; what makes it better are their own knobs, or others `instead`."""
        knobs = (knob for path in paths for knob in instead.get(path, (self.resources[path].knob,)) if knob)
        return Cause(
            tuple(self.resources[path] for path in paths),
            tuple(self.uses[path] for path in paths),
            tuple(of.get(path, "") for path in paths),
            tuple(dict.fromkeys(knobs)),
        )

    def _all_links(self, full: list[str]) -> bool:
        """Whether what is full are links, which carry nothing while requests wait for one another's walks together."""
        return bool(full) and all(self.resources[path].name.startswith("link") for path in full)

    def _full(self, name: str, way: list[str]) -> list[str]:
        """What is full and does not pass the blame on to something full inside it.

        With the innermost what is busiest inside it is named as well, if either alone may not help: if the blame passes
        on to that though it is not full, or if it would be with twice as much around it. Walkers come with the places
        that bound how many of them can be in use. Where none of it is in use all the time, the slots of a device that
        always has a request are in the way as well.
        """
        full = [path for path in way if self.uses[path] >= FULL and not self._idly_full(path, name)]
        named = [path for path in full if self.blocked(path, name) < PASSES]
        if full:
            passes = full[0] not in named and self.resources[full[0]].name != "slots"
            inside = self._busiest_inside(full[0], way, HALF if passes else NEARLY)
            named = [*inside, *(full[:1] if passes else []), *named]
        named += [path for path in full if path not in named and self._bounds(path, named)]
        if named and max(self.uses[path] for path in named) < ALWAYS:
            named += [path for path in full if path not in named and self.resources[path].name == "slots"]
        return named

    def _use(self, resource: Resource) -> float:
        """The fraction of the window that a resource was in use."""
        if resource.name == "slots":
            return self._holders.slots_taken(resource.owner)
        return fullness(resource, self.topology, self.scalars)

    def _idly_full(self, path: str, name: str) -> bool:
        """Whether it is the slots of a device whose requests come at times of their own, and hardly wait for one."""
        resource = self.resources[path]
        if resource.name != "slots" or self.topology.devices()[resource.owner].pace.always:
            return False
        latency = self.latencies[name]
        return latency.parts.get("slot", 0) <= HARDLY * latency.mean_ps

    def _busiest_inside(self, path: str, way: list[str], least: float) -> list[str]:
        """What is busiest of all that lies inside of a resource, if it is for at least this fraction of the window."""
        inside = [each for each in way[: way.index(path)] if self.uses[each] >= least]
        return [max(inside, key=lambda each: self.uses[each])] if inside else []

    def _bounds(self, path: str, named: list[str]) -> bool:
        """Whether a resource is so few that more walkers, where they are named, would stay idle: the places."""
        resource = self.resources[path]
        if resource.name != "places" or f"{resource.owner}.walkers" not in named:
            return False
        geometry = self.topology.of_kind("iommu")[resource.owner].geometry
        return bool(geometry.in_flight <= geometry.walkers)

    def _way(self, device: str, parts: Container[str]) -> list[str]:
        """The resources that requests of this kind pass, the innermost first; also those that others pass, for whose
        places they wait."""
        iommu = self.topology.devices()[device].through
        data, tables = self._placement.data(device), self._placement.tables(iommu) if iommu else []
        both, apart = [path for path in data if path in tables], [path for path in data if path not in tables]
        names = [f"{path}.port" for path in both]
        if iommu:
            walks = any(part in parts for part in (*WALKING, "walker_wait", "read_wait"))
            if walks or ("place" in parts and self.blocked(f"{iommu}.places", "") >= PASSES):
                names += [f"{path}.port" for path in tables if path not in both]
                names += [f"{iommu}.table_reads", f"{iommu}.walkers"]
            if "fault" in parts or ("place" in parts and self.blocked(f"{iommu}.places", "") >= PASSES):
                names.append(f"{iommu}.fq")
            names += [f"{iommu}.lookup", f"{iommu}.places"]
        names += [f"{path}.port" for path in apart]
        names += [f"{device}.link_down", f"{device}.link_up", f"{device}.slots"]
        return [name for name in names if name in self.resources]

    def blocked(self, path: str, name: str) -> float:
        """The fraction of the time that a resource is held in which its holder waits for what is inside it."""
        return self._holders.blocked(self.resources[path], name)

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
            ("queue", f"{self._busiest_memory(device)}.port"),
            ("link_wait", f"{device}.link_{self._busier_way(device)}"),
        ):
            if path in way:
                waits[path] = float(latency.parts.get(part, 0))
        if f"{iommu}.walkers" in waits:
            waits[f"{iommu}.walkers"] += behind(latency) * self._holders.waiting_for_walkers(iommu)
        longest = max(waits, key=lambda path: waits[path])
        while self.blocked(longest, name) >= HALF:
            inside = [path for path in way[: way.index(longest)] if waits.get(path)]
            if not inside:
                return []
            longest = max(inside, key=lambda path: waits[path])
        return [longest] if waits[longest] >= NOTABLE * latency.mean_ps else []

    def _busiest_memory(self, device: str) -> str:
        return max(self._placement.data(device), key=lambda path: self.scalars[f"{path}.port.waited_ps"])

    def _busier_way(self, device: str) -> str:
        return max(("up", "down"), key=lambda way: self.scalars[f"{device}.link_{way}.busy_ps"])
