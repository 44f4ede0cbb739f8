"""What there is to draw of a topology: its parts, in a few words each, of those that are alike one for all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from cosim.hw.cpu.options import CpuOptions
from cosim.hw.dma.options import DmaOptions, RingOptions
from cosim.hw.iommu.options import DefectOptions, IommuOptions
from cosim.hw.memory.options import MemoryOptions
from cosim.sw.workloads import thread_names
from cosim.system.topology import Topology
from cosim.units.quantities import format_address, format_rate, format_size, format_time

MANY = 3
"""So many parts that are alike are drawn one by one; more of them are one."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part, or `count` parts that are alike: its name, what is said of it, and the shared domain that it begins in.

    `wrong` are defects that it has.
    """

    name: str
    kind: str
    lines: tuple[str, ...] = ()
    domain: str = ""
    count: int = 1
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """The devices behind an IOMMU; behind none, if it is None."""

    iommu: Node | None
    devices: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything that is drawn of a topology. `domains` are those that the file names, in its order."""

    title: str
    driver: str
    cpus: tuple[Node, ...]
    memories: tuple[Node, ...]
    groups: tuple[Group, ...]
    domains: tuple[str, ...]


def drawing_of(topology: Topology, title: str) -> Drawing:
    """What there is to draw of `topology`, which is called `title`."""
    devices = {name: _device(topology, name, part) for name, part in topology.devices().items()}
    groups = []
    for name, iommu in topology.of_kind("iommu").items():
        behind = [devices[device] for device, part in topology.devices().items() if part.through == name]
        groups.append(Group(_iommu(name, iommu), _together(behind)))
    direct = [devices[device] for device, part in topology.devices().items() if part.through is None]
    if direct:
        groups.append(Group(None, _together(direct)))
    driver = topology.driver
    cells = ", ".join(f"{axis}={cell}" for axis, cell in driver.cells.items() if isinstance(cell, str))
    return Drawing(
        title,
        f"{driver.variant} {cells}".strip(),
        _together([_cpu(topology, name) for name in topology.of_kind("cpu")]),
        _together([_memory(name, memory) for name, memory in topology.of_kind("memory").items()]),
        tuple(groups),
        tuple(topology.domains),
    )


# --- Each kind, in a few words ---------------------------------------------------------------------------------------


def _memory(name: str, memory: MemoryOptions) -> Node:
    lines = [f"{format_size(memory.size)} at {format_address(memory.base)}"]
    speed = f", {format_rate(memory.bandwidth)}" if memory.bandwidth else ""
    lines.append(f"{format_time(memory.latency)}{speed}")
    if memory.node:
        lines.append(f"node {memory.node}")
    return Node(name, "memory", tuple(lines))


def _cpu(topology: Topology, name: str) -> Node:
    cpu: CpuOptions = topology.of_kind("cpu")[name]
    named = zip(topology.threads, thread_names(topology.threads), strict=True)
    threads = [thread for options, thread in named if options.on == name]
    node = [f"node {cpu.node}"] if cpu.node else []
    return Node(name, "cpu", (cpu.memory_model, *node, *threads))


def _iommu(name: str, iommu: IommuOptions) -> Node:
    geometry = iommu.geometry
    walkers = "1 walker" if geometry.walkers == 1 else f"{geometry.walkers} walkers"
    lines = (f"{walkers}, IOTLB of {geometry.iotlb_entries}", f"at {format_address(iommu.base)}")
    usual = DefectOptions()
    defects = {field: getattr(iommu.defects, field) for field in DefectOptions.model_fields}
    wrong = tuple(field for field, value in defects.items() if value != getattr(usual, field))
    return Node(name, "iommu", lines, wrong=wrong)


def _device(topology: Topology, name: str, device: DmaOptions | RingOptions) -> Node:
    lines = []
    if isinstance(device, RingOptions):
        lines.append(f"ring, packets of {format_size(device.size)}")
        pace: Any = device
    else:
        pace = device.traffic
        if pace.pattern == "none":
            lines.append("sends nothing")
        else:
            lines.append(f"{pace.pattern}, {_way(pace.read)}" if pace.file is None else f"replays {pace.file}")
            least, most = min(pace.sizes, default=pace.size), pace.largest
            lines.append(
                f"{format_size(least)} to {format_size(most)}" if least < most else f"{format_size(most)} each"
            )
    if pace.interval:
        lines.append(f"every {format_time(pace.interval)}")
    if lines[0] != "sends nothing":
        lines.append(f"{pace.outstanding} in flight")
    domains = [
        domain
        for domain, options in topology.domains.items()
        if any(fnmatchcase(name, glob) for glob in _globs(options.devices))
    ]
    return Node(name, device.kind, tuple(lines), domain=domains[0] if domains else "")


def _way(read: float) -> str:
    return {1.0: "reads", 0.0: "writes"}.get(read, f"{100 * read:g} % reads")


def _globs(devices: str | Iterable[str]) -> Iterable[str]:
    return (devices,) if isinstance(devices, str) else devices


# --- What is alike ---------------------------------------------------------------------------------------------------


def _together(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """`nodes` in their order, those that differ in their number only as one if they are many."""
    alike: dict[Node, list[Node]] = {}
    for node in nodes:
        alike.setdefault(replace(node, name=re.sub(r"\d+$", "#", node.name)), []).append(node)
    found: list[Node] = []
    for pattern, members in alike.items():
        if len(members) <= MANY:
            found += members
        else:
            numbers = sorted(int(re.search(r"\d+$", member.name)[0]) for member in members)  # type: ignore[index]
            whole = numbers == list(range(numbers[0], numbers[-1] + 1))
            span = f"{numbers[0]}..{numbers[-1]}" if whole else ",".join(map(str, numbers))
            found.append(replace(pattern, name=pattern.name.replace("#", span), count=len(members)))
    order = {node.name: index for index, node in enumerate(nodes)}
    return tuple(sorted(found, key=lambda node: order.get(node.name, order.get(_first(node.name), 0))))


def _first(span: str) -> str:
    """The first of a span of names: `nic0` of `nic0..9`."""
    return re.split(r"\.\.|,", span)[0]
