"""IOTLBs of hardware that errs: tags that are too short, and permissions that are not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.translate.iotlb import Iotlb
from cosim.hw.iommu.translate.leaf import ANY_PSCID, Leaf
from cosim.hw.iommu.translate.reservations import Reservation
from cosim.hw.iommu.translate.scope import Scope

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


class ShortTags(Iotlb):
    """The defect `pscid_bits`: entries of address spaces whose PSCIDs end alike are taken for one another's."""

    def __init__(self, sim: Sim, path: str, options: IommuOptions, *, bits: int) -> None:
        super().__init__(sim, path, options)
        self._mask = (1 << bits) - 1

    def find(self, gscid: int, pscid: int, iova: int, write: bool) -> Leaf | None:
        return super().find(gscid, pscid & self._mask, iova, write)

    def fill(self, leaf: Leaf, reserved: Reservation | None = None) -> None:
        gscid, pscid, lg2, page = leaf.key
        if pscid != ANY_PSCID:
            leaf = leaf.copy()
            leaf.key = gscid, pscid & self._mask, lg2, page
        super().fill(leaf, reserved)

    def invalidate(self, scope: Scope) -> None:
        pscid = None if scope.pscid is None else scope.pscid & self._mask
        super().invalidate(Scope(scope.gscid, pscid, scope.page, scope.pages_lg2, scope.nonleaf))


class PermitsAll(Iotlb):
    """The defect `skip_permissions`: only a walk looks at permissions, A and D of a page, a hit does not."""

    def fill(self, leaf: Leaf, reserved: Reservation | None = None) -> None:
        leaf = leaf.copy()
        leaf.grants, leaf.must_update = -1, (False, False)
        super().fill(leaf, reserved)
