"""The IOTLB: leaf translations by address space and page, of any size, and what an invalidation drops of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosim.events import CacheFilled, CacheLookup
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.translate.cache import Cache
from cosim.sim.component import Component
from cosim.spec.pagetable import PAGE_LG2
from cosim.spec.queues import Iotinval

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

HOST = -1
"""The GSCID of address spaces whose second stage is Bare."""
ANY_PSCID = -1
"""The PSCID of global mappings: they are in every address space of their GSCID."""

Key = tuple[int, int, int, int]
"""GSCID, PSCID, log2 of the page's bytes, page number in units of that size."""


class Leaf:
    """A leaf translation: 2^`lg2` bytes of IOVA from ``page << lg2`` on lead to `base` and on.

    `grants` has the bit ``1 << permission + 3 * privilege`` of what is allowed. ``must_update[write]`` says whether
    A, or for a write D, has to be set in memory first: so a clean leaf is a miss to a write. An invalidation of any
    address in the 2^`span` bytes around it names it. A leaf that is `empty` stands for an entry with V=0, which only
    defective hardware keeps.
    """

    __slots__ = (
        "base",
        "empty",
        "grants",
        "key",
        "lg2",
        "mapped_globally",
        "must_update",
        "offset",
        "pbmt",
        "span",
    )

    def __init__(
        self,
        gscid: int,
        pscid: int,
        iova: int,
        lg2: int,
        *,
        span: int = 0,
        base: int = 0,
        grants: int = 0,
        accessed: bool = True,
        dirty: bool = True,
        mapped_globally: bool = False,
        pbmt: int = 0,
        empty: bool = False,
    ) -> None:
        self.key: Key = (gscid, ANY_PSCID if mapped_globally else pscid, lg2, iova >> lg2)
        self.lg2 = lg2
        self.offset = (1 << lg2) - 1
        """The bits of an address that stay as they are."""
        self.span = span or lg2
        self.base = base
        self.grants = grants
        self.must_update = not accessed, not (accessed and dirty)
        self.mapped_globally = mapped_globally
        self.pbmt = pbmt
        self.empty = empty

    def in_range(self, scope: Scope) -> bool:
        """Whether an address of it is named."""
        _, _, lg2, page = self.key
        return scope.covers(page << lg2, self.span)


USER, SUPERVISOR, SUPERVISOR_SUM = range(3)
"""As whom a request accesses pages: without privilege, with it, and with it while SUM=1."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The page-table entries that an invalidation names; what is None does not narrow it."""

    gscid: int | None = None
    pscid: int | None = None
    page: int | None = None
    """The first page of 4 KiB; without it, entries of every level are named."""
    pages_lg2: int = 0
    nonleaf: bool = True
    """Whether pointers to tables are named too."""

    @classmethod
    def vma(cls, command: Iotinval) -> Scope:
        """What IOTINVAL.VMA names (table "IOTINVAL.VMA operands and operations")."""
        gscid = command.gscid if command.gv else HOST
        pscid = command.pscid if command.pscv else None
        if not command.av:
            return cls(gscid, pscid)
        page, pages_lg2 = command.pages
        return cls(gscid, pscid, page, pages_lg2, bool(command.nl))

    def names(self, gscid: int, pscid: int) -> bool:
        """Whether mappings of this address space are named; ANY_PSCID are global ones, which PSCV=1 spares."""
        if self.gscid is not None and self.gscid != gscid:
            return False
        return self.pscid is None or self.pscid == pscid

    def covers(self, iova: int, lg2: int) -> bool:
        """Whether any of the 2^`lg2` bytes around `iova` is named."""
        if self.page is None:
            return True
        wide = max(lg2 - PAGE_LG2, self.pages_lg2)
        return self.page >> wide == iova >> PAGE_LG2 + wide


EVERYTHING = Scope()


class Iotlb(Component):
    """The leaf translations that were walked last. A look-up tries each page size that is present."""

    def __init__(self, sim: Sim, path: str, options: IommuOptions) -> None:
        super().__init__(sim, f"{path}.iotlb")
        geometry = options.geometry
        self.cache: Cache[Key, Leaf] = Cache(
            geometry.iotlb_entries,
            geometry.iotlb_ways,
            geometry.iotlb_replacement,
            stream=sim.chooser.stream(self.path),
            index=lambda key: key[3],
            free_first=geometry.plru_free_first,
        )
        self._split = not geometry.iotlb_napot
        self._kinds: dict[tuple[bool, int], int] = {}
        """How many entries there are, global or not, of each size."""
        self._looked_up = sim.probe(CacheLookup)
        self._filled = sim.probe(CacheFilled)

    def find(self, gscid: int, pscid: int, iova: int, write: bool) -> Leaf | None:
        """The entry that translates `iova` as it is, and that counts as used; not counted as a look-up."""
        touch = self.cache.touch
        for mapped_globally, lg2 in self._kinds:
            leaf = touch((gscid, ANY_PSCID if mapped_globally else pscid, lg2, iova >> lg2))
            if leaf is not None:
                return None if leaf.must_update[write] else leaf
        return None

    def lookup(self, gscid: int, pscid: int, iova: int, write: bool) -> Leaf | None:
        """The entry that translates `iova` as it is; counted as a hit or a miss."""
        leaf = self.find(gscid, pscid, iova, write)
        if leaf is None:
            self.cache.misses += 1
        else:
            self.cache.hits += 1
        if self._looked_up:
            self._looked_up(CacheLookup(self.sim.now, self.path, leaf is not None))
        return leaf

    def holds(self, leaf: Leaf) -> bool:
        """Whether just this entry is there."""
        return self.cache.peek(leaf.key) is leaf

    def fill(self, leaf: Leaf) -> None:
        """Keep a translation."""
        if not self.cache.entries:
            return
        self._forget(self.cache.peek(leaf.key))
        given_up = self.cache.put(leaf.key, leaf)
        if given_up is not None:
            self._forget(given_up[1])
        kind = (leaf.mapped_globally, leaf.lg2)
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        if self._filled:
            self._filled(CacheFilled(self.sim.now, self.path, leaf.key, given_up is not None))

    def evict(self, leaf: Leaf) -> None:
        """Drop one entry."""
        if self.cache.discard(leaf.key) is not None:
            self._forget(leaf)

    def invalidate(self, scope: Scope) -> None:
        """Drop every entry that `scope` names."""
        gscid, pscid, page = scope.gscid, scope.pscid, scope.page
        if gscid is None or pscid is None or page is None or scope.pages_lg2 or self._split:
            for _, leaf in self.cache.drop(lambda key, leaf: scope.names(*key[:2]) and leaf.in_range(scope)):
                self._forget(leaf)
        else:  # the same, by the keys that can be meant
            for mapped_globally, lg2 in list(self._kinds):
                if not mapped_globally:
                    self._forget(self.cache.discard((gscid, pscid, lg2, (page << PAGE_LG2) >> lg2)))

    def _forget(self, leaf: Leaf | None) -> None:
        if leaf is not None:
            kind = (leaf.mapped_globally, leaf.lg2)
            self._kinds[kind] -= 1
            if not self._kinds[kind]:
                del self._kinds[kind]
