"""What look-ups, walks, fills and invalidations touch, as actions: names of an IOMMU's state, in footprints.

Walks have names of their own: they meet invalidations, and not the fills after them.
"""

from __future__ import annotations

from cosim.sim.footprints import Every, Footprint
from cosim.spec.register_map import DDTP


def register(iommu: str, name: str) -> tuple[str, str]:
    """A register of an IOMMU."""
    return iommu, name


def translations(iommu: str, gscid: int, pscid: int) -> Footprint:
    """What a look-up or a fill of the caches of page-table entries touches."""
    return ((iommu, "iotlb", gscid, pscid),)


def contexts(iommu: str, device_id: int) -> Footprint:
    """What a look-up or a fill of the context cache touches."""
    return ((iommu, "ddtc", device_id),)


def directory_tables(iommu: str) -> Footprint:
    """What a fill of the cache of directory entries that point to tables touches: what names one device keeps them."""
    return ((iommu, "ddtc", "tables"),)


def page_walk(iommu: str, gscid: int, pscid: int) -> Footprint:
    """What the read of a page table touches besides memory: an invalidation goes past it, or comes before it."""
    return ((iommu, "page walks", gscid, pscid),)


def directory_walk(iommu: str, device_id: int) -> Footprint:
    """The same of the device directory, which `ddtp` says where to find."""
    return (iommu, "ddt walks", device_id), register(iommu, DDTP.name)


def invalidated_translations(iommu: str, tag: tuple[int, int] | None) -> Footprint:
    """What an IOTINVAL touches: all entries of a (GSCID, PSCID), or of all."""
    if tag is None:
        return Every(iommu, "iotlb"), Every(iommu, "page walks")
    return (iommu, "iotlb", *tag), (iommu, "page walks", *tag)


def invalidated_contexts(iommu: str, device_id: int | None) -> Footprint:
    """What an IODIR.INVAL_DDT touches: the context of a device, or of all."""
    if device_id is None:
        return Every(iommu, "ddtc"), Every(iommu, "ddt walks")
    return (iommu, "ddtc", device_id), (iommu, "ddt walks", device_id)
