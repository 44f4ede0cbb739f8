"""Page tables as trees: what an entry points to or maps ("Supervisor-Level ISA", address translation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.pause import pause
from cosim.hw.iommu.translate import touched
from cosim.hw.iommu.translate.leaf import Key, Leaf
from cosim.hw.iommu.translate.pointers import Pointers
from cosim.hw.iommu.translate.tree import Stage, TableEntry, Tables, Tree
from cosim.sim.footprints import Footprint
from cosim.sim.server import Server
from cosim.sim.transport import Response
from cosim.spec.pagetable import NAPOT_LG2, NON_LEAF_RESERVED, PAGE_LG2, Pbmt, Pte, Scheme
from cosim.spec.registers import Capabilities

V: Final = Pte.v.mask
R: Final = Pte.r.mask
W: Final = Pte.w.mask
X: Final = Pte.x.mask
U: Final = Pte.u.mask
G: Final = Pte.g.mask
A: Final = Pte.a.mask
D: Final = Pte.d.mask
N: Final = Pte.n.mask
LOWER: Final = V | R | W | X | U | A | D
"""The bits of which an entry that points to a table has V alone."""
UPPER: Final = 54
"""The lowest of the bits above addresses. In most entries they are 0, and then nobody asks which of them are wrong."""
PBMT_SHIFT: Final = Pte.pbmt.shift
PBMT_ONES: Final = Pte.pbmt.ones
IO: Final = int(Pbmt.IO)

READ_BY_USER = 1
"""The bit of `Leaf.grants` that the read of a table behind other tables needs: such a read counts as a user's."""


def grants_of(pte: int) -> int:
    """What a leaf entry allows whom, as `steps.needed_by` numbers it."""
    rwx = pte >> 1 & 7
    if pte & U:
        return rwx | (rwx & ~4) << 6  # with SUM a supervisor may read and write a user's pages, never execute them
    return rwx << 3 | rwx << 6


# Looked up once: up to Python 3.11 each look at a member of an enumeration costs as much as a call.
_OK: Final = Response.OK


