"""Domains: address spaces that devices can be attached to, the bonds that tie them, and what an unmap gathers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntFlag, auto

from cosim.spec.bits import ONES
from cosim.sw.kernel.lists import ListHead
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import Object, cell, embed


class DomainObject(Object):
    """A paging domain: a page table, its PSCID, and the bonds to what may have cached it."""

    __slots__ = ()
    lock = embed(SpinLock)
    """Of those who change `bonds`, in variants that have one."""
    bonds = embed(ListHead)
    pscid = cell()
    """Its process soft-context id on every IOMMU, in variants that have one for all."""
    mode = cell()
    """iosatp.MODE of the page table."""
    root = cell()
    """Address of the root table; 0 before it is allocated."""
    node = cell()
    """NUMA node of its tables."""
    dirty_by_hardware = cell()
    """1 if IOMMUs set D by themselves (capabilities.AMO_HWAD), so that PTEs begin with D=0."""
    single = cell()
    """The one IOMMU that flushes go to, in the variant that keeps no bonds."""
    tags = embed(ListHead)
    """Its `Tag`s, in variants that number a domain on each IOMMU by itself."""


class Bond(Object):
    """A device's tie to a domain: from before its first use of the PSCID until its last translation is flushed.

    It holds the device, or (in variants that do so) the IOMMU itself. Freed after a grace period.
    """

    __slots__ = ()
    list = embed(ListHead)
    device = cell()
    """Address of the `DeviceObject`."""
    iommu = cell()
    """Address of the `IommuDevice`; 0 in variants that find it through the device."""
    pscid = cell()
    """The PSCID on this IOMMU, in variants that have one for each."""


class Tag(Object):
    """A domain's PSCID on one IOMMU, counted by devices; changed under the domain's lock."""

    __slots__ = ()
    list = embed(ListHead)
    iommu = cell()
    pscid = cell()
    users = cell()


IDENTITY = "identity"
"""The name of the identity domain, which is there without being made."""


class DomainKind(Enum):
    """What a domain does with requests."""

    PAGING = auto()
    IDENTITY = auto()
    BLOCKED = auto()


class Prot(IntFlag):
    """What a mapping permits."""

    READ = 1
    WRITE = 2

    @property
    def letters(self) -> str:
        """As events have it: r, w or rw."""
        return "r" * bool(self & Prot.READ) + "w" * bool(self & Prot.WRITE)


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain as its users hold it. Identity and blocked domains have no structure of their own."""

    name: str
    kind: DomainKind
    object: DomainObject
    page_sizes: tuple[int, ...] = ()
    """Of leaves, in bytes, smallest first."""
    aperture_end: int = ONES
    """The last IOVA that can be mapped."""


@dataclass(slots=True)
class Gather:
    """What one unmap has cleared and not flushed yet (struct iommu_iotlb_gather); private to its caller.

    `end` is inclusive; empty, it is (all ones, 0). `queued`: the flush is left to a flush queue.
    """

    start: int = ONES
    end: int = 0
    page_size: int = 0
    queued: bool = False
    freelist: list[int] = field(default_factory=list)
    """Page-table pages to be freed once the flush is done."""

    @property
    def empty(self) -> bool:
        """Whether nothing was gathered."""
        return self.start > self.end

    def disjoint(self, iova: int, size: int) -> bool:
        """Whether something lies between what was gathered and `size` bytes from `iova` on."""
        return not self.empty and (iova > self.end + 1 or iova + size < self.start)

    def add(self, iova: int, size: int) -> None:
        """Widen the range."""
        self.start = min(self.start, iova)
        self.end = max(self.end, iova + size - 1)

    def clear(self) -> None:
        """Begin again, as after a flush; the freelist is its owner's to empty."""
        self.start, self.end, self.page_size = ONES, 0, 0


@dataclass(frozen=True, slots=True)
class MapResult:
    """How many bytes from the start are mapped; `failed` is an errno, 0 if that is all of them."""

    mapped: int
    failed: int = 0
