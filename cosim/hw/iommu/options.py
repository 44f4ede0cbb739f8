"""The options of an IOMMU: what software discovers, how much there is of everything, and what it takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cosim.units.field_types import Address, Time
from cosim.units.options import Options
from cosim.units.quantities import NS

Replacement = Literal["lru", "plru", "random"]
MOST_ENTRIES = 1 << 20
Entries = Annotated[int, Field(ge=0, le=MOST_ENTRIES)]
Ways = Annotated[int, Field(ge=0, le=1 << 12)]
Latitude = Literal["off", "on", "explore"]
Order = Literal["any", "writes", "kind", "device"]

UNIMPLEMENTED = frozenset(
    {
        *("sv32x4", "sv39x4", "sv48x4", "sv57x4", "svrsw60t59b", "amo_mrif", "msi_flat", "msi_mrif"),
        *("ats", "t2gpa", "hpm", "dbg", "pd8", "pd17", "pd20", "qosid"),
    }
)
"""Capabilities that this model does not have yet: they read as absent, and asking for one is an error."""


class CapabilityOptions(Options):
    """The fields of the `capabilities` register (IOMMU 5.3 "IOMMU capabilities"), by the specification's names."""

    sv32: bool = False
    """First stage of 32 bits (two levels)."""
    sv39: bool = True
    """First stage of 39 bits (three levels)."""
    sv48: bool = True
    """First stage of 48 bits (four levels)."""
    sv57: bool = True
    """First stage of 57 bits (five levels)."""
    svpbmt: bool = False
    """Page-based memory types."""
    amo_hwad: bool = False
    """Hardware updates of accessed and dirty bits."""
    igs: Literal["msi", "wsi", "both"] = "wsi"
    """How interrupts are signalled: by message, by wire, or as `fctl.wsi` says."""
    pas: int = Field(default=46, ge=32, le=56)
    """Physical address bits."""
    msi_flat: bool = False
    """MSI page tables in flat format (this also makes device contexts 64 bytes long)."""
    end: bool = False
    """Structures in memory may be big-endian, as `fctl.be` and `tc.sbe` say."""
    sv32x4: bool = False
    sv39x4: bool = False
    sv48x4: bool = False
    sv57x4: bool = False
    svrsw60t59b: bool = False
    amo_mrif: bool = False
    msi_mrif: bool = False
    ats: bool = False
    t2gpa: bool = False
    hpm: bool = False
    dbg: bool = False
    pd8: bool = False
    pd17: bool = False
    pd20: bool = False
    qosid: bool = False
    nl: bool = False
    """IOTINVAL can name the non-leaf entries of an address (extension NL)."""
    s: bool = False
    """IOTINVAL can name a range (extension S)."""

    @field_validator(*sorted(UNIMPLEMENTED))
    @classmethod
    def _is_implemented(cls, value: bool) -> bool:
        if value:
            raise ValueError("this capability of the specification is not implemented; leave it out or set it to false")
        return value


