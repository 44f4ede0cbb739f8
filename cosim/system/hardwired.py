"""What lies at the hardwired addresses of IOMMUs, and what of memory that leaves to the kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cosim.config.problems import Path
from cosim.hw.iommu.in_memory_queue import CQ, FQ
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.options import MemoryOptions
from cosim.spec.pagetable import PAGE
from cosim.sw.kernel.buddy import Region
from cosim.sw.kernel.kernel import STATIC_BYTES
from cosim.system.topology import Topology

DEVICES_A_PART = 256
"""For each so many devices, the kernel's own words take `STATIC_BYTES` more."""


class Structure(NamedTuple):
    """A queue of its largest size, or the root page of a directory: bytes `base` .. `base + size`.

    Its size is a page or a power of two of them, and it has to start at a multiple of that.
    """

    iommu: str
    register: str
    base: int
    size: int

    @property
    def path(self) -> Path:
        """Where the topology says so."""
        return ("parts", self.iommu, "hardwired", self.register)

    def meets(self, base: int, size: int) -> bool:
        """Whether any byte of a range belongs to it."""
        return base < self.base + self.size and self.base < base + size


def structures(topology: Topology) -> list[Structure]:
    """Everything at a hardwired address, in the order of the file."""
    found = []
    for name, iommu in topology.of_kind("iommu").items():
        sizes = _sizes(iommu)
        found += [Structure(name, register, base, sizes[register]) for register, base in iommu.hardwired if base]
    return found


def directories(topology: Topology) -> list[Region]:
    """The root pages of directories that no allocator has given out."""
    return [Region(one.base, one.size) for one in structures(topology) if one.register == "ddtp"]


def regions(topology: Topology) -> list[Region]:
    """What the kernel gives out: memory that is not reserved, but for what is hardwired in it.

    The first one has room for the kernel's own words, if there is one; the others are in the order of the file.
    """
    taken = sorted(structures(topology), key=lambda one: one.base)
    found = [
        piece
        for memory in topology.of_kind("memory").values()
        if not memory.reserved
        for piece in _without(memory, [one for one in taken if one.meets(memory.base, memory.size)])
    ]
    needed = static_bytes(topology)
    first = next((index for index, region in enumerate(found) if region.size > needed), 0)
    return [*found[first : first + 1], *found[:first], *found[first + 1 :]]


def static_bytes(topology: Topology) -> int:
    """What the kernel keeps for its own words: it has some for each device, its group and its domain."""
    return STATIC_BYTES * max(1, -(-len(topology.devices()) // DEVICES_A_PART))


def _sizes(iommu: IommuOptions) -> dict[str, int]:
    """What the registers of a base point to, in bytes."""
    queues = {"cqb": CQ.entry << iommu.geometry.cq_log2, "fqb": FQ.entry << iommu.geometry.fq_log2}
    return {register: max(PAGE, size) for register, size in queues.items()} | {"ddtp": PAGE}


def _without(memory: MemoryOptions, taken: Sequence[Structure]) -> Iterator[Region]:
    """The pieces of a memory between structures, which are in the order of their addresses."""
    start = memory.base
    for one in taken:
        if one.base > start:
            yield Region(start, one.base - start, memory.node)
        start = one.base + one.size
    if start < memory.base + memory.size:
        yield Region(start, memory.base + memory.size - start, memory.node)
