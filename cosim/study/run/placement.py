"""In which memories a system has what requests reach: the windows of devices, and the tables of IOMMUs."""

from __future__ import annotations

from cosim.hw.dma.options import DmaOptions
from cosim.system.topology import Topology


class Placement:
    """The memories, by path, in which things of a topology are; a node that is full and overflows is not thought of."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.memories = topology.of_kind("memory")
        """All of them."""

    def data(self, device: str) -> list[str]:
        """Those that requests of a device reach; all, if it is threads that give it buffers."""
        options = self._topology.devices()[device]
        if not isinstance(options, DmaOptions) or not options.traffic.how.begins:
            return list(self.memories)
        if options.traffic.node is not None:
            return self._near(options.traffic.node)
        return self.tables(options.through) if options.through else self._near(0)

    def tables(self, iommu: str) -> list[str]:
        """Those that the walks of an IOMMU read."""
        return self._near(self._topology.of_kind("iommu")[iommu].node)

    def _near(self, node: int) -> list[str]:
        """Those of a node, or of the one that has memory and is nearest to it."""
        general = {path: memory for path, memory in self.memories.items() if not memory.reserved}
        nearest = min((memory.node for memory in general.values()), key=lambda each: (abs(each - node), each))
        return [path for path, memory in general.items() if memory.node == nearest]
