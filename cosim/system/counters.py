"""Every number that the parts of a system keep, by path: cumulative counters, and what is derived from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosim.hw.cpu.cpu import Cpu
from cosim.hw.dma.requester import Requester
from cosim.hw.iommu.iommu import Iommu
from cosim.hw.memory.memory import Memory
from cosim.system.scalars import COMMANDS

Counted = Iterator[tuple[str, int]]


def of_memory(path: str, memory: Memory) -> Counted:
    """Accesses of hardware; CPUs pay for theirs by themselves."""
    yield f"{path}.reads", memory.reads
    yield f"{path}.writes", memory.writes
    yield f"{path}.read_bytes", memory.read_bytes
    yield f"{path}.written_bytes", memory.written_bytes
    if memory.cache is not None:
        yield f"{path}.cache.hits", memory.cache.hits
        yield f"{path}.cache.misses", memory.cache.misses
    yield f"{path}.port.busy_ps", memory.busy_ps
    yield f"{path}.port.waited_ps", memory.waited_ps
    if len(memory.ports) > 1:
        for number, port in enumerate(memory.ports):
            yield f"{path}.port{number}.busy_ps", port.busy_until(memory.sim.now)


def of_cpu(path: str, cpu: Cpu) -> Counted:
    """Changes of threads, and the time that threads ran."""
    yield f"{path}.switches", cpu.switches
    yield f"{path}.busy_ps", cpu.busy_ps


def of_iommu(path: str, iommu: Iommu) -> Counted:
    """Caches, walks, commands by kind, faults, and the integrals of its queues' depths."""
    for name, value in iommu.counters().items():
        yield f"{path}.{name}", value
    commands = iommu.commands
    yield f"{path}.commands.total", sum(commands.counts[name] for name in COMMANDS)
    for name in (*COMMANDS, "illegal", "memory_faults"):
        yield f"{path}.commands.{name}", commands.counts[name]
    yield f"{path}.commands.busy_ps", commands.engine.busy_until(iommu.sim.now)
    yield f"{path}.commands.stalled_ps", commands.stalled_ps
    for name in ("recorded", "lost", "kept_back"):
        yield f"{path}.fq.{name}", getattr(iommu.fault_queue, name)
    yield f"{path}.fq.busy_ps", iommu.fault_queue.busy_ps
    for ring in (commands.queue, iommu.fault_queue.queue):
        yield f"{ring.path}.depth_ps", ring.occupancy


def of_master(path: str, master: Requester) -> Counted:
    """Requests, bytes and faults, and how busy its link was."""
    for name, value in master.counters().items():
        yield f"{path}.{name}", value
    for name, way in (("up", master.link.up), ("down", master.link.down)):
        yield f"{path}.link_{name}.busy_ps", way.busy_until(master.sim.now)


def derived(counted: Mapping[str, int], places: Mapping[str, int], window_ps: int) -> dict[str, float]:
    """Rates over a window: utilisations (0 to 1), mean queue depths, and throughputs in Gb/s.

    `places` says for each resource with a ``busy_ps`` how many it serves at the same time.
    """
    if window_ps <= 0:
        return {}
    found: dict[str, float] = {}
    for name, value in counted.items():
        path, _, counter = name.rpartition(".")
        if counter == "busy_ps":
            found[f"{path}.utilisation"] = value / (window_ps * places.get(path, 1))
        elif counter == "depth_ps":
            found[f"{path}.depth_mean"] = value / window_ps
        elif counter in ("read_bytes", "written_bytes", "offered_bytes"):
            found[f"{path}.{counter.removesuffix('_bytes')}_gbps"] = value * 8000 / window_ps
    return found
