"""Directories, contexts and fault causes (chapter "Data Structures"): what says how a request is translated.

Page tables have a module of their own, `pagetable`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from cosim.spec.bits import Record, Word, bit, bits, word
from cosim.spec.page import PAGE_LG2
from cosim.spec.registers import Capabilities


class IosatpMode(IntEnum):
    """iosatp.MODE, also of PC.fsc, when DC.tc.SXL is 0."""

    BARE = 0
    SV39 = 8
    SV48 = 9
    SV57 = 10


class IosatpMode32(IntEnum):
    """iosatp.MODE, also of PC.fsc, when DC.tc.SXL is 1."""

    BARE = 0
    SV32 = 8


class IohgatpMode(IntEnum):
    """iohgatp.MODE when fctl.GXL is 0."""

    BARE = 0
    SV39X4 = 8
    SV48X4 = 9
    SV57X4 = 10


class IohgatpMode32(IntEnum):
    """iohgatp.MODE when fctl.GXL is 1."""

    BARE = 0
    SV32X4 = 8


class PdtpMode(IntEnum):
    """pdtp.MODE: the width of process_id, and so the depth of the process directory."""

    BARE = 0
    PD8 = 1
    PD17 = 2
    PD20 = 3

    @property
    def levels(self) -> int:
        """Levels of the process directory, 0 when there is none."""
        return int(self)

    def supported(self, capabilities: Capabilities) -> bool:
        """Whether an IOMMU of these capabilities takes the mode."""
        return self is PdtpMode.BARE or bool(Capabilities.field(self.name.lower()).get(capabilities))


class MsiptpMode(IntEnum):
    """msiptp.MODE."""

    OFF = 0
    FLAT = 1


class Tc(Word):
    """DC.tc, translation control."""

    v = bit(0, manual="V")
    en_ats = bit(1, manual="EN_ATS")
    """ATS requests and translated requests are allowed."""
    en_pri = bit(2, manual="EN_PRI")
    """Page requests are allowed."""
    t2gpa = bit(3, manual="T2GPA")
    """ATS hands out guest physical addresses, and translated requests go through the second stage."""
    dtf = bit(4, manual="DTF")
    """Faults of translation are not recorded."""
    pdtv = bit(5, manual="PDTV")
    """fsc is a pdtp."""
    prpr = bit(6, manual="PRPR")
    """Responses that the IOMMU makes to page requests carry a PASID."""
    gade = bit(7, manual="GADE")
    """The IOMMU sets A and D in second-stage PTEs."""
    sade = bit(8, manual="SADE")
    """The IOMMU sets A and D in first-stage PTEs."""
    dpe = bit(9, manual="DPE")
    """A request without process_id is taken for one of process 0."""
    sbe = bit(10, manual="SBE")
    """The process directory and first-stage tables are big-endian."""
    sxl = bit(11, manual="SXL")
    """The first stage is Sv32."""
    custom = bits(31, 24)


class Iohgatp(Word):
    """DC.iohgatp: the second stage. `mode` is an `IohgatpMode`, or with fctl.GXL an `IohgatpMode32`."""

    ppn = bits(43, 0, manual="PPN")
    gscid = bits(59, 44, manual="GSCID")
    mode = bits(63, 60, manual="MODE")


class DcTa(Word):
    """DC.ta, translation attributes. `pscid` counts only while tc.PDTV is 0."""

    pscid = bits(31, 12, manual="PSCID")
    rcid = bits(51, 40, manual="RCID")
    mcid = bits(63, 52, manual="MCID")


class Fsc(Word):
    """First-stage context: iosatp, in a DC whose tc.PDTV is 0 and in every PC, else pdtp.

    `mode` is an `IosatpMode` (with tc.SXL an `IosatpMode32`) or a `PdtpMode`.
    """

    ppn = bits(43, 0, manual="PPN")
    mode = bits(63, 60, manual="MODE")


class Msiptp(Word):
    """DC.msiptp, MSI page table pointer."""

    ppn = bits(43, 0, manual="PPN")
    mode = bits(63, 60, enum=MsiptpMode, manual="MODE")


class MsiAddrMask(Word):
    """DC.msi_addr_mask: the bits of a guest page number that number the interrupt file."""

    mask = bits(51, 0)


class MsiAddrPattern(Word):
    """DC.msi_addr_pattern: what the other bits of the guest page number are."""

    pattern = bits(51, 0)


class Ddte(Word):
    """Non-leaf DDT entry."""

    v = bit(0, manual="V")
    ppn = bits(53, 10, manual="PPN")


class Pdte(Word):
    """Non-leaf PDT entry."""

    v = bit(0, manual="V")
    ppn = bits(53, 10, manual="PPN")


class Dc(Record, dwords=4):
    """Device context, base format: where capabilities.MSI_FLAT is 0."""

    tc = word(0, Tc)
    iohgatp = word(1, Iohgatp)
    ta = word(2, DcTa)
    fsc = word(3, Fsc)

    def extended(self) -> DcExtended:
        """The same context in extended format, with msiptp Off."""
        return DcExtended((*self[:4], 0, 0, 0, 0))


class DcExtended(Dc, dwords=8):
    """Device context, extended format: where capabilities.MSI_FLAT is 1."""

    msiptp = word(4, Msiptp)
    msi_addr_mask = word(5, MsiAddrMask)
    msi_addr_pattern = word(6, MsiAddrPattern)

    def extended(self) -> Self:
        """Itself."""
        return self

    def interrupt_file(self, gpa: int) -> int | None:
        """The number of the virtual interrupt file at `gpa` (2.3.3 "Process to translate addresses of MSIs").

        None if `gpa` is not that of one, or msiptp is Off.
        """
        mask, page = self[5], gpa >> PAGE_LG2
        if not self.msiptp.mode or (page ^ self[6]) & ~mask:
            return None
        return extract(page, mask)


def dc_format(capabilities: Capabilities) -> type[Dc]:
    """The format of device contexts of an IOMMU with these capabilities."""
    return DcExtended if capabilities.msi_flat else Dc


class PcTa(Word):
    """PC.ta, translation attributes."""

    v = bit(0, manual="V")
    ens = bit(1, manual="ENS")
    sum = bit(2, manual="SUM")
    pscid = bits(31, 12, manual="PSCID")


class Pc(Record, dwords=2):
    """Process context."""

    ta = word(0, PcTa)
    fsc = word(1, Fsc)


@dataclass(frozen=True, slots=True)
class Split:
    """How an id is cut into the indices of a directory: `widths` in bits, that of the leaf first."""

    widths: tuple[int, int, int]
    leaf_size: int
    """Of a leaf entry, in bytes; the others have 8."""

    def index(self, level: int, key: int) -> int:
        """DDI[level] or PDI[level] of the id `key`."""
        return key >> sum(self.widths[:level]) & (1 << self.widths[level]) - 1

    def offset(self, level: int, key: int) -> int:
        """Where the id's entry is in its table of this level, in bytes."""
        return self.index(level, key) * (8 if level else self.leaf_size)

    def width(self, levels: int) -> int:
        """Bits of an id that a directory of so many levels can hold."""
        return sum(self.widths[:levels])


