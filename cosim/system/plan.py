"""What boot is to set up, told in names and integers alone: nothing of it knows the hardware's models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cosim.hw.dma.options import DeviceOptions, DmaOptions
from cosim.hw.iommu.options import IommuOptions
from cosim.spec.pagetable import PAGE
from cosim.sw.boot import Plan
from cosim.sw.device_plan import DevicePlan
from cosim.sw.iommu_ops import IDENTITY, Hardware
from cosim.system.devices import device_ids, starts_in
from cosim.system.topology import Topology

FIRST_VECTOR = 16
"""Interrupt numbers below this belong to the CPU itself."""


def interrupt_numbers(topology: Topology) -> dict[str, tuple[int, ...]]:
    """The interrupt numbers of each IOMMU and of each device, in the order of the file."""
    vectors: dict[str, tuple[int, ...]] = {}
    free = FIRST_VECTOR
    for path, part in topology.parts.items():
        count = 1 << part.geometry.icvec_bits if part.kind == "iommu" else int(isinstance(part, DeviceOptions))
        vectors[path] = tuple(range(free, free + count))
        free += count
    return vectors


def plan(topology: Topology, vectors: Mapping[str, tuple[int, ...]], files: Mapping[str, int]) -> Plan:
    """The plan of a topology, with the interrupt numbers of its parts and the bases of its CPUs' interrupt files."""
    iommus: dict[str, IommuOptions] = topology.of_kind("iommu")
    begins, devices = starts_in(topology), topology.devices()
    alloc_for = {name: domain.alloc_for for name, domain in topology.domains.items() if domain.alloc_for != ""}
    found = []
    for path, ids in device_ids(devices).items():
        options = devices[path]
        traffic = options.traffic if isinstance(options, DmaOptions) else None
        found.append(
            DevicePlan(
                name=path,
                ids=ids,
                iommu=options.through or "",
                domain=begins.get(path, ""),
                node=_node(options, iommus),
                window=traffic.mapped if traffic else 0,
                page=traffic.page_size if traffic else PAGE,
                start_ps=traffic.start if traffic else 0,
                made_for=path not in begins or alloc_for.get(begins[path], "") is not None,
                plugged=options.plugged,
            )
        )
    return Plan(
        iommus=tuple(
            Hardware(
                path,
                options.base,
                vectors[path],
                options.interrupts_to,
                messages=_messages(files, options, vectors[path]),
                node=options.node,
            )
            for path, options in iommus.items()
        ),
        devices=tuple(found),
        domains=tuple(name for name in topology.domains if name not in (IDENTITY, *begins.values())),
        threads=topology.threads,
        prepare=topology.prepare,
        alloc_for=alloc_for,
    )


def _node(options: DeviceOptions, iommus: Mapping[str, IommuOptions]) -> int:
    """The node of a device's window: its own, or else that of its IOMMU."""
    if isinstance(options, DmaOptions) and options.traffic.node is not None:
        return options.traffic.node
    return iommus[options.through].node if options.through else 0


def _messages(files: Mapping[str, int], options: IommuOptions, vectors: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Address and data of the message for each vector of an IOMMU that can send messages."""
    if options.capabilities.igs == "wsi":
        return ()
    return tuple((files[options.interrupts_to], vector) for vector in vectors)
