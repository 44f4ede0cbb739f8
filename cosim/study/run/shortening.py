"""What lowers a part of a latency that is no wait: half a hop, half an access, half a step of a walk."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.hw.dma.options import DmaOptions, RingOptions
from cosim.hw.iommu.options import MOST_ENTRIES
from cosim.study.run.holders import BEHIND, Holders
from cosim.study.run.latency import Latency
from cosim.study.run.placement import Placement
from cosim.system.resources import Knob, Resource, shorter
from cosim.system.topology import Topology

WALKING = ("walk", "ddt", "pdt", *BEHIND)
"""Parts that are a walk: one's own, or another's."""


class Shortening:
    """What makes steps of a run's requests shorter; `latencies` are those of DMA requests, by name."""

    def __init__(
        self,
        topology: Topology,
        latencies: Mapping[str, Latency],
        scalars: Mapping[str, int | float],
        resources: Mapping[str, Resource],
        placement: Placement,
        holders: Holders,
    ) -> None:
        self._topology = topology
        self._latencies = latencies
        self._scalars = scalars
        self._resources = resources
        self._placement = placement
        self._holders = holders

    def of(self, name: str, part: str) -> Knob | None:
        """What lowers a part of the latency of a kind of request, such as ``nic0.read``; None if nothing is known."""
        options = self._topology.devices()[name.rpartition(".")[0]]
        if part == "link":
            return self._hop(name, options)
        if part == "memory":
            return self._access(name, options)
        if part in WALKING and options.through:
            return self.walk(options.through)
        if part == "iotlb" and options.through:
            timing = self._topology.of_kind("iommu")[options.through].timing
            return shorter(f"{options.through}.timing.lookup", timing.lookup)
        return None

    def walk(self, iommu: str) -> Knob | None:
        """What makes the walks of an IOMMU shorter: what of them takes longest, in memory, on the way or in between.

        Or fewer, if more than half of what is read are contexts of more devices than are kept: no read can be made so
        much shorter.
        """
        contexts, entries = (self._scalars[f"{iommu}.{what}_reads"] for what in ("ddt", "walk"))
        if contexts > entries and (knob := self._contexts(iommu)):
            return knob
        path = self._most_used(self._placement.tables(iommu))
        memory, options = self._placement.memories[path], self._topology.of_kind("iommu")[iommu]
        timing, remote = options.timing, memory.remote if memory.node != options.node else 0
        cached = self._cached(path)
        walks, reads = (self._scalars[f"{iommu}.walk{what}"] for what in ("s", "_reads"))
        found: list[tuple[float, str, int]] = [
            (memory.latency * (1 - cached), f"{path}.latency", memory.latency),
            (memory.cache_latency * cached, f"{path}.cache_latency", memory.cache_latency),
            (2 * remote, f"{path}.remote", remote),
            (2 * timing.link, f"{iommu}.timing.link", timing.link),
            (timing.walk_step, f"{iommu}.timing.walk_step", timing.walk_step),
            (timing.walk_start * walks / max(reads, 1), f"{iommu}.timing.walk_start", timing.walk_start),
        ]
        most, longest, time_ps = max(found)
        if memory.bandwidth is not None and self._holders.table_wait(iommu) + memory.bandwidth.transfer_ps(8) > most:
            return self._resources[f"{path}.port"].knob
        return shorter(longest, time_ps)

    def _contexts(self, iommu: str) -> Knob | None:
        """As many contexts as devices have; None if so many are kept already."""
        kept = self._topology.of_kind("iommu")[iommu].geometry.ddtc_entries
        devices = [options for options in self._topology.devices().values() if options.through == iommu]
        wanted = sum(len(options.ids) or 1 for options in devices)
        if not kept < wanted <= MOST_ENTRIES:
            return None
        return Knob(f"{iommu}.geometry.ddtc_entries", str(1 << (wanted - 1).bit_length()))

    def _cached(self, memory: str) -> float:
        """The fraction of what IOMMUs read for themselves that a memory's cache has, if it has one."""
        hits, misses = (self._scalars.get(f"{memory}.cache.{what}", 0) for what in ("hits", "misses"))
        return hits / (hits + misses) if hits else 0.0

    def _access(self, name: str, options: DmaOptions | RingOptions) -> Knob | None:
        path = self._most_used(self._placement.data(name.rpartition(".")[0]))
        memory = self._placement.memories[path]
        write_latency = memory.write_latency if _writes(name) else None
        what, time_ps = ("latency", memory.latency) if write_latency is None else ("write_latency", write_latency)
        if memory.bandwidth is not None and memory.bandwidth.transfer_ps(options.mean_size) > time_ps:
            return self._resources[f"{path}.port"].knob
        return shorter(f"{path}.{what}", time_ps)

    def _most_used(self, memories: list[str]) -> str:
        return max(memories, key=lambda path: self._scalars[f"{path}.reads"] + self._scalars[f"{path}.writes"])

    def _hop(self, name: str, options: DmaOptions | RingOptions) -> Knob | None:
        device = name.rpartition(".")[0]
        spent = self._latencies[name].parts["link"]
        one_way = options.posted and _writes(name)
        hops = options.link if one_way else 2 * options.link
        found: list[tuple[float, str, int]] = [(hops, f"{device}.link", options.link)]
        packets = 0.0
        if options.bandwidth is not None:
            packets = options.bandwidth.transfer_ps((1 if one_way else 2) * options.header + options.mean_size)
        if options.through:
            iommu = self._topology.of_kind("iommu")[options.through]
            path = self._most_used(self._placement.data(device))
            memory = self._placement.memories[path]
            remote = 2 * memory.remote if memory.node != iommu.node else 0
            found.append((remote, f"{path}.remote", memory.remote))
            found.append((spent - hops - packets - remote, f"{options.through}.timing.link", iommu.timing.link))
        most, path, time_ps = max(found)
        if packets > most:
            return self._resources[f"{device}.link_up"].knob
        return shorter(path, time_ps)


def _writes(name: str) -> bool:
    return name.endswith((".write", ".status"))
