"""The DMA API as drivers of devices call it (Linux, struct dma_map_ops): a buffer is given an address for the device.

Two implementations: `dma_iommu`, where an IOMMU translates that address, and `dma_direct`, where nothing does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from cosim.spec.pagetable import PAGE
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import Domain, Prot
from cosim.sw.kernel.errors import KernelError

BOTH = Prot.READ | Prot.WRITE


class Piece(NamedTuple):
    """A stretch of physical memory: an entry of a scatter list."""

    address: int
    size: int


class Segment(NamedTuple):
    """A stretch of a mapped scatter list as the device sees it (sg_dma_address, sg_dma_len), in bytes."""

    address: int
    size: int


class Coherent(NamedTuple):
    """Memory that CPU and device share: where it is for either."""

    address: int
    iova: int
    size: int


class DmaApi(ABC):
    """The DMA API of the devices that are in `domain`. All calls are awaited by a thread."""

    merges: ClassVar[bool]
    """Whether a scatter list becomes one segment, which a device can be told of as one range."""

    def __init__(self, core: IommuCore, domain: Domain) -> None:
        self.core = core
        self.domain = domain

    @abstractmethod
    async def map_sg(self, pieces: Sequence[Piece], prot: Prot = BOTH) -> tuple[Segment, ...]:
        """dma_map_sg: the segments that the device is told of. KernelError ENOMEM, or what the driver reports."""

    @abstractmethod
    async def unmap_sg(self, segments: Sequence[Segment]) -> None:
        """dma_unmap_sg: `segments` are all that a `map_sg` returned."""

    @abstractmethod
    async def be_lazy(self) -> None:
        """Let unmaps wait for a common flush, for every user of the domain. KernelError ENOMEM."""

    @abstractmethod
    async def close(self) -> None:
        """Free what the domain has here; nothing is mapped through it any more."""

    @abstractmethod
    def roots(self) -> list[int]:
        """The kernel objects that are held here; takes no time."""

    async def map(self, address: int, size: int, prot: Prot = BOTH) -> int:
        """dma_map_single: the device's address of `size` bytes at `address`. KernelError as for `map_sg`."""
        return (await self.map_sg([Piece(address, size)], prot))[0].address

    async def unmap(self, iova: int, size: int) -> None:
        """dma_unmap_single: `size` is what was mapped from `iova` on."""
        await self.unmap_sg([Segment(iova, size)])

    async def alloc_coherent(self, size: int, *, purpose: str = "ring") -> Coherent:
        """dma_alloc_coherent: zeroed memory, mapped for both. KernelError ENOMEM."""
        pages = self.core.kernel.pages
        order = (-(-size // PAGE) - 1).bit_length()
        address = await pages.alloc(order, purpose=purpose)
        try:
            return Coherent(address, await self.map(address, size), size)
        except KernelError:
            await pages.free(address)
            raise

    async def free_coherent(self, memory: Coherent) -> None:
        """dma_free_coherent."""
        await self.unmap(memory.iova, memory.size)
        await self.core.kernel.pages.free(memory.address)
