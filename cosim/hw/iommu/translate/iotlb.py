"""The IOTLB: leaf translations by address space and page, of any size, and what an invalidation drops of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.events import CacheFilled, CacheLookup
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.translate.cache import Cache
from cosim.hw.iommu.translate.leaf import ANY_PSCID, Key, Leaf
from cosim.hw.iommu.translate.reservations import Reservation, Reservations
from cosim.hw.iommu.translate.scope import Scope
from cosim.sim.component import Component
from cosim.spec.pagetable import PAGE_LG2

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


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
        at_miss = geometry.iotlb_allocation == "miss" and geometry.iotlb_entries
        self.reservations = Reservations(self.cache, self._forget) if at_miss else None
        self._split = not geometry.iotlb_napot
        self._kinds: dict[int, int] = {}
        """How many entries there are of each kind: twice log2 of its size, and one more if it is global."""
        self._looked_up = sim.probe(CacheLookup)
        self._filled = sim.probe(CacheFilled)

    def find(self, gscid: int, pscid: int, iova: int, write: bool) -> Leaf | None:
        """The entry that translates `iova` as it is, and that counts as used; not counted as a look-up."""
        cache = self.cache
        for kind in self._kinds:
            lg2 = kind >> 1
            leaf = cache.touch((gscid, ANY_PSCID if kind & 1 else pscid, lg2, iova >> lg2))
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

    def fill(self, leaf: Leaf, reserved: Reservation | None = None) -> None:
        """Keep a translation, in the place that was reserved for it if there is one."""
        if not self.cache.entries:
            return
        self._forget(self.cache.peek(leaf.key))
        if reserved is not None and reserved.place is not None:
            given_up = self.cache.put_into(reserved.place, leaf.key, leaf)
            reserved.place = None
        else:
            given_up = self.cache.put(leaf.key, leaf)
        kind = leaf.lg2 << 1 | leaf.mapped_globally
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        if given_up is not None:
            self._forget(given_up[1])
        if self._filled:
            self._filled(CacheFilled(self.sim.now, self.path, leaf.key, given_up is not None, leaf.base))

    def evict(self, leaf: Leaf) -> None:
        """Drop one entry."""
        if self.cache.discard(leaf.key) is not None:
            self._forget(leaf)

    def invalidate(self, scope: Scope) -> None:
        """Drop every entry that `scope` names."""
        gscid, pscid, page = scope.gscid, scope.pscid, scope.page
        if gscid is None or pscid is None or page is None or scope.pages_lg2 or self._split:
            for _, leaf in self.cache.drop(lambda key, leaf: scope.names(*key[:2]) and scope.spans(leaf)):
                self._forget(leaf)
        else:  # the same, by the keys that can be meant
            for kind in list(self._kinds):
                if not kind & 1:
                    lg2 = kind >> 1
                    self._forget(self.cache.discard((gscid, pscid, lg2, (page << PAGE_LG2) >> lg2)))

    def _forget(self, leaf: Leaf | None) -> None:
        if leaf is not None:
            kind = leaf.lg2 << 1 | leaf.mapped_globally
            self._kinds[kind] -= 1
            if not self._kinds[kind]:
                del self._kinds[kind]
