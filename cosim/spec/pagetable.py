"""Page-table entries and the geometry of each translation scheme ("Supervisor-Level ISA", "Hypervisor Extension").

A scheme is a row of numbers; walkers and page-table code serve all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final

from cosim.spec.bits import Word, bit, bits
from cosim.spec.page import PAGE as PAGE
from cosim.spec.page import PAGE_LG2 as PAGE_LG2
from cosim.spec.registers import Capabilities
from cosim.spec.translation import IohgatpMode, IohgatpMode32, IosatpMode, IosatpMode32

NAPOT_LG2: Final = 16
"""The one page size that Svnapot adds: 64 KiB."""


class Pbmt(IntEnum):
    """PTE.PBMT, the page-based memory type (Svpbmt); 3 is reserved."""

    PMA = 0
    NC = 1
    IO = 2


class Pte(Word):
    """An entry of 8 bytes, of either stage. Reserved bits that depend on capabilities: `reserved`."""

    v = bit(0, manual="V")
    r = bit(1, manual="R")
    w = bit(2, manual="W")
    x = bit(3, manual="X")
    u = bit(4, manual="U")
    g = bit(5, manual="G")
    a = bit(6, manual="A")
    d = bit(7, manual="D")
    rsw = bits(9, 8, manual="RSW")
    ppn = bits(53, 10, manual="PPN")
    rsw60t59 = bits(60, 59)
    pbmt = bits(62, 61, enum=Pbmt, manual="PBMT")
    n = bit(63, manual="N")

    @property
    def leaf(self) -> bool:
        """Whether the entry maps a page; otherwise, if valid, it points to the next table."""
        return bool(self & _RX)

    @classmethod
    def reserved(cls, capabilities: Capabilities) -> int:
        """The bits that an IOMMU of these capabilities takes for reserved in any entry."""
        reserved = cls.RESERVED
        if not capabilities.svrsw60t59b:
            reserved |= cls.rsw60t59.mask
        if not capabilities.svpbmt:
            reserved |= cls.pbmt.mask
        return reserved


class Pte32(Word, width=32):
    """An entry of 4 bytes (Sv32, Sv32x4), with neither PBMT nor N."""

    v = bit(0, manual="V")
    r = bit(1, manual="R")
    w = bit(2, manual="W")
    x = bit(3, manual="X")
    u = bit(4, manual="U")
    g = bit(5, manual="G")
    a = bit(6, manual="A")
    d = bit(7, manual="D")
    rsw = bits(9, 8, manual="RSW")
    ppn = bits(31, 10, manual="PPN")

    @property
    def pbmt(self) -> int:
        """Always PMA."""
        return Pbmt.PMA

    @property
    def n(self) -> int:
        """Always 0."""
        return 0

    @property
    def leaf(self) -> bool:
        """Whether the entry maps a page; otherwise, if valid, it points to the next table."""
        return bool(self & _RX)

    @classmethod
    def reserved(cls, capabilities: Capabilities) -> int:
        """None of the bits."""
        return 0


_RX = Pte.r.mask | Pte.x.mask
_N = Pte.n.mask

NON_LEAF_RESERVED = Pte.a.mask | Pte.d.mask | Pte.u.mask | Pte.pbmt.mask | Pte.n.mask
"""The bits that must be 0 in an entry that points to another table."""


@dataclass(frozen=True)
class Scheme:
    """A paged virtual-memory scheme. Level 0 is that of the 4 KiB pages, `levels - 1` that of the root."""

    name: str
    capability: str
    """The field of `capabilities` that offers the scheme; "" for Bare, which is always there."""
    levels: int
    """0 for Bare."""
    index_bits: int = 9
    """Of the address, per level; the root of a second stage has 2 more."""
    x4: bool = False
    """Whether this is a second stage: the root is four tables wide, addresses are not sign-extended."""

    @cached_property
    def bare(self) -> bool:
        """Whether addresses pass unchanged."""
        return self.levels == 0

    @cached_property
    def pte(self) -> type[Pte] | type[Pte32]:
        """The format of the entries."""
        return Pte if self.index_bits == 9 else Pte32

    @cached_property
    def pte_size(self) -> int:
        """Of an entry, in bytes."""
        return 8 if self.index_bits == 9 else 4

    @cached_property
    def root_size(self) -> int:
        """Of the root table, and its alignment, in bytes."""
        return PAGE << 2 if self.x4 else PAGE

    @cached_property
    def address_bits(self) -> int:
        """Of an address to be translated; 64 for Bare."""
        return PAGE_LG2 + self.levels * self.index_bits + (2 if self.x4 else 0) if self.levels else 64

    @cached_property
    def page_sizes(self) -> tuple[int, ...]:
        """What one leaf can map without Svnapot, in bytes, smallest first."""
        return tuple(1 << self.page_lg2(level) for level in range(self.levels))

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """The largest index into a table of each level."""
        return tuple(self.entries(level) - 1 for level in range(self.levels))

    def supported(self, capabilities: Capabilities) -> bool:
        """Whether an IOMMU of these capabilities has the scheme."""
        return not self.capability or bool(Capabilities.field(self.capability).get(capabilities))

    def entries(self, level: int) -> int:
        """Entries in a table of this level."""
        return 1 << self.index_bits + (2 if self.x4 and level == self.levels - 1 else 0)

    def vpn(self, level: int, address: int) -> int:
        """The index of `address` into its table of this level."""
        return address >> PAGE_LG2 + level * self.index_bits & self.masks[level]

    def page_lg2(self, level: int) -> int:
        """log2 of the bytes that one entry of this level spans."""
        return PAGE_LG2 + level * self.index_bits

    def canonical(self, address: int) -> bool:
        """Whether a 64-bit `address` is one that the scheme can translate.

        Sv39, Sv48 and Sv57 want it sign-extended; Sv32 and second stages want zeroes above; Bare takes all.
        """
        if not self.levels:
            return True
        if self.x4 or self.index_bits != 9:
            return address >> self.address_bits == 0
        upper = address >> self.address_bits - 1
        return upper == 0 or upper == (1 << 64 - self.address_bits + 1) - 1

    def leaf_lg2(self, pte: Pte | Pte32, level: int) -> int | None:
        """log2 of the bytes that leaf `pte`, found at this level, maps; None if its encoding is reserved.

        Reserved are a superpage whose low PPN bits are not 0, and N=1 with anything but 64 KiB.
        """
        span = level * self.index_bits
        if pte & _N:
            return NAPOT_LG2 if level == 0 and pte.ppn & 0xF == 0x8 else None
        return None if span and pte.ppn & (1 << span) - 1 else PAGE_LG2 + span

    def flaw(self, pte: Pte | Pte32, level: int, capabilities: Capabilities) -> str:
        """In words, why an IOMMU of these capabilities takes a leaf of this level for none; "" if it does not.

        One that it takes may still lack U, A or D for what is asked of it.
        """
        if reserved := pte & self.pte.reserved(capabilities):
            return f"has reserved bits, {reserved:#x}"
        if pte.w and not pte.r:
            return "has W without R, which is reserved"
        if pte.pbmt not in Pbmt.__members__.values():
            return f"has PBMT={pte.pbmt}, which is reserved"
        if self.leaf_lg2(pte, level) is not None:
            return ""
        return "has N=1, and is none of 64 KiB" if pte.n else "is a superpage whose low PPN bits are not 0"


def translated(pte: Pte | Pte32, lg2: int, address: int) -> int:
    """Where a leaf that maps 2^`lg2` bytes takes `address`."""
    offset = (1 << lg2) - 1
    return pte.ppn << PAGE_LG2 & ~offset | address & offset


BARE = Scheme("Bare", "", 0)
SV32 = Scheme("Sv32", "sv32", 2, index_bits=10)
SV39 = Scheme("Sv39", "sv39", 3)
SV48 = Scheme("Sv48", "sv48", 4)
SV57 = Scheme("Sv57", "sv57", 5)
SV32X4 = Scheme("Sv32x4", "sv32x4", 2, index_bits=10, x4=True)
SV39X4 = Scheme("Sv39x4", "sv39x4", 3, x4=True)
SV48X4 = Scheme("Sv48x4", "sv48x4", 4, x4=True)
SV57X4 = Scheme("Sv57x4", "sv57x4", 5, x4=True)

FIRST_STAGE: tuple[Mapping[int, Scheme], Mapping[int, Scheme]] = (
    {IosatpMode.BARE: BARE, IosatpMode.SV39: SV39, IosatpMode.SV48: SV48, IosatpMode.SV57: SV57},
    {IosatpMode32.BARE: BARE, IosatpMode32.SV32: SV32},
)
"""FIRST_STAGE[DC.tc.SXL][iosatp.MODE]; an encoding that is not there is reserved."""

SECOND_STAGE: tuple[Mapping[int, Scheme], Mapping[int, Scheme]] = (
    {IohgatpMode.BARE: BARE, IohgatpMode.SV39X4: SV39X4, IohgatpMode.SV48X4: SV48X4, IohgatpMode.SV57X4: SV57X4},
    {IohgatpMode32.BARE: BARE, IohgatpMode32.SV32X4: SV32X4},
)
"""SECOND_STAGE[fctl.GXL][iohgatp.MODE]; an encoding that is not there is reserved."""


def encode_range(page: int, pages_lg2: int) -> int:
    """A page number that says how many pages are meant: 2^`pages_lg2` from `page`, at least 2 (S=1).

    The encoding of IOTINVAL's ADDR (Address Range Invalidation), of tr_response.PPN and of ATS.
    """
    if pages_lg2 < 1 or page & (1 << pages_lg2) - 1:
        raise ValueError(f"a range of 2^{pages_lg2} pages from page {page:#x}: at least 2, aligned to their number")
    return page | (1 << pages_lg2 - 1) - 1


def decode_range(encoded: int) -> tuple[int, int]:
    """The first page and log2 of the number of pages of a range with S=1; the inverse of `encode_range`."""
    above = encoded & encoded + 1
    pages_lg2 = (encoded ^ above).bit_length() + 1
    return above & ~((1 << pages_lg2) - 1), pages_lg2
