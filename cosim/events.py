"""Every event record, grouped by who fires it. Times are picoseconds; `who` is the path of a component or a thread.

Records are slotted and mutable on purpose: making them frozen costs more than firing them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# --- The latency parts: a closed list (what scripts rely on). -----------------------------------------------------

PARTS: Mapping[str, str] = {
    "slot": "waiting until fewer of the device's requests are outstanding",
    "link": "hops between device, IOMMU and memory",
    "queue": "waiting in front of a memory port or another server",
    "ddt": "device-directory walk",
    "pdt": "process-directory walk",
    "iotlb": "look-up in the IOMMU's caches",
    "merge_wait": "waiting for another request's walk of the same table",
    "walker_wait": "waiting for a free walker",
    "walk": "page-table reads",
    "ad_update": "updating accessed and dirty bits",
    "fault": "reporting a fault",
    "memory": "the memory access itself",
    "order": "waiting for an earlier access of the same device",
    "cpu": "instructions",
    "fence_instr": "fence instructions, until they are satisfied",
    "mmio": "register accesses",
    "lock": "waiting for a lock",
    "ticket": "waiting for the turn in the command queue",
    "ring": "waiting for a free slot of the command queue",
    "fence": "waiting for an IOFENCE to complete",
    "rcu": "waiting for a grace period",
    "irq": "in interrupt handlers that came in between",
    "preempted": "other threads on the same CPU, and the change from them",
    "sleep": "asleep",
}


# --- DMA masters ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DmaIssued:
    """A master has put a request on its way."""

    time: int
    who: str
    device_id: int
    sequence: int
    iova: int
    size: int
    write: bool


@dataclass(slots=True)
class DmaCommitted:
    """A request's memory access took hold at `address`; `translated` is when its translation was decided."""

    time: int
    who: str
    device_id: int
    sequence: int
    iova: int
    address: int
    size: int
    write: bool
    translated: int


@dataclass(slots=True)
class DmaDone:
    """A request is over; its `parts` add up to ``time - issued``. `status` is a name of `hw.dma.transaction.Status`.

    `purpose` is ``data``, or what a ring needs besides: ``fetch`` of a descriptor, ``status`` written back to it.
    """

    time: int
    who: str
    device_id: int
    sequence: int
    iova: int
    size: int
    write: bool
    issued: int
    status: str
    parts: Mapping[str, int]
    purpose: str = "data"


# --- IOMMU ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Translated:
    """A translation was decided: `hit` says how (``iotlb``, ``walk``, ``merged``, ``bare``)."""

    time: int
    who: str
    device_id: int
    iova: int
    address: int
    hit: str
    pscid: int
    gscid: int


@dataclass(slots=True)
class CacheLookup:
    """A look-up in one of the IOMMU's caches: ``iommu0.iotlb``, ``iommu0.ddtc``, ``iommu0.nonleaf``."""

    time: int
    who: str
    hit: bool


@dataclass(slots=True)
class CacheFilled:
    """An entry was put into a cache, and perhaps another one evicted for it."""

    time: int
    who: str
    tag: tuple[int, ...]
    evicted: bool


@dataclass(slots=True)
class WalkDone:
    """A walk has ended after `reads` memory reads: of a page table, or of the device directory."""

    time: int
    who: str
    device_id: int
    kind: str
    reads: int
    began: int
    fault: bool


@dataclass(slots=True)
class RegisterRead:
    """A register access took hold. `offset` and `size` are in bytes."""

    time: int
    who: str
    offset: int
    size: int
    value: int
    by: str


@dataclass(slots=True)
class RegisterWritten:
    """A register write took hold."""

    time: int
    who: str
    offset: int
    size: int
    value: int
    by: str


@dataclass(slots=True)
class CommandFetched:
    """The command consumer has read the command at `index` from the ring."""

    time: int
    who: str
    index: int
    words: tuple[int, int]


