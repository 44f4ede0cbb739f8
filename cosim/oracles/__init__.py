"""Oracles: one property per file, each judged from events."""

from cosim.oracles.attached_context import AttachedContext
from cosim.oracles.bounds import Bounds
from cosim.oracles.command_ring import CommandRing
from cosim.oracles.context_update import ContextUpdate
from cosim.oracles.data_race import DataRace
from cosim.oracles.effects_seen import EffectiveInvalidations, OverlappedRemovals
from cosim.oracles.endless_call import EndlessCall
from cosim.oracles.endless_faults import EndlessFaults
from cosim.oracles.fault_ring import FaultRing
from cosim.oracles.flush_promises import FlushPromises
from cosim.oracles.flush_queue import FlushQueue
from cosim.oracles.foreign_dma import ForeignDma
from cosim.oracles.freed_memory import FreedMemory
from cosim.oracles.global_leaves import GlobalLeaves
from cosim.oracles.grace_period import GracePeriod
from cosim.oracles.iommu_memory import IommuMemory
from cosim.oracles.iotlb_entries import IotlbEntries
from cosim.oracles.iova_ranges import IovaRanges
from cosim.oracles.kernel_health import KernelHealth
from cosim.oracles.leaked_memory import LeakedMemory
from cosim.oracles.lock_order import LockOrder
from cosim.oracles.lost_faults import LostFaults
from cosim.oracles.mapped_memory import MappedMemory
from cosim.oracles.needed_commands import NeededCommands
from cosim.oracles.one_root import OneRoot
from cosim.oracles.oracle import Book, Oracle, Violation
from cosim.oracles.page_table import PageTable
from cosim.oracles.refused_dma import RefusedDma
from cosim.oracles.sleep import Sleep
from cosim.oracles.stale_dma import StaleDma
from cosim.oracles.touched_afterwards import TouchedAfterwards
from cosim.oracles.unrecovered_errors import UnrecoveredErrors

ORACLES: dict[str, type[Oracle]] = {
    oracle.name: oracle
    for oracle in (
        StaleDma,
        ForeignDma,
        FlushPromises,
        GlobalLeaves,
        PageTable,
        IotlbEntries,
        AttachedContext,
        OneRoot,
        ContextUpdate,
        CommandRing,
        FaultRing,
        RefusedDma,
        EndlessFaults,
        FlushQueue,
        IovaRanges,
        FreedMemory,
        MappedMemory,
        IommuMemory,
        DataRace,
        GracePeriod,
        LeakedMemory,
        LockOrder,
        LostFaults,
        UnrecoveredErrors,
        Sleep,
        EndlessCall,
        KernelHealth,
    )
}
"""Every oracle by its name; all are on by default."""

RECORDERS = (TouchedAfterwards, EffectiveInvalidations, OverlappedRemovals)
"""What counts what a run could have shown, whatever it did show."""

SEEN = tuple(name for recorder in RECORDERS for name in recorder().counts())
"""The names of what they count."""

__all__ = [
    "ORACLES",
    "RECORDERS",
    "SEEN",
    "AttachedContext",
    "Book",
    "Bounds",
    "CommandRing",
    "ContextUpdate",
    "DataRace",
    "EffectiveInvalidations",
    "EndlessCall",
    "EndlessFaults",
    "FaultRing",
    "FlushPromises",
    "FlushQueue",
    "ForeignDma",
    "FreedMemory",
    "GlobalLeaves",
    "GracePeriod",
    "IommuMemory",
    "IotlbEntries",
    "IovaRanges",
    "KernelHealth",
    "LeakedMemory",
    "LockOrder",
    "LostFaults",
    "MappedMemory",
    "NeededCommands",
    "OneRoot",
    "Oracle",
    "OverlappedRemovals",
    "PageTable",
    "RefusedDma",
    "Sleep",
    "StaleDma",
    "TouchedAfterwards",
    "UnrecoveredErrors",
    "Violation",
]
