"""The caches of page-table entries that point to a table: each spares a walk the reads above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.translate.cache import Cache
from cosim.hw.iommu.translate.leaf import Key
from cosim.hw.iommu.translate.scope import Scope

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

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


class KeepsPointers(Pointers):
    """The defect `keep_nonleaf`: invalidations drop leaves, and leave the way to them as it was."""

    def invalidate(self, scope: Scope) -> None:
        pass


def _names(scope: Scope, key: Key) -> bool:
    gscid, pscid, lg2, prefix = key
    return scope.names(gscid, pscid) and scope.covers(prefix << lg2, lg2)