@dataclass(slots=True)
class CommandExecuted:
    """A command took hold; `kind` is its name in results: ``iotinval_vma``, ``iodir_inval_ddt``, ``iofence``."""

    time: int
    who: str
    index: int
    words: tuple[int, int]
    kind: str


@dataclass(slots=True)
class QueueDepth:
    """The occupancy of a queue has changed: ``iommu0.cq``, ``iommu0.fq``."""

    time: int
    who: str
    depth: int


@dataclass(slots=True)
class FaultRecorded:
    """A fault was found, and recorded or not: `reported` is false if DTF keeps it back, `fqcsr` as it is then."""

    time: int
    who: str
    device_id: int
    cause: int
    iova: int
    ttyp: int
    recorded: bool
    reported: bool
    fqcsr: int


@dataclass(slots=True)
class InterruptRaised:
    """The IOMMU raised an interrupt: `source` is cip, fip, pmip or pip; `message` says by MSI or by wire."""

    time: int
    who: str
    source: str
    vector: int
    message: bool


@dataclass(slots=True)
class Busy:
    """A resource was used for `busy_ps`: ``iommu0.walkers``, ``dram0.port``."""

    time: int
    who: str
    busy_ps: int


# --- CPUs and kernel -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Switched:
    """A CPU changed threads; an empty `thread` is idle."""

    time: int
    who: str
    thread: str


@dataclass(slots=True)
class ThreadEnded:
    """A thread returned, or died of an oops: then `reason` says of which, else it is empty."""

    time: int
    who: str
    reason: str


@dataclass(slots=True)
class FreedTouched:
    """A thread, device or walker touched memory that was freed at `freed` by `freed_by`."""

    time: int
    who: str
    address: int
    write: bool
    freed: int
    freed_by: str
    what: str


@dataclass(slots=True)
class PageAllocated:
    """A page was handed out; `purpose` is ``table``, ``ddt``, ``ring``, ``buffer``, ``object``."""

    time: int
    who: str
    address: int
    size: int
    node: int
    purpose: str


@dataclass(slots=True)
class PageFreed:
    """A page went back to the allocator."""

    time: int
    who: str
    address: int
    size: int
    purpose: str


@dataclass(slots=True)
class KernelLog:
    """What the kernel would have printed, in our words. `level` is info, warning, error or oops."""

    time: int
    who: str
    level: str
    text: str


# --- Driver and DMA API --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class CallBegun:
    """A driver or DMA API call has begun; `CallDone` follows if it returns."""

    time: int
    who: str
    call: str


@dataclass(slots=True)
class CallDone:
    """A driver or DMA API call returned; its `parts` add up to ``time - began``."""

    time: int
    who: str
    call: str
    began: int
    parts: Mapping[str, int]
    failed: str


@dataclass(slots=True)
class MapBegun:
    """An ``iommu_map`` has begun: `size` bytes from `iova` in `domain` may lead to `address` and on from here on.

    `Mapped` follows when it returns, `Unmapped` if it fails.
    """

    time: int
    who: str
    domain: str
    iova: int
    size: int
    address: int


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
    """An unmap has begun: from here on devices may be refused the range. `Unmapped` follows."""

    time: int
    who: str
    domain: str
    iova: int
    size: int


@dataclass(slots=True)
class Unmapped:
    """An unmap has returned and its flush is done: from here on no device may reach the range through `domain`."""

    time: int
    who: str
    domain: str
    iova: int
    size: int


@dataclass(slots=True)
class Attaching:
    """An attach has begun: from here to its return `device` may reach memory through `domain` as well."""

    time: int
    who: str
    device: str
    domain: str


@dataclass(slots=True)
class Attached:
    """An attach has returned: `device` (with its `device_ids`) is in `domain`; an empty name is blocked."""

    time: int
    who: str
    device: str
    device_ids: tuple[int, ...]
    domain: str


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
class BootDone:
    """The IOMMUs are probed and the devices attached as the topology says; workloads and masters start."""

    time: int
