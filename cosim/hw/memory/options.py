"""The options of a memory: frozen, and the topology file's schema."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cosim.units.field_types import Address, Rate, Size, Time
from cosim.units.options import Options
from cosim.units.quantities import NS

# --- Memory ----------------------------------------------------------------------------------------------------------


class MemoryOptions(Options):
    """Main memory at one range of addresses, of one NUMA node, or on-chip memory for what is hardwired there."""

    kind: Literal["memory"]
    base: Address
    """First byte address."""
    size: Size
    """How much there is."""
    latency: Time = 80 * NS
    """From an access's start of service to its data."""
    write_latency: Time | None = None
    """From a write's start of service to its answer; as `latency`, if absent."""
    bandwidth: Rate | None = None
    """What one port carries; unlimited if absent."""
    ports: int = Field(default=1, ge=1, le=64)
    """Accesses that start at the same time; each port has a queue of its own, chosen by a hash of the line."""
    cache_lines: int = Field(default=0, ge=0, le=1 << 24)
    """Lines of 64 bytes that a last-level cache in front of it holds, of what CPUs write and what IOMMUs read for
    themselves: tables, contexts, commands. Requests of devices pass it by. 0 is none."""
    cache_latency: Time = 30 * NS
    """From such a read to its data where the cache has them; it takes no port."""
    node: int = Field(default=0, ge=0, le=63)
    """NUMA node number."""
    remote: Time = 0
    """How much longer the way from an IOMMU of another node is, for its own accesses and for those of its devices, one
    way. What a CPU's loads and stores take says the CPU."""
    reserved: bool = False
    """Whether the kernel leaves it alone: only what is hardwired lies here, and pages come out of other memories."""
