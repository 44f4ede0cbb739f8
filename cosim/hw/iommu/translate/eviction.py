"""Caches that drop entries at will, as they may ("Caching in-memory data structures"): ``latitude.evict``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.translate.device_context import DeviceContext
from cosim.hw.iommu.translate.directory import Directory, Registers
from cosim.hw.iommu.translate.iotlb import Iotlb
from cosim.hw.iommu.translate.leaf import Leaf
from cosim.hw.iommu.translate.page_table import PageTable

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

_CHANCE = 4
"""With ``latitude.evict: on`` one hit in so many finds its entry gone."""


class Eviction:
    """Says at each hit whether the entry has gone just before: each time with the same probability."""

    def __init__(self, sim: Sim, path: str) -> None:
        self.sim = sim
        self.path = path
        self._stream = sim.chooser.stream(f"{path}.evict")

    def happens(self) -> bool:
        """Whether the entry has gone."""
        return self._stream.below(_CHANCE) == 0


class EvictionAsExplored(Eviction):
    """Says it as the schedule does."""

    def happens(self) -> bool:
        return self.sim.exploring and self.sim.actions.pick(f"{self.path}.evict", 2) == 1


class EvictingIotlb(Iotlb):
    """An IOTLB that may drop an entry just before it is looked up."""

    def __init__(self, sim: Sim, path: str, options: IommuOptions, eviction: Eviction) -> None:
        super().__init__(sim, path, options)
        self.eviction = eviction

    def lookup(self, gscid: int, pscid: int, iova: int, write: bool) -> Leaf | None:
        leaf = self.find(gscid, pscid, iova, write)
        if leaf is not None and self.eviction.happens():
            self.evict(leaf)
        return super().lookup(gscid, pscid, iova, write)


class EvictingDirectory(Directory):
    """A directory whose cache may drop a context just before it is looked up."""

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: IommuOptions,
        registers: Registers,
        tables: Mapping[str, PageTable],
        eviction: Eviction,
    ) -> None:
        super().__init__(sim, path, options, registers, tables)
        self.eviction = eviction

    def lookup(self, device_id: int) -> DeviceContext | None:
        if self.contexts.touch(device_id) is not None and self.eviction.happens():
            self.contexts.discard(device_id)
        return super().lookup(device_id)
