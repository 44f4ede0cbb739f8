"""What lowers a part of a latency that is no wait: half a hop, half an access."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.hw.dma.options import DmaOptions, RingOptions
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
        """What makes the walks of an IOMMU shorter: the memory that they read."""
        path = self._most_used(self._placement.tables(iommu))
        memory = self._placement.memories[path]
        if memory.bandwidth is not None:
            read = self._holders.table_wait(iommu) + memory.bandwidth.transfer_ps(8)
            if read > memory.latency:
                return self._resources[f"{path}.port"].knob
        return shorter(f"{path}.latency", memory.latency)

    def _access(self, name: str, options: DmaOptions | RingOptions) -> Knob | None:
        path = self._most_used(self._placement.data(name.rpartition(".")[0]))
        memory = self._placement.memories[path]
        if memory.bandwidth is not None and memory.bandwidth.transfer_ps(_size(options)) > memory.latency:
            return self._resources[f"{path}.port"].knob
        if _writes(name) and memory.write_latency is not None:
            return shorter(f"{path}.write_latency", memory.write_latency)
        return shorter(f"{path}.latency", memory.latency)

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
            packets = options.bandwidth.transfer_ps((1 if one_way else 2) * options.header + _size(options))
        if options.through:
            hop = self._topology.of_kind("iommu")[options.through].timing.link
            found.append((spent - hops - packets, f"{options.through}.timing.link", hop))
        most, path, time_ps = max(found)
        if packets > most:
            return self._resources[f"{device}.link_up"].knob
        return shorter(path, time_ps)


def _writes(name: str) -> bool:
    return name.endswith((".write", ".status"))


def _size(device: DmaOptions | RingOptions) -> int:
    """Bytes of a request of a device, on average."""
    return device.size if isinstance(device, RingOptions) else device.traffic.mean_size
