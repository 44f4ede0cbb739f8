"""What an IOMMU driver is for the core, the DMA API and iommu_map (Linux, include/linux/iommu.h): types and contract.

`IommuDriver` is iommu_ops, iommu_domain_ops and the entry points of the bus in one. The row of policies in `sw.driver`
is one such driver; whatever else keeps this contract may take its place, and nothing above asks which it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntFlag, auto
from typing import Protocol

from cosim.spec.bits import ONES
from cosim.spec.translation import Fsc
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import Object, cell

# --- Devices --------------------------------------------------------------------------------------------------------


class DevIommu(Object):
    """What the core keeps for a device that is behind an IOMMU (struct dev_iommu); freed when the device leaves."""

    __slots__ = ()
    iommu_dev = cell()
    """Address of the driver's structure of the IOMMU."""
    priv = cell()
    """Address of the driver's data of the device; the driver's to store."""


class DeviceObject(Object):
    """The part of struct device that matters here; freed when the device leaves."""

    __slots__ = ()
    iommu = cell()
    """Address of its `DevIommu`, 0 without an IOMMU."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device as it was found: its name, its structure in memory, the `device_id`s of its requests."""

    name: str
    object: DeviceObject
    ids: tuple[int, ...]
    node: int = 0
    iommu: str = ""
    """The name of the IOMMU that it is behind."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """An IOMMU as firmware describes it: its registers and where its interrupts go.

    `vectors` are the interrupt numbers of `cpu`, one for each vector of the IOMMU. `messages` are the (address, data)
    pairs that raise them, where the IOMMU can send messages; without, it uses wires.
    """

    name: str
    base: int
    vectors: tuple[int, ...]
    cpu: str
    messages: tuple[tuple[int, int], ...] = ()
    node: int = 0


# --- Domains --------------------------------------------------------------------------------------------------------

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
    """A domain (struct iommu_domain). `object` is the driver's structure in memory, of which the core knows only the
    address; identity and blocked domains have none: address 0."""

    name: str
    kind: DomainKind
    object: Object
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
    stride: int = 0
    """The bytes that the smallest of the cleared entries spans; 0 if the page table does not tell."""
    frames: list[tuple[int, int]] = field(default_factory=list)
    """Addresses and sizes of the pages that were mapped, where the page table keeps account of them."""
    kept: bool = False
    """Whether a part of the unmap could not be flushed, so that what it was mapped to may not be used again."""

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

    def cleared(self, span: int) -> None:
        """An entry that spans so many bytes was cleared."""
        self.stride = min(self.stride or span, span)

    def clear(self) -> None:
        """Begin again, as after a flush; the freelist is its owner's to empty."""
        self.start, self.end, self.page_size, self.stride = ONES, 0, 0, 0
        self.frames.clear()


@dataclass(frozen=True, slots=True)
class MapResult:
    """How many bytes from the start are mapped; `failed` is an errno, 0 if that is all of them."""

    mapped: int
    failed: int = 0


# --- The contract ---------------------------------------------------------------------------------------------------


class DomainOps(Protocol):
    """iommu_domain_ops: what is asked of a paging domain that the driver has made and not freed.

    The core holds no lock in any of these. Calls for one domain may run beside one another, beside `attach_dev` of the
    same domain, and beside themselves; the callers see to it that no two of them map or unmap overlapping ranges. None
    of them may sleep: a driver of a device may call from wherever interrupts are masked. They may allocate memory.
    """

    async def map_pages(
        self, domain: Domain, iova: int, paddr: int, page_size: int, count: int, prot: Prot
    ) -> MapResult:
        """Map `count` pages of `page_size`, one of `domain.page_sizes`, from `iova` to `paddr` on.

        Before: both addresses are multiples of `page_size`. After: `MapResult.mapped` bytes from `iova` on are mapped,
        and a device that is told of them by a later register write reaches them. A failure is the result's errno, and
        never raised; the caller unmaps what was mapped. Nothing is flushed, since what is not mapped is not cached; but
        what the driver itself takes back is, as by an unmap.
        """

    async def unmap_pages(self, domain: Domain, iova: int, page_size: int, count: int, gather: Gather) -> int:
        """Clear the entries of `count` pages of `page_size` from `iova` on, up to the first that is not mapped.

        After: that many bytes are cleared, which is returned, and they are in `gather` or flushed already. Devices may
        reach the pages until `iotlb_sync` or `flush_iotlb_all` has returned. Raises nothing.
        """

    async def iova_to_phys(self, domain: Domain, iova: int) -> int:
        """Where `iova` leads; 0 if it is not mapped. Some drivers oops on an IOVA that is not."""

    def table(self, domain: Domain, word: Callable[[int], int]) -> Fsc | None:
        """Where the page table of a paging domain is, and of which mode, as a device context has it; None if not known.

        For those who watch: it takes no time. `word` is what memory holds at an address.
        """

    async def iotlb_sync(self, domain: Domain, gather: Gather) -> bool | None:
        """Flush what an unmap has gathered, and wait for that.

        After: no device reaches what was gathered, `gather` is empty, and the pages of its freelist are freed. False if
        a device may reach it still: the range of IOVAs is then not to be used again, and what it was mapped to stays
        with the kernel for good, whoever frees it. Most drivers fail silently, as in Linux: a flush that has not
        completed in time is logged at most.
        """

    async def flush_iotlb_all(self, domain: Domain) -> bool | None:
        """Flush everything of a domain, and wait for that.

        The flush queue calls it under its spinlock with interrupts masked, and its timer in interrupt context. After:
        no device reaches what was cleared before the call. False if one may; most drivers fail silently.
        """


