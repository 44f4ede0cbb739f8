"""How long oracles wait for what takes time, from the topology and the schedule that it runs under."""

from __future__ import annotations

from cosim.hw.iommu.registers import capabilities_of
from cosim.oracles import Bounds
from cosim.sw.driver.time_outs import longest_time_out
from cosim.sw.driver.variants import variant
from cosim.system.topology import Topology
from cosim.units.quantities import S


def patience(topology: Topology, held: int) -> Bounds:
    """The bounds of a run of `topology` whose schedule answers `held` questions: each may hold one action once.

    Unmaps wait for `iova.flush_timeout`, in whole ticks and one more.
    """
    plain = Bounds(
        store_ps=_store(topology),
        answer_ps=_answer(topology),
        call_ps=_call(topology),
        deferred_ps=topology.iova.flush_timeout + 2 * S // topology.kernel.hz,
        deferred=topology.iova.flush_entries,
        capabilities={path: capabilities_of(options) for path, options in topology.of_kind("iommu").items()},
    )
    return plain.held(held * topology.run.hold)


def _store(topology: Topology) -> int:
    """A store may have to wait until those before it have drained, and until register writes have been accepted."""
    cpus = topology.of_kind("cpu").values()
    entries: int = sum(cpu.store_buffer for cpu in cpus)
    registers: list[int] = [part.timing.register_access for part in topology.of_kind("iommu").values()]
    registers += [device.register_access for device in topology.devices().values()]
    drained: int = max((max(cpu.timing.drain, cpu.timing.mmio_arrival) for cpu in cpus), default=0)
    return drained + entries * max(registers, default=0) + entries


def _answer(topology: Topology) -> int:
    """A walk's read has its way back, is judged, and what it leads to is filled in; then the requests go on."""
    times = [part.timing for part in topology.of_kind("iommu").values()]
    beats = 8  # of a device context, the longest that a walk reads
    ways = [time.link + beats * time.beat + time.walk_step + time.fill + time.context_fill for time in times]
    return max(ways, default=0) + max((memory.remote for memory in topology.of_kind("memory").values()), default=0)


def _call(topology: Topology) -> int:
    """A time-out after which a driver goes on without a warning, and as much again for what it has waited before."""
    return 2 * longest_time_out(variant(topology.driver.variant, topology.driver.cells))
