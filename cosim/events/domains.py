"""What the DMA API and the IOMMU core promise about domains: what is mapped, who is attached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class MapBegun:
    """An ``iommu_map`` has begun: `size` bytes from `iova` in `domain` may lead to `address` and on for `prot` (rw).

    `Mapped` follows when it returns, `Unmapped` if it fails.
    """

    time: int
    who: str
    domain: str
    iova: int
    size: int
    address: int
    prot: str = "rw"


@dataclass(slots=True)
class Mapped:
    """``iommu_map`` returned: `size` bytes from `iova` in `domain` lead to `address` and on, for `prot` (rw)."""

    time: int
    who: str
    domain: str
    iova: int
    size: int
    address: int
    prot: str = "rw"


@dataclass(slots=True)
class UnmapBegun:
    """An unmap has begun: from here on devices may be refused the range. `Unmapped` follows, or `UnmapFailed`."""

    time: int
    who: str
    domain: str
    iova: int
    size: int


@dataclass(slots=True)
class LeafCleared:
    """A leaf of a page table is no longer valid in memory: from here on no walk finds `size` bytes from `iova` on.

    It is told when the store takes hold, not when a thread makes it; `Unmapped` follows.
    """

    time: int
    who: str
    domain: str
    iova: int
    size: int


@dataclass(slots=True)
class EntriesCleared:
    """A driver says that it has cleared `cleared` bytes of a range that is being unmapped; `Unmapped` follows."""

    time: int
    who: str
    domain: str
    iova: int
    size: int
    cleared: int


@dataclass(slots=True)
class Unmapped:
    """An unmap has returned and its flush is done: from here on no device may reach the range through `domain`."""

    time: int
    who: str
    domain: str
    iova: int
    size: int


class SeenLeaf(NamedTuple):
    """A valid leaf of a page table: `size` bytes from `iova` on lead to `address` and on, for `prot` (rw)."""

    iova: int
    size: int
    address: int
    prot: str
    everywhere: bool = False
    """Whether it has G, so that no flush of a PSCID forgets it."""
    pte: int = 0
    """The entry itself; 0 if that is not told, nor the rest."""
    level: int = 0
    """Of the table that it is in; 0 is that of pages."""
    above: int = 0
    """The bits, but for addresses, that any of the entries has that lead to that table."""


@dataclass(slots=True)
class TableSeen:
    """What the page table of a domain holds for `size` bytes from `iova` on, once all stores will have taken hold.

    It is told when an unmap is asked for, when its range is about to be given out again, and of all of a table at the
    end of a run.
    """

    time: int
    who: str
    domain: str
    iova: int
    size: int
    leaves: tuple[SeenLeaf, ...]


@dataclass(slots=True)
class TableFreed:
    """A page of a page table was freed: the root itself, or one that an entry below `root` led to.

    It is for `size` bytes from `iova` on. No walk comes to it since `unlinked`, when a store took hold; -1 if one may.
    `root` and `address` are where the two are. A table is told of if a valid device context has named its root.
    """

    time: int
    who: str
    root: int
    address: int
    iova: int
    size: int
    unlinked: int


@dataclass(slots=True)
class Misused:
    """Somebody maps a range that is in use, on purpose: where it leads from here on is not the driver's to answer."""

    time: int
    who: str
    domain: str
    iova: int
    size: int


@dataclass(slots=True)
class AddressAsked:
    """A driver that was asked at `began` where `iova` leads has answered `address`; 0 is nowhere."""

    time: int
    who: str
    domain: str
    iova: int
    address: int
    began: int


@dataclass(slots=True)
class Attaching:
    """An attach has begun: from here to its return `device` may reach memory through `domain` as well."""

    time: int
    who: str
    device: str
    domain: str
    device_ids: tuple[int, ...] = ()
    iommu: str = ""


@dataclass(slots=True)
class Attached:
    """An attach has returned: `device` (with its `device_ids`) is in `domain`; an empty name is blocked.

    `iommu` is the one that it is behind.
    """

    time: int
    who: str
    device: str
    device_ids: tuple[int, ...]
    domain: str
    iommu: str = ""


