"""Where members of the driver's structures are, as its debugging information says; and operations on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from cosim.object.dwarf import DebugInfo
from cosim.sim.operations import Load, Store

NEEDED: Mapping[str, Collection[str]] = {
    "iommu_ops": ("probe_device", "domain_alloc_paging|domain_alloc_paging_flags", "default_domain_ops"),
    "iommu_domain_ops": ("attach_dev", "map_pages", "unmap_pages", "iotlb_sync|flush_iotlb_all", "free"),
    "iommu_domain": ("ops", "pgsize_bitmap", "geometry"),
    "iommu_domain_geometry": ("aperture_end",),
    "iommu_iotlb_gather": ("start", "end", "pgsize"),
    "iommu_device": (),
    "device": ("iommu", "driver_data"),
    "dev_iommu": ("iommu_dev", "fwspec", "priv"),
    "iommu_fwspec": ("num_ids", "ids", "iommu_fwnode"),
    "fwnode_handle": ("dev",),
    "platform_device": ("dev",),
    "platform_driver": ("probe", "remove", "shutdown"),
}
"""What the core and the bus have to know of the driver's structures."""


class Peeks(Protocol):
    """What can be read of memory at no time."""

    def peek(self, address: int, size: int) -> int: ...


class Layout:
    """Structures by their names in C; a member is named with its structure, such as ``iommu_domain.geometry``."""

    def __init__(self, info: DebugInfo) -> None:
        self.info = info

    def size(self, structure: str) -> int:
        """Bytes of a structure."""
        return self.info.structures[structure].size

    def has(self, path: str) -> bool:
        """Whether there is such a member."""
        try:
            self.info.field(path)
        except KeyError:
            return False
        return True

    def offset(self, path: str) -> int:
        """Where a member begins, from the start of the structure that `path` begins with."""
        return self.info.field(path).offset

    def load(self, address: int, path: str) -> Load:
        """Load a member of the structure at `address`."""
        member = self.info.field(path)
        return Load(address + member.offset, member.size)

    def store(self, address: int, path: str, value: int) -> Store:
        """Store to a member."""
        member = self.info.field(path)
        return Store(address + member.offset, value & (1 << 8 * member.size) - 1, member.size)
