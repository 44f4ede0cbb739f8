"""The kernel's variables that a driver reads, with the values that they have here; they never change.

Memory is mapped where it is, so that virtual and physical addresses are the same; translation has three levels, and
firmware is a device tree.
"""

from __future__ import annotations

from collections.abc import Mapping

from cosim.object.image import Image

SIZES: Mapping[str, int] = {
    "acpi_disabled": 4,
    "kernel_map": 256,
    "kmalloc_caches": 8192,
    "of_fwnode_ops": 256,
    "pci_bus_type": 512,
    "pgtable_l4_enabled": 1,
    "pgtable_l5_enabled": 1,
    "rcu_lock_map": 256,
    "vmemmap_start_pfn": 8,
}
"""Bytes to leave for each."""

VALUES: Mapping[str, int] = {"acpi_disabled": 1}
"""Those that are not zero."""

MEMBERS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "kernel_map": ("kernel_mapping", {"virt_addr": (1 << 64) - 1}),
}
"""Those of a structure, with its members that are not zero: no address is one of the kernel's own image."""


def values_of(image: Image) -> bytes:
    """What stands in the given variables, from the first of them on."""
    given = image.linked.given
    start, end = min(given.values(), default=0), image.linked.data.end
    found = bytearray(end - start if given else 0)
    for name, address in given.items():
        values = {0: (SIZES[name], VALUES[name])} if name in VALUES else {}
        structure, members = MEMBERS.get(name, ("", {}))
        for member, value in members.items():
            known = image.info.structures.get(structure)
            if known is not None and member in known.members:
                values[known.members[member].offset] = (known.members[member].size, value)
        for offset, (size, value) in values.items():
            at = address - start + offset
            found[at : at + size] = value.to_bytes(size, "little")
    return bytes(found)
