"""First-stage page tables as trees: what an entry points to or maps ("Supervisor-Level ISA", address translation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.pause import pause
from cosim.hw.iommu.translate.cache import Cache
from cosim.hw.iommu.translate.iotlb import Key, Leaf, Scope
from cosim.hw.iommu.translate.walk import TableEntry, Walk
from cosim.sim.server import Server
from cosim.sim.transport import Response
from cosim.spec.pagetable import NAPOT_LG2, NON_LEAF_RESERVED, PAGE_LG2, Pbmt, Pte, Scheme, translated
from cosim.spec.registers import Capabilities

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

V, R, W, X, U, G, A, D = (Pte.field(name).mask for name in "vrwxugad")

MOST_LEVELS = 5
"""Of any scheme."""


class Pointers:
    """Caches of page-table entries that point to a table, one for each level; such an entry spares all reads above.

    An entry holds the address of the table and the flags on the way to it. Its tag is the address space in which it
    was found, even if G was set: an invalidation with PSCV=1 may drop it then, as it may drop anything.
    """

    def __init__(self, sim: Sim, path: str, options: IommuOptions) -> None:
        geometry = options.geometry
        self.levels: dict[int, Cache[Key, tuple[int, int]]] = {
            level: Cache(
                geometry.nonleaf_entries,
                replacement=geometry.nonleaf_replacement,
                stream=sim.chooser.stream(f"{path}.nonleaf{level}"),
                free_first=geometry.plru_free_first,
            )
            for level in range(1, MOST_LEVELS)
        }

    def invalidate(self, scope: Scope) -> None:
        """Drop every entry that `scope` names."""
        if scope.nonleaf:
            for cache in self.levels.values():
                cache.drop(lambda key, _: _names(scope, key))


def _names(scope: Scope, key: Key) -> bool:
    gscid, pscid, lg2, prefix = key
    return scope.names(gscid, pscid) and scope.covers(prefix << lg2, lg2)


class AddressSpace:
    """What a context says of its first stage: the scheme, the root of the tables, and the tags of what is cached."""

    __slots__ = ("bare", "big_endian", "gscid", "pscid", "root", "sade", "shift", "sum", "table", "tag", "upper")

    def __init__(
        self, table: PageTable | None, root: int, gscid: int, pscid: int, *, sade: bool, big_endian: int = 0
    ) -> None:
        self.table = table
        self.bare = table is None
        self.root = root
        self.gscid = gscid
        self.pscid = pscid
        self.sade = sade
        """Whether hardware sets A and D."""
        self.big_endian = big_endian
        self.sum = False
        """Whether a request with privilege may read and write the pages of users."""
        self.shift = self.upper = 0
        if table is not None:
            self.shift, self.upper = table.shift, table.upper
            self.tag = (gscid, pscid, root, table.scheme.name)


def grants_of(pte: int) -> int:
    """What a leaf entry allows whom, as `iotlb.need` numbers it."""
    rwx = pte >> 1 & 7
    if pte & U:
        return rwx | (rwx & ~4) << 6  # with SUM a supervisor may read and write a user's pages, never execute them
    return rwx << 3 | rwx << 6


class PageTable:
    """The tables of one first-stage scheme, as the walker sees them."""

    kind = "page_table"
    part = "walk"
    guest = True

    def __init__(self, scheme: Scheme, capabilities: Capabilities, options: IommuOptions, pointers: Pointers) -> None:
        self.scheme = scheme
        self.start = pause(self.part, options.timing.walk_start)
        self.walks = self.reads = 0
        self.pointers = pointers.levels
        self._step = pause(self.part, options.timing.walk_step)
        self._split_napot = not options.geometry.iotlb_napot
        self._pointing = range(1, scheme.levels)
        """The levels of entries that point to tables, the lowest first."""
        self._lg2 = tuple(scheme.page_lg2(level) for level in range(scheme.levels))
        self._reserved = scheme.pte.reserved(capabilities)
        self._no_pointer = R | W | X | NON_LEAF_RESERVED | self._reserved
        signed = scheme.index_bits == 9
        self.shift = scheme.address_bits - signed
        self.upper = (1 << 64 - self.shift) - 1 if signed else 0

    # --- A tree, for the walker ------------------------------------------------------------------------------------

    def prefix(self, target: int, level: int) -> int:
        return target >> self._lg2[level]

    def place(self, table: int, target: int, level: int) -> tuple[int, int]:
        scheme = self.scheme
        return table + scheme.vpn(level, target) * scheme.pte_size, scheme.pte_size

    def pointer(self, words: Sequence[int], level: int) -> int | None:
        pte = words[0]
        if not level or not pte & V or pte & self._no_pointer:
            return None
        return self.scheme.pte(pte).ppn << PAGE_LG2

    def step(self, entry: TableEntry) -> Server | None:
        return self._step

    def peek(self, walk: Walk) -> tuple[int, int, int] | None:
        for level in self._pointing:
            if (found := self.pointers[level].peek(self._key(walk, level))) is not None:
                return level - 1, *found
        return None

    def cached(self, walk: Walk) -> tuple[int, int, int] | None:
        for level in self._pointing:
            if (found := self.pointers[level].get(self._key(walk, level))) is not None:
                return level - 1, *found
        return None

    def remember(self, walk: Walk, table: int, flags: int) -> None:
        self.pointers[walk.level].put(self._key(walk, walk.level), (table, flags))

    def _key(self, walk: Walk, level: int) -> Key:
        """Under which the entry of this level would be cached."""
        space, lg2 = walk.miss.space, self._lg2[level]
        assert space is not None
        return space.gscid, space.pscid, lg2, walk.target >> lg2

    # --- What the last entry says ----------------------------------------------------------------------------------

    def is_empty(self, entry: TableEntry) -> bool:
        """Whether V is 0."""
        return entry.response is Response.OK and not entry.words[0] & V

    def span(self, entry: TableEntry) -> int:
        """log2 of the bytes that `entry`, of any value, speaks for."""
        leaf = self._leaf_lg2(entry)
        return self._lg2[entry.level] if leaf is None else leaf

    def leaf(self, space: AddressSpace, iova: int, entry: TableEntry) -> Leaf | None:
        """The translation in `entry`; None if it is not a valid leaf, which is a page fault."""
        lg2 = self._leaf_lg2(entry)
        if lg2 is None:
            return None
        pte = self.scheme.pte(entry.words[0])
        kept = PAGE_LG2 if lg2 == NAPOT_LG2 and self._split_napot else lg2
        return Leaf(
            space.gscid,
            space.pscid,
            iova,
            kept,
            span=lg2,
            base=translated(pte, lg2, iova >> kept << kept),
            grants=grants_of(pte),
            accessed=bool(pte & A),
            dirty=bool(pte & D),
            mapped_globally=bool(entry.flags & G),
            pbmt=pte.pbmt,
        )

    def _leaf_lg2(self, entry: TableEntry) -> int | None:
        if entry.response is not Response.OK:
            return None
        pte = self.scheme.pte(entry.words[0])
        if not pte & V or not pte & (R | X) or pte & (R | W) == W or pte & self._reserved or pte.pbmt > Pbmt.IO:
            return None
        return self.scheme.leaf_lg2(pte, entry.level)