class IommuDriver(DomainOps, Protocol):
    """One loaded driver, for all IOMMUs of the system. What is ``async`` is awaited by a thread of `kernel`.

    Failures of the ordinary kind are `KernelError`s, as the negated errno in C, and leave nothing changed unless it is
    said otherwise; what the kernel would not survive is an `Oops`, and may be raised by any call. The core holds no
    lock but those that are named.
    """

    kernel: Kernel
    """The kernel into which it is loaded."""
    identity: Domain
    """The domain in which requests pass as they are; there from the start, and never freed."""
    blocked: Domain | None
    """The domain in which no request passes, which a device enters when it leaves; None if the driver has none."""

    # --- The bus: an IOMMU comes and goes ----------------------------------------------------------------------------

    async def probe_iommu(self, hardware: Hardware) -> Object:
        """Take an IOMMU into service. May sleep. KernelError EBUSY, ENODEV, EINVAL, ENOMEM.

        Before: no device is behind it. After: it translates, and refuses every request, since no device context is
        valid yet; its interrupts are served. What is returned is the driver's structure, and stands for the IOMMU from
        here on: the core stores its address in each `DevIommu.iommu_dev`.
        """

    async def remove_iommu(self, iommu: Object) -> None:
        """Take an IOMMU out of service and free all that it had, `iommu` itself too. May sleep.

        Before: all its devices have been released. After: it refuses every request, and its queues are off. Threads
        that still flush domains whose devices were behind it have not been told.
        """

    async def shutdown(self, iommu: Object) -> None:
        """Leave the hardware to the next kernel (kexec). Before: no device makes requests, no thread maps or attaches.

        After: nothing is called any more.
        """

    async def forward_command(self, iommu: Object, words: tuple[int, int]) -> None:
        """Put a command of somebody else's into the queue as it is, and wait for nothing.

        So a virtual IOMMU could hand on its guest's commands (`cache_invalidate` of iommufd); no driver in Linux does.
        """

    # --- iommu_ops: devices ------------------------------------------------------------------------------------------

    async def probe_device(self, device: Device) -> None:
        """Get ready for a device. May sleep. KernelError ENODEV, ENOMEM: the core then frees the device's structures.

        Before: `DevIommu.iommu_dev` of the device is set, and it is in no group yet. After: it is in no domain, and
        its requests are refused; the driver may have set `DevIommu.priv`.
        """

    async def release_device(self, device: Device, old: Domain | None) -> None:
        """Forget a device that leaves. May sleep. The core holds the mutex of its group.

        Before: it has been attached to `blocked` if there is such a domain; `old` is the domain that it is in. After:
        the core frees `DevIommu` and `DeviceObject` at once, without waiting for threads that still read them.
        """

    async def attach_dev(self, domain: Domain, device: Device, old: Domain | None) -> None:
        """Have the device's requests go through `domain`. May sleep. KernelError ENODEV, ENOMEM, ENOSPC, EINVAL.

        The core holds the mutex of the device's group, and of no other: the same domain may be attached to a device of
        another group at the same time. Before: the device is probed; `old` is the domain that the core has recorded
        for it, and is not `domain`. After: no request that begins later is translated by `old`, whose translations are
        flushed where no other device uses them. On failure the core attaches `old` again to the devices of the group
        that had been switched, and considers this one to be in `old` still.
        """

    def context(self, device: Device, device_id: int, word: Callable[[int], int]) -> tuple[int, int, int, int]:
        """What the context of one of a device's ids holds: tc, iohgatp, ta and fsc; all 0 if there is none yet.

        When a probe has returned it is asked of the devices of a kernel before as well: what the directory that is in
        use now leads to. For those who watch: it takes no time. `word` is what memory holds at an address.
        """

    def capable(self, what: str) -> bool:
        """Whether the driver claims a capability: ``cache_coherency`` or ``deferred_flush``. Takes no time."""

    def roots(self) -> list[int]:
        """Addresses of memory in use that nothing in memory has to point to: it goes when its IOMMU does.

        For those who watch: it takes no time.
        """

    # --- iommu_ops: domains ------------------------------------------------------------------------------------------

    async def domain_alloc_paging(self, name: str, device: Device | None) -> Domain:
        """A new paging domain for `device`, which some drivers do without. May sleep. KernelError ENOMEM, ENODEV.

        After: it can be mapped in at once, and be attached to `device`, and to others if their IOMMUs can walk it.
        """

    async def domain_free(self, domain: Domain) -> None:
        """Free a paging domain with its tables. May sleep.

        Before: no device is in it, and no thread maps any more; what is still mapped goes with it. After: nothing that
        hardware may reach is left of it.
        """
