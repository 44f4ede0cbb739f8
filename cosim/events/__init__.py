"""Every event record, a file for each street that fires them. Times are picoseconds.

`who` is the path of a component or a thread. Records are slotted and mutable on purpose: making them frozen costs more
than firing them.
"""

from cosim.events.busy import Busy
from cosim.events.calls import BootDone, CallAbandoned, CallBegun, CallDone
from cosim.events.dma import DmaCommitted, DmaDone, DmaIssued
from cosim.events.domains import (
    Attached,
    Attaching,
    ContextChanged,
    DomainMade,
    FlushAwaited,
    FlushGivenUp,
    FlushQueued,
    FlushTimer,
    MapBegun,
    Mapped,
    UnmapBegun,
    Unmapped,
)
from cosim.events.end import Deadlocked, Leaked, RunEnded, ThreadLeft
from cosim.events.iommu import (
    CacheFilled,
    CacheLookup,
    CommandExecuted,
    CommandFetched,
    CommandSent,
    FaultRecorded,
    InterruptRaised,
    QueueDepth,
    RegisterRead,
    RegisterWritten,
    Translated,
    WalkDone,
)
from cosim.events.kernel import (
    FreedTouched,
    GracePeriodOver,
    KernelLog,
    ObjectAllocated,
    ObjectFreed,
    PageAllocated,
    PageFreed,
    ReadSectionBegun,
    ReadSectionEnded,
    Switched,
    ThreadEnded,
)
from cosim.events.locks import FellAsleep, LockAsked, LockGiven, LockTaken
from cosim.events.memory import OrderMade, StoreIssued

__all__ = [
    "Attached",
    "Attaching",
    "BootDone",
    "Busy",
    "CacheFilled",
    "CacheLookup",
    "CallAbandoned",
    "CallBegun",
    "CallDone",
    "CommandExecuted",
    "CommandFetched",
    "CommandSent",
    "ContextChanged",
    "Deadlocked",
    "DmaCommitted",
    "DmaDone",
    "DmaIssued",
    "DomainMade",
    "FaultRecorded",
    "FellAsleep",
    "FlushAwaited",
    "FlushGivenUp",
    "FlushQueued",
    "FlushTimer",
    "FreedTouched",
    "GracePeriodOver",
    "InterruptRaised",
    "KernelLog",
    "Leaked",
    "LockAsked",
    "LockGiven",
    "LockTaken",
    "MapBegun",
    "Mapped",
    "ObjectAllocated",
    "ObjectFreed",
    "OrderMade",
    "PageAllocated",
    "PageFreed",
    "QueueDepth",
    "ReadSectionBegun",
    "ReadSectionEnded",
    "RegisterRead",
    "RegisterWritten",
    "RunEnded",
    "StoreIssued",
    "Switched",
    "ThreadEnded",
    "ThreadLeft",
    "Translated",
    "UnmapBegun",
    "Unmapped",
    "WalkDone",
]