class GeometryOptions(Options):
    """How much there is of everything in the IOMMU."""

    iotlb_entries: Entries = 64
    """Leaf translations that the IOTLB holds; 0 is no IOTLB."""
    iotlb_ways: Ways = 0
    """Entries of a set; 0 is fully associative."""
    iotlb_replacement: Replacement = "lru"
    """Which entry of a full set is given up."""
    iotlb_allocation: Literal["fill", "miss"] = "fill"
    """When a translation takes its entry, for which another is given up: as it fills it, or at the miss already. What
    is taken at the miss is nobody else's until the walk ends, and free again if the walk fails."""
    iotlb_napot: bool = True
    """Whether a Svnapot page of 64 KiB takes one entry, or one for each 4 KiB of it."""
    ddtc_entries: Entries = 16
    """Device contexts that the context cache holds; 0 is none."""
    ddtc_ways: Ways = 0
    """Entries of a set; 0 is fully associative."""
    ddtc_replacement: Replacement = "lru"
    """Which entry of a full set is given up."""
    nonleaf_entries: Entries = 16
    """Non-leaf page-table entries kept for each level; 0 is none."""
    nonleaf_replacement: Replacement = "lru"
    """Which one is given up."""
    ddt_nonleaf_entries: Entries = 4
    """Non-leaf device-directory entries kept; 0 is none."""
    plru_free_first: bool = True
    """Whether plru takes a free entry before it gives up a valid one; some hardware gives free ones no preference."""
    walkers: int = Field(default=4, ge=1, le=1024)
    """Walks under way at the same time."""
    in_flight: int = Field(default=64, ge=1, le=4096)
    """Requests that the IOMMU translates at the same time; 1 is a blocking IOMMU."""
    arbitration: Literal["arrival", "reads-first"] = "arrival"
    """Which of the requests that wait to be among `in_flight` is next: the first, or the first read."""
    order: Order = "any"
    """Which requests of a device go on to memory in the order in which they came, so that a miss holds up those behind
    it: none, its writes, its writes and its reads each among themselves, or all."""
    place_until: Literal["departure", "translation"] = "departure"
    """Until when a request keeps its place among `in_flight`: until it goes on to memory, in its turn of `order`, or
    until it is translated, so that one which waits for its turn takes nobody's place."""
    fill_refused: bool = False
    """Whether a walk for a request that the page does not let in fills the IOTLB all the same."""
    fault_buffer: int = Field(default=0, ge=0, le=1024)
    """Faults whose requests are answered before their records are written; with 0 each waits for its record."""
    ddt_levels: Literal[1, 2, 3] = 3
    """The largest `ddtp.iommu_mode`: 1LVL, 2LVL or 3LVL."""
    cq_log2: int = Field(default=15, ge=1, le=31)
    """The largest command queue, log2 of its entries."""
    command_burst: int = Field(default=1, ge=1, le=64)
    """Commands that one read of the command queue brings, as far as there are any and the ring goes on. All but the
    first of them are carried out without a read of their own, and no read is under way meanwhile."""
    fq_log2: int = Field(default=15, ge=1, le=31)
    """The largest fault queue, log2 of its entries."""
    icvec_bits: int = Field(default=2, ge=0, le=4)
    """Writable bits of each field of `icvec`: interrupt vectors, log2."""

    @model_validator(mode="after")
    def _has_whole_sets(self) -> GeometryOptions:
        check_shape("iotlb", self.iotlb_entries, self.iotlb_ways, self.iotlb_replacement)
        check_shape("ddtc", self.ddtc_entries, self.ddtc_ways, self.ddtc_replacement)
        check_shape("nonleaf", self.nonleaf_entries, 0, self.nonleaf_replacement)
        return self


def check_shape(cache: str, entries: int, ways: int, replacement: Replacement) -> None:
    """Raise ValueError unless the entries can be cut into sets of `ways` (0: one set) on which `replacement` works."""
    if ways and entries % ways:
        lower = entries // ways * ways
        raise ValueError(
            f"{cache}_entries: {entries} entries cannot be cut into sets of {ways} ways; the nearest numbers that can "
            f"are {f'{lower} and ' if lower else ''}{lower + ways}"
        )
    size = ways or entries
    if replacement == "plru" and size & size - 1:
        upper = 1 << size.bit_length()
        raise ValueError(
            f"{cache}_replacement: plru needs sets of a power of two of ways, not {size}; the nearest are "
            f"{upper >> 1} and {upper}"
        )


class IommuTiming(Options):
    """What each step of the IOMMU takes; a hop to memory comes on top where `link` is not 0."""

    lookup: Time = 2 * NS
    """A look-up in the IOTLB and the context cache."""
    lookup_interval: Time = 1 * NS
    """Between the starts of two look-ups."""
    walk_start: Time = 1 * NS
    """To start a walker."""
    walk_step: Time = 1 * NS
    """To judge an entry that was read and go on."""
    walker_turnaround: Time = 0
    """From the end of a walk until its walker is free again; who asked for the walk has gone on by then."""
    walk_read_interval: Time = 0
    """Between the starts of two reads of tables, of all walkers together: `walkers` are then the walks that one
    pipelined walker has in hand, and its rate need not be a whole number of walkers over the time of a walk."""
    beat: Time = 0
    """Each further 8 bytes of a context, a command or a fault record; the reserved ones of a context are free."""
    context_fill: Time = 0
    """To write a device context into its cache before the request goes on."""
    fill: Time = 0
    """To write a translation into the IOTLB before the request goes on."""
    turnaround: Time = 0
    """From there (`place_until`) until a place among `in_flight` is free again."""
    turnaround_line: Time = 0
    """That much longer for each further line of 64 bytes that a read touches."""
    turnaround_large: Time = 0
    """That much longer for a read that touches more than two lines."""
    link: Time = 10 * NS
    """A hop between the IOMMU and memory, one way."""
    write_start: Time = 0
    """To put address and first 8 bytes of a write of the IOMMU's own on the bus: a record, a fence's data, an MSI."""
    command_start: Time = 0
    """To see that there is a command, and to ask for it."""
    command_fetch: Time = 20 * NS
    """To decode a command, after its read."""
    invalidate_entry: Time = 40 * NS
    """An IOTINVAL of one address, an IODIR of one device."""
    invalidate_all: Time = 200 * NS
    """An IOTINVAL of a whole address space, an IODIR of the whole directory."""
    fence: Time = 20 * NS
    """An IOFENCE with nothing to wait for."""
    record_turnaround: Time = 0
    """From the end of a fault record until the next one is begun."""
    fault_answer: Time = 0
    """To refuse a request whose fault is dealt with."""
    register_access: Time = 5 * NS
    """A register access at the IOMMU itself."""
    busy: Time = 500 * NS
    """How long `busy` and the like stay set after a change of `ddtp` or a queue's enable."""
    interrupt: Time = 100 * NS
    """A wired interrupt, from the IOMMU to the CPU."""


