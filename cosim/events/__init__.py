"""Every event record, a file for each street that fires them. Times are picoseconds.

`who` is the path of a component or a thread. Records are slotted and mutable on purpose: making them frozen costs more
than firing them.
"""

from cosim.events.busy import Busy
from cosim.events.calls import BootDone, CallAbandoned, CallBegun, CallDone
from cosim.events.dma import DmaCommitted, DmaDone, DmaIssued
from cosim.events.domains import Attached, Attaching, ContextChanged, MapBegun, Mapped, UnmapBegun, Unmapped
from cosim.events.iommu import (
    CacheFilled,
    CacheLookup,
    CommandExecuted,
    CommandFetched,
    FaultRecorded,
    InterruptRaised,
    QueueDepth,
    RegisterRead,
    RegisterWritten,
    Translated,
    WalkDone,
)
from cosim.events.kernel import FreedTouched, KernelLog, PageAllocated, PageFreed, Switched, ThreadEnded

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
    "ContextChanged",
    "DmaCommitted",
    "DmaDone",
    "DmaIssued",
    "FaultRecorded",
    "FreedTouched",
    "InterruptRaised",
    "KernelLog",
    "MapBegun",
    "Mapped",
    "PageAllocated",
    "PageFreed",
    "QueueDepth",
    "RegisterRead",
    "RegisterWritten",
    "Switched",
    "ThreadEnded",
    "Translated",
    "UnmapBegun",
    "Unmapped",
    "WalkDone",
]