@dataclass(slots=True)
class ContextChanged:
    """A word of a device context has changed in memory, where IOMMU `who` finds it: `field` is tc, iohgatp, ta or fsc.

    It is told when the store takes hold, not when a thread makes it; storing what is there already changes nothing.
    """

    time: int
    who: str
    device_id: int
    field: str
    value: int


@dataclass(slots=True)
class ContextSeen:
    """What the context of one id of `device` says when an attach, or its release, has returned; `Attached` follows.

    Likewise when a probe of IOMMU `who` has returned, if a kernel before had found the device; `IommuProbed` follows.
    `words` are tc, iohgatp, ta and fsc as they will be once what CPUs have stored has taken hold, all 0 where there is
    no context. `domain` is what the device is in now, and empty if that is blocked. `fsc` is what leads to the page
    table of that domain; None if it has none, or if it is not known where. `leads` is whether, of a blocked device, a
    leaf that lets requests pass can be reached from the table that the context names.
    """

    time: int
    who: str
    device_id: int
    device: str
    domain: str
    words: tuple[int, int, int, int]
    fsc: int | None = None
    leads: bool = False


@dataclass(slots=True)
class IommuProbed:
    """The probe of IOMMU `who` has returned well: from here on it refuses each device that is not attached since."""

    time: int
    who: str


@dataclass(slots=True)
class IommuRemoved:
    """The driver has taken IOMMU `who` out of service, and has returned: from here on it uses nothing of the kernel."""

    time: int
    who: str


@dataclass(slots=True)
class KernelEnded:
    """A kernel has left the hardware to the next one, which knows nothing of its devices, domains and mappings."""

    time: int


@dataclass(slots=True)
class DomainMade:
    """A paging domain has come into being; nothing is mapped in it, whatever a domain of that name has had before."""

    time: int
    domain: str


@dataclass(slots=True)
class DomainFreed:
    """A paging domain is about to be freed: what is mapped in it leads nowhere."""

    time: int
    domain: str


@dataclass(slots=True)
class FlushQueued:
    """A range that is unmapped is in the flush queue of `cpu`; `FlushAwaited` follows.

    It leaves the queue by `Unmapped`, or by `FlushGivenUp`.
    """

    time: int
    who: str
    cpu: str
    domain: str
    iova: int
    size: int


@dataclass(slots=True)
class FlushAwaited:
    """The thread that has queued a range has seen to it that a timer will flush it, and goes on."""

    time: int
    who: str
    domain: str
    iova: int


@dataclass(slots=True)
class FlushTimer:
    """What has become of the timer of a domain's flush queue: it is *arming* and *armed*, and *fires* until *done*.

    `due` is when an armed timer is to fire; `who` arms it.
    """

    time: int
    who: str
    domain: str
    state: str
    due: int = 0


@dataclass(slots=True)
class FlushGivenUp:
    """The flush of a range has failed: its IOVAs are not given out again."""

    time: int
    domain: str
    iova: int


@dataclass(slots=True)
class UnmapFailed:
    """An unmap has returned, and its flush has failed, as the driver says: devices may reach the range for good.

    So may they of a map that has failed, if the driver has taken it back without a flush.

    Neither the IOVAs nor what they led to may be used again; `Unmapped` does not follow.
    """

    time: int
    who: str
    domain: str
    iova: int
    size: int


@dataclass(slots=True)
class IovaFreed:
    """A range of IOVAs is about to be given back, and may be given out from here on."""

    time: int
    who: str
    domain: str
    iova: int
    size: int


@dataclass(slots=True)
class FlushBegun:
    """The flush that the ranges in the queue of a domain wait for has begun."""

    time: int
    domain: str


@dataclass(slots=True)
class FlushEnded:
    """A flush that began at `began` has ended well: what was in a queue of the domain by then is out of reach."""

    time: int
    domain: str
    began: int