class PageTable(Stage):
    """The tables of one scheme, of either stage, as the walker sees them."""

    kind = "page_table"
    part = "walk"

    def __init__(self, scheme: Scheme, capabilities: Capabilities, options: IommuOptions, pointers: Pointers) -> None:
        self.scheme = scheme
        self.name = scheme.name
        self.start = pause(self.part, options.timing.walk_start)
        self.walks = self.reads = 0
        self.pointers = pointers.levels
        self._step = pause(self.part, options.timing.walk_step)
        self._split_napot = not options.geometry.iotlb_napot
        self._keeps = pointers.levels[1].entries > 0
        """Whether entries that point to tables are kept."""
        self._levels = scheme.levels
        self._lg2 = [scheme.page_lg2(level) for level in range(scheme.levels)]
        self._masks = list(scheme.masks)
        self._size = scheme.pte_size
        self._ppn_shift, self._ppn_ones = scheme.pte.ppn.shift, scheme.pte.ppn.ones
        self._reserved = scheme.pte.reserved(capabilities)
        self._no_pointer = NON_LEAF_RESERVED | self._reserved
        assert not self._reserved & (1 << UPPER) - 1
        signed = scheme.index_bits == 9 and not scheme.x4
        self.shift = scheme.address_bits - signed
        self.upper = (1 << 64 - self.shift) - 1 if signed else 0

    # --- A tree, for the walker ------------------------------------------------------------------------------------

    def prefix(self, target: int, level: int) -> int:
        return target >> self._lg2[level]

    def place(self, table: int, target: int, level: int) -> tuple[int, int]:
        size = self._size
        return table + (target >> self._lg2[level] & self._masks[level]) * size, size

    def pointer(self, words: Sequence[int], level: int) -> int | None:
        pte = words[0]
        if not level or pte & LOWER != V or (pte >> UPPER and pte & self._no_pointer):
            return None
        return (pte >> self._ppn_shift & self._ppn_ones) << PAGE_LG2

    def step(self, entry: TableEntry) -> Server | None:
        return self._step

    def peek(self, tables: Tables[Tree], target: int) -> tuple[int, int, int] | None:
        if self._keeps:
            for level in range(1, self._levels):
                if (found := self.pointers[level].peek(self._key(tables, target, level))) is not None:
                    table, flags = found
                    return level - 1, table, flags
        return None

    def cached(self, tables: Tables[Tree], target: int) -> tuple[int, int, int] | None:
        for level in range(1, self._levels):
            if not self._keeps:
                self.pointers[level].misses += 1
            elif (found := self.pointers[level].get(self._key(tables, target, level))) is not None:
                table, flags = found
                return level - 1, table, flags
        return None

    def remember(self, tables: Tables[Tree], target: int, level: int, table: int, flags: int) -> None:
        if self._keeps:
            self.pointers[level].put(self._key(tables, target, level), (table, flags))

    def touched(self, iommu: str, tables: Tables[Tree], target: int) -> tuple[Footprint, Footprint]:
        kept = touched.translations(iommu, *tables.tag) if self._keeps else ()
        return touched.page_walk(iommu, *tables.tag), kept

    def _key(self, tables: Tables[Tree], target: int, level: int) -> Key:
        """Under which the entry of this level would be cached."""
        lg2 = self._lg2[level]
        gscid, pscid = tables.tag
        return gscid, pscid, lg2, target >> lg2

    # --- What the last entry says ----------------------------------------------------------------------------------

    def leads_to(self, entry: TableEntry, address: int) -> int | None:
        leaf = self.leaf((0, 0), address, entry)
        if leaf is None or not leaf.grants & READ_BY_USER or leaf.must_update[False]:
            return None
        return leaf.base | address & leaf.offset

    def is_empty(self, entry: TableEntry) -> bool:
        """Whether V is 0."""
        return entry.response is _OK and not entry.words[0] & V

    def reach(self, level: int) -> int:
        """log2 of the bytes that an entry of this level spans."""
        return self._lg2[level]

    def span(self, entry: TableEntry) -> int:
        """log2 of the bytes that `entry`, of any value, speaks for."""
        leaf = self._leaf_lg2(entry)
        return self._lg2[entry.level] if leaf is None else leaf

    def leaf(self, tag: tuple[int, int], iova: int, entry: TableEntry) -> Leaf | None:
        """The translation in `entry`; None if it is not a valid leaf, which is a page fault."""
        lg2 = self._leaf_lg2(entry)
        if lg2 is None:
            return None
        pte = entry.words[0]
        kept = PAGE_LG2 if lg2 == NAPOT_LG2 and self._split_napot else lg2
        offset = (1 << lg2) - 1
        return Leaf(
            tag[0],
            tag[1],
            iova,
            kept,
            span=lg2,
            base=self._address(pte) & ~offset | (iova >> kept << kept) & offset,
            grants=grants_of(pte),
            accessed=bool(pte & A),
            dirty=bool(pte & D),
            mapped_globally=bool(entry.flags & G),
            pbmt=pte >> PBMT_SHIFT & PBMT_ONES,
        )

    def _leaf_lg2(self, entry: TableEntry) -> int | None:
        if entry.response is not _OK:
            return None
        pte = entry.words[0]
        if not pte & V or not pte & (R | X) or pte & (R | W) == W or (pte >> UPPER and pte & self._reserved):
            return None
        if pte >> PBMT_SHIFT & PBMT_ONES > IO:
            return None
        if not entry.level and not pte & N:
            return PAGE_LG2
        return self.scheme.leaf_lg2(self.scheme.pte(pte), entry.level)

    def _address(self, pte: int) -> int:
        """The address in an entry."""
        return (pte >> self._ppn_shift & self._ppn_ones) << PAGE_LG2
