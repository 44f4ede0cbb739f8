"""Which `device_id` a device has, and which domain it begins in, from what a topology says and leaves open."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import count

from cosim.hw.dma.options import DeviceOptions
from cosim.sw.iommu_ops import IDENTITY
from cosim.system.topology import Topology


def matching(pattern: str, names: Collection[str]) -> list[str]:
    """The names that a name or glob stands for, in their own order."""
    return [name for name in names if fnmatchcase(name, pattern)]


def patterns(devices: str | tuple[str, ...]) -> tuple[str, ...]:
    """A list of names or globs, however it was written."""
    return (devices,) if isinstance(devices, str) else devices


def device_ids(devices: Mapping[str, DeviceOptions]) -> dict[str, tuple[int, ...]]:
    """The `device_id`s of each device: its own, or the next one from 1 that is free behind its IOMMU."""
    taken = {(device.through, number) for device in devices.values() for number in device.ids}
    ids: dict[str, tuple[int, ...]] = {}
    free: dict[str | None, Iterator[int]] = {}
    for name, device in devices.items():
        numbers, through = free.setdefault(device.through, count(1)), device.through
        ids[name] = device.ids or (next(number for number in numbers if (through, number) not in taken),)
    return ids


def starts_in(topology: Topology) -> dict[str, str]:
    """The domain that boot attaches each device to, if an IOMMU is before it: one of `domains`, else its own."""
    translated = [name for name, device in topology.devices().items() if device.through is not None]
    shared = {
        device: name
        for name, domain in topology.domains.items()
        for pattern in patterns(domain.devices)
        for device in matching(pattern, translated)
    }
    return {device: shared.get(device, device) for device in translated}


def untranslated(topology: Topology) -> frozenset[str]:
    """The devices whose addresses are physical: those behind no IOMMU, and those that begin in identity."""
    begins = starts_in(topology)
    return frozenset(name for name in topology.devices() if begins.get(name, IDENTITY) == IDENTITY)