class LatitudeOptions(Options):
    """What the specification permits either way: off, on, or left to the schedule that is explored."""

    out_of_order: Latitude = "off"
    """Execute fetched commands out of order between fences (IOMMU 3.1 "Command-Queue": order is only by IOFENCE)."""
    walk_across_invalidation: Latitude = "off"
    """Complete a walk that an invalidation overtook, and commit its access before the fence completes
    (IOMMU 3.1.1 "IOMMU Page-Table cache invalidation commands")."""
    evict: Latitude = "off"
    """Drop a cache entry at will (caches are hints: IOMMU 2.8 "Caching in-memory data structures")."""
    invalidate_more: Latitude = "off"
    """Drop more than an invalidation names (IOMMU 3.1.1: it may be widened)."""


class DefectOptions(Options):
    """Errors that hardware might have; each is there so that an oracle can be shown to see it."""

    cache_invalid: bool = False
    """Cache entries with V=0, which the specification forbids (IOMMU 2.8)."""
    lose_invalidation: int = Field(default=0, ge=0)
    """Ignore the n-th IOTINVAL (counted from 1); 0 is none."""
    early_fence: bool = False
    """Complete an IOFENCE without waiting for what it orders."""
    stale_fill: bool = False
    """Let a walk that an invalidation overtook fill the IOTLB with what it read before."""
    keep_nonleaf: bool = False
    """Let an IOTINVAL leave the non-leaf page-table entries that it names."""
    keep_context: bool = False
    """Let an IODIR.INVAL_DDT leave the device contexts that it names."""
    pscid_bits: int = Field(default=0, ge=0, le=20)
    """Compare so many bits of a PSCID in the IOTLB, the lowest ones; 0 is all 20."""
    skip_permissions: bool = False
    """Let every request through that hits the IOTLB, whatever the page permits, and whether or not A and D are set."""
    lose_buffered: Time = 0
    """Lose one of the faults in `fault_buffer` each time this long has passed while memory has not answered the write
    of a record, and whoever finds the buffer full, without `fqof`; 0 is never."""


class HardwiredOptions(Options):
    """PPNs that the IOMMU fixes, as one with on-chip memory may (PPN is WARL: IOMMU 5.6 "Command-queue base").

    Software reads this address whatever it has written. Where it leads there is memory: one of its own, which is
    `reserved`, or a part of the main memory, of which the kernel then gives out the rest. It is a multiple of the size
    of what is there: a page for the directory's root, and for a queue the longest that `geometry` has. Software can
    make the queue shorter.
    """

    cqb: Address | None = None
    """Where the command queue is."""
    fqb: Address | None = None
    """Where the fault queue is."""
    ddtp: Address | None = None
    """Where the root page of the device directory is."""

    @field_validator("cqb", "fqb", "ddtp")
    @classmethod
    def _is_seen(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("a PPN that reads 0 tells software that nothing is hardwired; leave it out for that")
        return value


class IommuOptions(Options):
    """A RISC-V IOMMU."""

    kind: Literal["iommu"]
    base: Address
    """Where its 4 KiB of registers are."""
    capabilities: CapabilityOptions = CapabilityOptions()
    geometry: GeometryOptions = GeometryOptions()
    timing: IommuTiming = IommuTiming()
    hardwired: HardwiredOptions = HardwiredOptions()
    latitude: LatitudeOptions = LatitudeOptions()
    defects: DefectOptions = DefectOptions()
    node: int = Field(default=0, ge=0, le=63)
    """NUMA node number."""
    interrupts_to: str = "cpu0"
    """The CPU that its interrupts go to."""
