"""Where everything answers on the bus: at the address that the file gives, or at the lowest that is free.

Registers, of an IOMMU and of a device, and interrupt files take a page each.
"""

from __future__ import annotations

from typing import NamedTuple

from cosim.spec.pagetable import PAGE
from cosim.system.topology import Topology

DEVICES_FROM = 0x1000_0000
"""The registers of devices are placed from here on."""
INTERRUPT_FILES_FROM = 0x2800_0000
"""Interrupt files are placed from here on."""


class Place(NamedTuple):
    """Bytes `base` .. `base + size` of the bus, as the field `field` of the part `part` says."""

    part: str
    field: str
    base: int
    size: int


def given(topology: Topology) -> list[Place]:
    """What the file says of addresses, in the order of memories, IOMMUs, devices and CPUs."""
    places = [Place(name, "base", memory.base, memory.size) for name, memory in topology.of_kind("memory").items()]
    places += [Place(name, "base", iommu.base, PAGE) for name, iommu in topology.of_kind("iommu").items()]
    devices, cpus = topology.devices(), topology.of_kind("cpu")
    fields = [(name, "base", devices[name].base) for name in devices]
    fields += [(name, "interrupt_file", cpu.interrupt_file) for name, cpu in cpus.items()]
    return places + [Place(name, field, base, PAGE) for name, field, base in fields if base is not None]


def device_registers(topology: Topology) -> dict[str, int]:
    """The base of each device's registers."""
    return _placed(topology, "base", list(topology.devices()), DEVICES_FROM)


def interrupt_files(topology: Topology) -> dict[str, int]:
    """The base of the interrupt file of each CPU that messages go to, or whose file was given a place."""
    cpus = topology.of_kind("cpu")
    messaged = {iommu.interrupts_to for iommu in topology.of_kind("iommu").values() if iommu.capabilities.igs != "wsi"}
    named = [name for name, cpu in cpus.items() if name in messaged or cpu.interrupt_file is not None]
    return _placed(topology, "interrupt_file", named, INTERRUPT_FILES_FROM)


def _placed(topology: Topology, field: str, parts: list[str], start: int) -> dict[str, int]:
    taken = sorted(given(topology), key=lambda place: place.base)
    bases = {place.part: place.base for place in taken if place.field == field}
    base, ahead = start, iter(taken)
    clash = next(ahead, None)
    for part in parts:
        if part in bases:
            continue
        while clash is not None and clash.base < base + PAGE:
            base = max(base, -(-(clash.base + clash.size) // PAGE) * PAGE)
            clash = next(ahead, None)
        bases[part] = base
        base += PAGE
    return {part: bases[part] for part in parts}
