"""What an IOMMU tells: translations, caches, walks, registers, commands, queues, faults, interrupts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Translated:
    """A translation was decided: `hit` says how (``iotlb``, ``walk``, ``merged``, ``bare``).

    It is that of the `sequence`-th request of device `by`.
    """

    time: int
    who: str
    device_id: int
    iova: int
    address: int
    hit: str
    pscid: int
    gscid: int
    by: str = ""
    sequence: int = 0


@dataclass(slots=True)
class CacheLookup:
    """A look-up in one of the IOMMU's caches: ``iommu0.iotlb``, ``iommu0.ddtc``, ``iommu0.nonleaf``."""

    time: int
    who: str
    hit: bool


@dataclass(slots=True)
class CacheFilled:
    """An entry was put into a cache, and perhaps another one evicted for it.

    `address` is where the first byte of a translation leads, -1 if the entry is none.
    """

    time: int
    who: str
    tag: tuple[int, ...]
    evicted: bool
    address: int = -1


@dataclass(slots=True)
class WalkBegun:
    """A request, the `sequence`-th of device `by`, has got a walker: of a page table, or of the device directory."""

    time: int
    who: str
    device_id: int
    kind: str
    by: str
    sequence: int


@dataclass(slots=True)
class WalkJoined:
    """A request of device `by` waits for the walk of another one, the `other`-th of `behind`."""

    time: int
    who: str
    device_id: int
    by: str
    sequence: int
    behind: str
    other: int


@dataclass(slots=True)
class WalkDone:
    """A walk has ended after `reads` memory reads: of a page table, or of the device directory.

    It was that of the `sequence`-th request of device `by`.
    """

    time: int
    who: str
    device_id: int
    kind: str
    reads: int
    began: int
    fault: bool
    by: str = ""
    sequence: int = 0


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
class RegisterChanged:
    """A register holds another value: software has written it, or the IOMMU itself has changed it."""

    time: int
    who: str
    register: str
    value: int


@dataclass(slots=True)
class StructureUsed:
    """An IOMMU uses another structure in memory, or the same one otherwise: what `register` holds has taken effect.

    `register` is ddtp or the base of a queue: cqb, fqb. `mode` is that of `ddtp` (``off``, ``bare``, ``lvl3``), and of
    a queue ``on`` or ``off``. `size` bytes from `address` on are in use, a directory's root or all of a queue's ring:
    none if it is off. `hardwired` says that the IOMMU itself has the memory.
    """

    time: int
    who: str
    register: str
    mode: str
    address: int
    size: int
    hardwired: bool


@dataclass(slots=True)
class CommandSent:
    """A thread is about to put a command into the slot `index` of the ring of `iommu`; the doorbell follows."""

    time: int
    who: str
    iommu: str
    index: int
    words: tuple[int, int]


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
class CommandPassed:
    """`cqh` has passed the command at `index`: its slot is free, though out of order it may still be under way."""

    time: int
    who: str
    index: int


@dataclass(slots=True)
class QueueFailed:
    """An error bit of a queue of an IOMMU was set: `queue` is cq, fq or pq, `index` the entry that was its turn."""

    time: int
    who: str
    queue: str
    bit: str
    index: int


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
class Invalidated:
    """An invalidation took hold: it `dropped` so many entries of caches, and has overtaken so many requests."""

    time: int
    who: str
    dropped: int
    overtaken: int