DDT_BASE = Split((7, 9, 8), Dc.SIZE)
DDT_EXTENDED = Split((6, 9, 9), DcExtended.SIZE)
PDT = Split((8, 9, 3), Pc.SIZE)


def ddt_split(capabilities: Capabilities) -> Split:
    """How an IOMMU of these capabilities cuts device_id."""
    return DDT_EXTENDED if capabilities.msi_flat else DDT_BASE


class MsiPteMode(IntEnum):
    """MSI PTE, field M; 0 and 2 are reserved."""

    MRIF = 1
    BASIC = 3


class MsiPte(Record, dwords=2):
    """MSI page-table entry in basic translate mode; `v`, `m` and `c` are the same in every mode.

    The second doubleword is the software's.
    """

    v = bit(0, manual="V")
    m = bits(2, 1, enum=MsiPteMode, preset=MsiPteMode.BASIC, manual="M")
    ppn = bits(53, 10, manual="PPN")
    c = bit(63, manual="C")
    ignored = bits(127, 64)


class MsiPteMrif(Record, dwords=2):
    """MSI page-table entry in MRIF mode."""

    v = bit(0, manual="V")
    m = bits(2, 1, enum=MsiPteMode, preset=MsiPteMode.MRIF, manual="M")
    mrif_address = bits(53, 7, manual="MRIF_Address[55:9]")
    c = bit(63, manual="C")
    n90 = bits(73, 64, manual="N[9:0]")
    nppn = bits(117, 74, manual="NPPN")
    n10 = bit(124, manual="N[10]")

    @property
    def nid(self) -> int:
        """The interrupt identity of the notice MSI."""
        return self.n10 << 10 | self.n90


def extract(x: int, mask: int) -> int:
    """The bits of `x` where `mask` has ones, packed at the low end in their order (2.3.3)."""
    result = at = 0
    while mask:
        low = mask & -mask
        if x & low:
            result |= 1 << at
        at += 1
        mask ^= low
    return result


def mgpaw(capabilities: Capabilities) -> int:
    """Bits of a guest physical address that msi_addr_mask and msi_addr_pattern may use."""
    for mode, width in (("sv57x4", 59), ("sv48x4", 50), ("sv39x4", 41), ("sv32x4", 34)):
        if Capabilities.field(mode).get(capabilities):
            return width
    return capabilities.pas
