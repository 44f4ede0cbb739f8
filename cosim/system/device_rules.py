"""The rules of devices: their ids have room and are their own, and what boot does not find is found later."""

from __future__ import annotations

from collections.abc import Iterator

from cosim.config.problems import Path
from cosim.hw.dma.recording import RecordingError, survey
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.options import MemoryOptions
from cosim.spec.page import PAGE
from cosim.spec.translation import DDT_BASE, DDT_EXTENDED
from cosim.sw.workloads import Plug
from cosim.system.devices import device_ids, matching, patterns
from cosim.system.topology import Topology
from cosim.units.quantities import format_size

Broken = tuple[Path, str]


def device_ids_fit(topology: Topology) -> Iterator[Broken]:
    """No two devices of an IOMMU have an id in common, and the IOMMU's directory has room for each."""
    devices = topology.devices()
    ids, iommus = device_ids(devices), topology.of_kind("iommu")
    seen: dict[tuple[str | None, int], str] = {}
    for name, device in devices.items():
        path: Path = ("parts", name, "device_id") if device.device_id is not None else ("parts", name)
        for at, number in enumerate(ids[name]):
            if number in ids[name][:at]:
                yield path, f"device_id {number} stands there twice"
            other = seen.setdefault((device.through, number), name)
            if other != name and device.through is not None:
                yield path, f"device_id {number} is {other}'s already behind {device.through}"
            if device.through in iommus:
                yield from _has_room(iommus[device.through], device.through, number, path)


def windows_have_memory(topology: Topology) -> Iterator[Broken]:
    """The node that a window is said to be on has memory that the kernel gives out."""
    memories = topology.of_kind("memory")
    nodes = sorted({memory.node for memory in memories.values() if not memory.reserved})
    for name, device in topology.of_kind("dma").items():
        if device.traffic.node is not None and device.traffic.node not in nodes:
            path: Path = ("parts", name, "traffic", "node")
            yield path, f"no memory is on node {device.traffic.node}; there is node {', '.join(map(str, nodes))}"


def recordings_fit(topology: Topology) -> Iterator[Broken]:
    """What a device replays is there, in lines that can be read, and fits in its window."""
    for name, device in topology.of_kind("dma").items():
        traffic, path = device.traffic, ("parts", name, "traffic")
        if traffic.pattern != "replay":
            continue
        try:
            found = survey(traffic.file, name)
        except RecordingError as error:
            yield (*path, "file"), str(error)
            continue
        if found.span > traffic.window:
            yield (
                (*path, "window"),
                f"{traffic.file}: requests of {name} are from {found.base:#x} to {found.base + found.span - 1:#x}, "
                f"which needs {format_size(-(-found.span // PAGE) * PAGE)}, and not {format_size(traffic.window)}",
            )


def requests_take_time(topology: Topology) -> Iterator[Broken]:
    """A device that makes requests without end, one as soon as another has ended, does not do so in no time.

    Each step takes a tick of the clock at least, so that a run would go on, for some days.
    """
    iommus, memories = topology.of_kind("iommu"), topology.of_kind("memory").values()
    if any(_takes_time(memory) for memory in memories):
        return
    for name, device in topology.of_kind("dma").items():
        endless = device.traffic.how.begins and device.traffic.always and device.traffic.requests is None
        hops = device.link or device.bandwidth is not None
        if endless and not hops and (device.through is None or _translates_at_once(iommus.get(device.through))):
            yield (
                ("parts", name, "traffic"),
                "requests without end that take no time: the clock would hardly go on; give it an `interval` or a "
                "number of `requests`, its `link` a time, or memory a `latency`",
            )


def _takes_time(memory: MemoryOptions) -> bool:
    return memory.bandwidth is not None or bool(memory.latency or memory.write_latency or memory.remote)


def _translates_at_once(iommu: IommuOptions | None) -> bool:
    """Whether translation takes no time, at least where it hits; not if that is not known."""
    if iommu is None:
        return False
    timing = iommu.timing
    walks = not iommu.geometry.iotlb_entries and (timing.walk_start or timing.walk_step)
    return not (timing.lookup or timing.lookup_interval or timing.link or walks)


def _has_room(iommu: IommuOptions, through: str, number: int, path: Path) -> Iterator[Broken]:
    levels = iommu.geometry.ddt_levels
    bits = (DDT_EXTENDED if iommu.capabilities.msi_flat else DDT_BASE).width(levels)
    if number >> bits:
        yield (
            path,
            f"device_id {number} needs {number.bit_length()} bits, and the {levels}-level device directory "
            f"of {through} names only {bits} ({1 << bits} devices); raise its geometry.ddt_levels",
        )


def what_is_plugged_in_was_not_there(topology: Topology) -> Iterator[Broken]:
    """`plug` threads find devices of `plugged: false`, and each of those is found by one."""
    devices = topology.devices()
    absent = [name for name, device in devices.items() if not device.plugged]
    found: set[str] = set()
    for path, thread in topology.workloads():
        if not isinstance(thread, Plug):
            continue
        for pattern in patterns(thread.devices):
            named = matching(pattern, absent)
            found |= {*named}
            if not named and matching(pattern, devices):
                yield (*path, "devices"), f"{pattern} is there from boot on; write `plugged: false` for it"
    for name in absent:
        if name not in found:
            yield ("parts", name, "plugged"), f"no thread finds {name}; write `does: plug, devices: {name}`"
