"""The options of a CPU: frozen, and the topology file's schema."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cosim.units.field_types import Address, Time
from cosim.units.options import Options
from cosim.units.quantities import MS, NS, US

# --- CPU -------------------------------------------------------------------------------------------------------------


class CpuTiming(Options):
    """What each operation costs on a CPU."""

    load: Time = 2 * NS
    """A load (the mean of cached ones)."""
    store: Time = 1 * NS
    """Putting a store into the buffer."""
    drain: Time = 30 * NS
    """How long a store stays in the buffer before it takes hold, if nothing drains it earlier."""
    block: Time = 300 * NS
    """Zeroing a page."""
    atomic: Time = 20 * NS
    """An atomic read-modify-write."""
    line_move: Time = 0
    """What a cache line costs that another CPU has written, or that others have read and this one writes; CPUs that
    ask for the same one get it one after the other. 0 is none of it: the line is wherever it is needed."""
    line_remote: Time = 0
    """How much longer such a line is on its way if its memory is of another node than the CPU; nobody else waits for
    that."""
    fence: Time = 10 * NS
    """A fence whose conditions hold already."""
    mmio_read: Time = 150 * NS
    """A register read, there and back."""
    mmio_write: Time = 30 * NS
    """What a posted register write costs the CPU."""
    mmio_arrival: Time = 100 * NS
    """From a posted register write's issue to the device."""
    interrupt: Time = 1 * US
    """From an interrupt's arrival to the first instruction of its handler."""
    switch: Time = 1500 * NS
    """Changing threads."""


class CpuOptions(Options):
    """A CPU (one hart) with its store buffer and its scheduler."""

    kind: Literal["cpu"]
    memory_model: Literal["sequential", "tso", "rvwmo"] = "rvwmo"
    """What orders the memory accesses of the hart."""
    store_buffer: int = Field(default=8, ge=1, le=256)
    """Entries of the store buffer."""
    history: Time = 10 * US
    """How long a word's past states stay readable under rvwmo."""
    preempt: Literal["full", "voluntary"] = "full"
    """Whether a thread may be put off its CPU anywhere, or only where it sleeps or yields."""
    slice: Time = 4 * MS
    """How long a thread runs while others wait for its CPU."""
    node: int = Field(default=0, ge=0, le=63)
    """NUMA node number."""
    interrupt_file: Address | None = None
    """The page that messages for it are written to (AIA, "Incoming MSI Controller"); at a free place, if absent."""
    timing: CpuTiming = CpuTiming()
