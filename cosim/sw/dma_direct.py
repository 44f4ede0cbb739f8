"""The DMA API without translation (Linux, kernel/dma/direct.c): the device is told physical addresses.

So it is for a device behind no IOMMU, and for one in the identity domain (``iommu.passthrough=1``). Memory is coherent
here: there is nothing to synchronise, and an unmap does nothing that a device could notice.
"""

from __future__ import annotations

from collections.abc import Sequence

from cosim.sim.operations import Work
from cosim.sw.dma_api import BOTH, Coherent, DmaApi, Piece, Segment
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import Prot


class DmaDirect(DmaApi):
    """Buffers keep their physical addresses; each piece is a segment of its own, as dma_direct_map_sg leaves it.

    No `Mapped` and no `Unmapped` is told of: nothing is ever out of a device's reach.
    """

    merges = False

    def __init__(self, core: IommuCore) -> None:
        super().__init__(core, core.driver.identity)
        self._cost_ps = core.kernel.options.dma_direct_cost
        self._coherent: set[int] = set()

    async def map_sg(self, pieces: Sequence[Piece], prot: Prot = BOTH) -> tuple[Segment, ...]:
        async with self.core.calls.measured("map"):
            await Work(self._cost_ps * len(pieces))
        return tuple(Segment(*piece) for piece in pieces)

    async def unmap_sg(self, segments: Sequence[Segment]) -> None:
        async with self.core.calls.measured("unmap"):
            await Work(self._cost_ps * len(segments))

    async def alloc_coherent(self, size: int, *, purpose: str = "ring") -> Coherent:
        memory = await super().alloc_coherent(size, purpose=purpose)
        self._coherent.add(memory.address)
        return memory

    async def free_coherent(self, memory: Coherent) -> None:
        self._coherent.remove(memory.address)
        await super().free_coherent(memory)

    async def be_lazy(self) -> None:
        """Nothing is flushed at all."""

    async def close(self) -> None:
        """Nothing is held."""

    def roots(self) -> list[int]:
        """What devices hold, since no page table leads to it."""
        return sorted(self._coherent)
