"""The kernel's configuration."""

from __future__ import annotations

from pydantic import Field

from cosim.units.field_types import PositiveCount, PositiveTime, Time
from cosim.units.options import Options
from cosim.units.quantities import MS, NS, S


class KernelOptions(Options):
    """The kernel's configuration."""

    hz: int = Field(default=250, ge=1, le=10_000)
    """Ticks of the kernel's clock in a second; timers and quiescent states of busy CPUs are seen at ticks."""
    gp_scan: PositiveTime = 1 * MS
    """How often the grace-period thread looks whether all have passed. Linux starts looking after 1 to 3 ticks."""
    gp_stall: PositiveTime = 21 * S
    """A grace period older than this is reported, and again each three times as long after (Linux: 21 s)."""
    kfree_rcu_delay: Time = 20 * MS
    """How long kfree_rcu collects objects before their grace period starts (Linux: 20 ms, later 5 s)."""
    kmalloc_cost: Time = 70 * NS
    """CPU time of an object's allocation, without zeroing it."""
    page_cost: Time = 100 * NS
    """CPU time of a page's allocation, without zeroing it."""
    dma_direct_cost: Time = 5 * NS
    """CPU time of dma_map and dma_unmap, for each piece of a buffer, where nothing translates (dma-direct)."""
    hot_pages: int = Field(default=512, ge=0)
    """Freed pages that a node keeps for the next allocations, last in, first out."""
    fail_allocations: tuple[PositiveCount, ...] = ()
    """Which allocations of pages and objects fail, counted from 1 after boot: `number` in a trace (`-t run.jsonl
    --trace-event '*Allocated'`)."""
    housekeeping: str = ""
    """The CPU that runs the kernel's own threads; the last one, if empty."""
