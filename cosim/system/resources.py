"""The resources of a system that requests wait for: what each is called, and what makes more of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cosim.hw.dma.options import DmaOptions, RingOptions
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.options import MemoryOptions
from cosim.system.topology import Topology
from cosim.units.quantities import Rate, format_rate, format_time


@dataclass(frozen=True, slots=True)
class Knob:
    """A change of a topology: `path` set to `value`."""

    path: str
    value: str

    def __str__(self) -> str:
        return f"-s {shlex.quote(f'{self.path}={self.value}')}"


@dataclass(frozen=True, slots=True)
class Resource:
    """What can be full: its `path`, `words` that follow its owner's name, and what makes it twice as large.

    `knob` is None where a topology cannot have more of it.
    """

    owner: str
    name: str
    words: str
    knob: Knob | None

    @property
    def path(self) -> str:
        """The path of its utilisation in a result: ``iommu0.walkers``."""
        return f"{self.owner}.{self.name}"

    def __str__(self) -> str:
        return f"{self.owner}'s {self.words}"


def resources_of(topology: Topology) -> dict[str, Resource]:
    """Every resource that a DMA request may wait for, by path. A link or port without `bandwidth` is none."""
    found: list[Resource] = []
    for path, memory in topology.of_kind("memory").items():
        found += _of_memory(path, memory)
    for path, iommu in topology.of_kind("iommu").items():
        found += _of_iommu(path, iommu)
    for path, device in topology.devices().items():
        found += _of_device(path, device)
    return {resource.path: resource for resource in found}


def _of_memory(path: str, memory: MemoryOptions) -> Iterator[Resource]:
    if memory.bandwidth is not None:
        words = "port" if memory.ports == 1 else "busiest port"
        yield Resource(path, "port", words, _faster(f"{path}.bandwidth", memory.bandwidth))


def _of_iommu(path: str, iommu: IommuOptions) -> Iterator[Resource]:
    geometry, interval = iommu.geometry, iommu.timing.lookup_interval
    yield Resource(path, "places", "places", _more(f"{path}.geometry.in_flight", geometry.in_flight, 4096))
    if interval > 1:
        yield Resource(path, "lookup", "look-up", shorter(f"{path}.timing.lookup_interval", interval))
    if reading := iommu.timing.walk_read_interval:
        yield Resource(path, "table_reads", "table reads", shorter(f"{path}.timing.walk_read_interval", reading))
    yield Resource(path, "walkers", "walkers", _more(f"{path}.geometry.walkers", geometry.walkers, 1024))
    yield Resource(path, "fq", "fault recorder", None)  # it writes one at a time, and fewer faults are what helps


def _of_device(path: str, device: DmaOptions | RingOptions) -> Iterator[Resource]:
    section = "traffic." if isinstance(device, DmaOptions) else ""
    slots = device.pace.outstanding
    yield Resource(path, "slots", "slots", _more(f"{path}.{section}outstanding", slots, 4096))
    if device.bandwidth is not None:
        for way, words in (("up", "link up to the IOMMU"), ("down", "link down from the IOMMU")):
            yield Resource(path, f"link_{way}", words, _faster(f"{path}.bandwidth", device.bandwidth))


def _more(path: str, number: int, most: int) -> Knob | None:
    return Knob(path, str(min(2 * number, most))) if number < most else None


def _faster(path: str, rate: Rate) -> Knob:
    return Knob(path, format_rate(Rate(2 * rate)))


def shorter(path: str, time_ps: int) -> Knob | None:
    """A time made half as long; None if it is too short for that."""
    return Knob(path, format_time(time_ps // 2)) if time_ps > 1 else None


def fullness(resource: Resource, topology: Topology, scalars: Mapping[str, int | float]) -> float:
    """The fraction of the window that a resource other than slots was in use; of several ports that of the busiest."""
    if resource.name == "port":
        ports = topology.of_kind("memory")[resource.owner].ports
        names = [f"{resource.path}{number}" for number in range(ports)] if ports > 1 else [resource.path]
        return max(scalars[f"{name}.utilisation"] for name in names)
    return scalars[f"{resource.path}.utilisation"]
