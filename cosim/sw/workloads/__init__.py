"""What threads do: each workload is its own schema in a topology's `threads:`, chosen by `does:`, and runs itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from cosim.sw.workloads.map_unmap import AttachDetach, DomainCycle, MapUnmap
from cosim.sw.workloads.receive_ring import ReceiveRingWork
from cosim.sw.workloads.steps import Attach, FreeDomain, IovaToPhys, Map, Scribble, Tell, Unmap
from cosim.sw.workloads.trouble import (
    ExhaustDomains,
    ExhaustMemory,
    ForwardCommand,
    Misuse,
    Plug,
    ProbeAgain,
    Shutdown,
    Unplug,
    UnplugIommu,
)
from cosim.sw.workloads.waiting import Compute, HoldRcu, SynchronizeRcu
from cosim.sw.workloads.workload import WorkloadOptions

AnyWorkload = Annotated[
    MapUnmap
    | Map
    | Unmap
    | Tell
    | IovaToPhys
    | Attach
    | AttachDetach
    | DomainCycle
    | FreeDomain
    | ReceiveRingWork
    | HoldRcu
    | SynchronizeRcu
    | Compute
    | Plug
    | Unplug
    | UnplugIommu
    | Shutdown
    | ProbeAgain
    | ExhaustMemory
    | ExhaustDomains
    | ForwardCommand
    | Scribble
    | Misuse,
    Field(discriminator="does"),
]
"""One entry of `threads:`, or of `prepare:`."""

PREPARE = "prepare-"
"""What the names of threads that prepare something begin with."""


def thread_names(threads: Sequence[WorkloadOptions], prefix: str = "") -> list[str]:
    """The name of each thread on its CPU: what it does, and from the second on its number: ``map-unmap2``."""
    seen: Counter[tuple[str, str]] = Counter()
    names = []
    for thread in threads:
        does = prefix + str(getattr(thread, "does", "thread"))
        seen[thread.on, does] += 1
        number = seen[thread.on, does]
        names.append(does if number == 1 else f"{does}{number}")
    return names


def thread_paths(threads: Sequence[WorkloadOptions], prefix: str = "") -> list[str]:
    """The name of each thread with its CPU: ``cpu0.map-unmap2``."""
    return [f"{thread.on}.{name}" for thread, name in zip(threads, thread_names(threads, prefix), strict=True)]


__all__ = ["PREPARE", "AnyWorkload", "Plug", "WorkloadOptions", "thread_names", "thread_paths"]
