"""From a topology to a system of parts: a function for each kind, and one pass that wires them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.cpu import Cpu
from cosim.hw.cpu.interrupt_file import InterruptFile
from cosim.hw.cpu.lines import Lines
from cosim.hw.cpu.scheduler import Scheduler
from cosim.hw.dma.direct import Direct
from cosim.hw.dma.master import DmaMaster
from cosim.hw.dma.options import DmaOptions, RingOptions
from cosim.hw.dma.ring_device import RingMaster
from cosim.hw.iommu.iommu import Iommu
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.memory import Memory
from cosim.oracles.in_source import Source
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.plain import Plain
from cosim.sim.simulation import Sim
from cosim.spec.pagetable import PAGE
from cosim.sw.dma_device import DeviceDriver, DeviceState, DmaDevice, RingDevice
from cosim.sw.driver.compiled import paths_of
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.variants import called, variant
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import IommuDriver
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.runtime import Origin, RingHardware, Runtime
from cosim.system.address_map import device_registers, interrupt_files
from cosim.system.all_memory import AllMemory
from cosim.system.devices import device_ids, untranslated
from cosim.system.hardwired import directories, regions, static_bytes
from cosim.system.plan import interrupt_numbers, plan
from cosim.system.system import Master, System
from cosim.system.topology import Topology

EXECUTORS: Mapping[str, Callable[[Sim], Agenda | Plain]] = {"agenda": Agenda, "plain": Plain}


def build(topology: Topology, chooser: Chooser) -> System:
    """The system that `topology` describes, at time 0, with nothing started."""
    sim = Sim(chooser, executor=EXECUTORS[topology.run.executor], hold_ps=topology.run.hold)
    bus = Bus(sim)
    memories = {path: Memory(sim, path, options) for path, options in topology.of_kind("memory").items()}
    for path, memory in memories.items():
        options = memory.options
        bus.attach(options.base, options.size, memory, path, node=options.node, remote_ps=options.remote)
    peers: dict[str, Scheduler] = {}
    lines = Lines()
    cpus = {path: Cpu(sim, path, options, bus, peers, lines=lines) for path, options in topology.of_kind("cpu").items()}
    history = max((cpu.options.history for cpu in cpus.values() if cpu.options.memory_model == "rvwmo"), default=0)
    for memory in memories.values():
        memory.remember(history)
    files = dict(_interrupt_files(sim, bus, topology, cpus))
    vectors = interrupt_numbers(topology)
    iommus = {
        path: _iommu(sim, bus, path, options, cpus[options.interrupts_to], vectors[path])
        for path, options in topology.of_kind("iommu").items()
    }
    masters = dict(_masters(sim, bus, topology, iommus, cpus, vectors))
    kernel = Kernel(
        sim,
        cpus,
        regions(topology),
        AllMemory(bus),
        topology.kernel,
        nodes={path: cpu.options.node for path, cpu in cpus.items()},
        tables=directories(topology),
        static_bytes=static_bytes(topology),
    )
    row = variant(topology.driver.variant, topology.driver.cells)
    driver = _compiled(kernel, topology) or Driver(kernel, row, topology.costs)
    first_cpu = next(iter(cpus))
    bases = device_registers(topology)
    rings = {path: RingHardware(bases[path], first_cpu, vectors[path][0]) for path in topology.of_kind("ring")}
    drivers = dict(_drivers(kernel, bases, rings))
    origin = Origin(at_boot=topology.run.origin == "boot")
    core = IommuCore(kernel, driver, row.groups)
    apart = untranslated(topology)
    runtime = Runtime(kernel, driver, core, drivers, rings, apart, topology.iova, origin=origin)
    booted = plan(topology, vectors, {path: file.base for path, file in files.items()})
    named = called(row, topology.driver.cells)
    return System(
        topology,
        sim,
        bus,
        kernel,
        runtime,
        booted,
        memories,
        cpus,
        iommus,
        masters,
        files,
        named,
        row,
        _source(driver, topology, cpus),
    )


def _compiled(kernel: Kernel, topology: Topology) -> IommuDriver | None:
    """The driver that objects are, if the topology names some."""
    objects = paths_of(topology.driver.variant)
    if not objects:
        return None
    from cosim.sw.object_driver.driver import ObjectDriver  # what is not asked for is not paid for
    from cosim.sw.object_driver.loading import load_objects

    return ObjectDriver(kernel, load_objects(objects), topology.costs)


def _source(driver: IommuDriver, topology: Topology, cpus: Mapping[str, Cpu]) -> Source | None:
    """Where in the source of the driver something is, if it was compiled."""
    if not paths_of(topology.driver.variant):
        return None
    from cosim.sw.object_driver.driver import ObjectDriver
    from cosim.system.sources import Sources

    return Sources(driver.machine, cpus.values()) if isinstance(driver, ObjectDriver) else None


def _drivers(kernel: Kernel, bases: Mapping[str, int], rings: Collection[str]) -> Iterator[tuple[str, DeviceDriver]]:
    states = [DeviceState(kernel.static(DeviceState.SIZE)) for _ in bases]
    for state, (path, base) in zip(states, bases.items(), strict=True):
        if path in rings:
            yield path, RingDevice(base)
        else:
            yield path, DmaDevice(kernel, base, state)


def _interrupt_files(
    sim: Sim, bus: Bus, topology: Topology, cpus: Mapping[str, Cpu]
) -> Iterator[tuple[str, InterruptFile]]:
    for name, base in interrupt_files(topology).items():
        file = InterruptFile(sim, f"{name}.imsic", base, cpus[name])
        bus.attach(base, InterruptFile.SIZE, file, file.path)
        yield name, file


def _iommu(sim: Sim, bus: Bus, path: str, options: IommuOptions, cpu: Cpu, vectors: Sequence[int]) -> Iommu:
    def wire(vector: int, level: bool) -> None:
        cpu.wire(vectors[vector], level)

    iommu = Iommu(sim, path, options, bus.port(path, options.timing.link, node=options.node), wire=wire)
    bus.attach(options.base, PAGE, iommu.registers, path)
    return iommu


def _masters(
    sim: Sim,
    bus: Bus,
    topology: Topology,
    iommus: Mapping[str, Iommu],
    cpus: Mapping[str, Cpu],
    vectors: Mapping[str, tuple[int, ...]],
) -> Iterator[tuple[str, Master]]:
    devices = topology.devices()
    ids = device_ids(devices)
    bases = device_registers(topology)
    cpu = next(iter(cpus.values()))
    for path, options in devices.items():
        iommu = iommus.get(options.through or "")
        transport = iommu.transport if iommu else Direct(sim, bus.port(path, 0)).transport
        buffer = iommu.options.geometry.in_flight if iommu else None
        if isinstance(options, RingOptions):
            wire = partial(cpu.wire, vectors[path][0])
            device: Master = RingMaster(sim, path, options, ids[path], transport, buffer=buffer, wire=wire)
        else:
            assert isinstance(options, DmaOptions)
            device = DmaMaster(sim, path, options, ids[path], transport, buffer=buffer)
        bus.attach(bases[path], PAGE, device.registers, path)
        yield path, device
