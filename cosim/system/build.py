"""From a topology to a system of parts: a function for each kind, and one pass that wires them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from cosim.events import BootDone
from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.cpu import Cpu
from cosim.hw.cpu.interrupt_file import InterruptFile
from cosim.hw.cpu.scheduler import Scheduler
from cosim.hw.dma.direct import Direct
from cosim.hw.dma.master import DmaMaster
from cosim.hw.dma.ring_device import RingMaster
from cosim.hw.iommu.iommu import Iommu
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.memory import Memory
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.occupancy import Occupancy
from cosim.sim.operations import Body
from cosim.sim.plain import Plain
from cosim.sim.simulation import Sim
from cosim.spec.pagetable import PAGE
from cosim.sw.boot import DevicePlan, Plan, boot
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.variants import variant
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import IDENTITY, Hardware
from cosim.sw.kernel.buddy import Region
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.runtime import RingHardware, Runtime
from cosim.system import counters
from cosim.system.address_map import interrupt_files, ring_registers
from cosim.system.checks import device_ids, starts_in
from cosim.system.topology import Topology

FIRST_VECTOR = 16
"""Interrupt numbers below this belong to the CPU itself."""

Master = DmaMaster | RingMaster

EXECUTORS: Mapping[str, Callable[[Sim], Agenda | Plain]] = {"agenda": Agenda, "plain": Plain}


class AllMemory:
    """The memories of a system as one, as the page allocator sees them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def poison(self, address: int, size: int, by: str, what: str) -> None:
        """From now on a touch of these bytes is a touch of `what`, freed now by `by`."""
        self._at(address).poison(address, size, by, what)

    def unpoison(self, address: int, size: int) -> None:
        """These bytes are in use again."""
        self._at(address).unpoison(address, size)

    def peek(self, address: int, size: int) -> int:
        """What is there."""
        return self._bus.peek(address, size)

    def watch(self, address: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` whenever the word at `address` changes; returns how to stop."""
        return self._at(address).watch(address, call)

    def _at(self, address: int) -> Memory:
        memory = self._bus.target(address)
        assert isinstance(memory, Memory), f"{address:#x} is not memory"
        return memory


@dataclass
class System:
    """A built system: its parts by path, the kernel on it, and what to ask of it when it has run."""

    topology: Topology
    sim: Sim
    bus: Bus
    kernel: Kernel
    runtime: Runtime
    plan: Plan
    memories: dict[str, Memory] = field(default_factory=dict)
    cpus: dict[str, Cpu] = field(default_factory=dict)
    iommus: dict[str, Iommu] = field(default_factory=dict)
    masters: dict[str, Master] = field(default_factory=dict)
    files: dict[str, InterruptFile] = field(default_factory=dict)
    driver_name: str = ""
    refused: list[str] = field(default_factory=list)
    """IOMMUs that boot could not take into service."""

    def start(self) -> None:
        """Let the kernel boot; the rest follows from that."""
        self.sim.probe(BootDone).watch(self._booted)
        self.kernel.boot()
        self.kernel.start(next(iter(self.cpus)), "boot", boot(self.runtime, self.plan))

    def _booted(self, _: BootDone) -> None:
        self.refused = [path for path in self.iommus if path not in self.runtime.core.iommus]

    def close(self) -> None:
        """Let go of watchers and threads: those that have not ended will never go on."""
        self.sim.unwatch()
        for cpu in self.cpus.values():
            for thread in cpu.threads:
                _close(thread.body)

    def counters(self) -> dict[str, int]:
        """Every cumulative counter, by path."""
        found: dict[str, int] = {}
        for path, memory in self.memories.items():
            found.update(counters.of_memory(path, memory))
        for path, cpu in self.cpus.items():
            found.update(counters.of_cpu(path, cpu))
        for file in self.files.values():
            found[f"{file.path}.messages"] = file.messages
        for path, iommu in self.iommus.items():
            found.update(counters.of_iommu(path, iommu))
        for path, master in self.masters.items():
            found.update(counters.of_master(path, master))
        return found

    def occupancies(self) -> dict[str, Occupancy]:
        """Who counts what is in flight, by path."""
        return {path: master.occupancy for path, master in self.masters.items()}

    def device_names(self) -> dict[tuple[str, int], str]:
        """The name of the device with a `device_id` behind an IOMMU."""
        return {
            (device.options.through, device.device_id): path
            for path, device in self.masters.items()
            if device.options.through
        }

    def derived(self, counted: Mapping[str, int], window_ps: int) -> dict[str, float]:
        """Utilisations, mean depths and throughputs, from what was counted in a window."""
        places = {f"{path}.port": memory.options.ports for path, memory in self.memories.items()}
        places |= {f"{path}.walkers": iommu.options.geometry.walkers for path, iommu in self.iommus.items()}
        return counters.derived(counted, places, window_ps)

    def totals(self) -> dict[str, int]:
        """What counts from the beginning and not from the window's opening: memory in use at the end, by purpose.

        What leaked of it is counted in pages, rounded up.
        """
        pages = self.kernel.pages
        leaked = sum(lost.size for lost in self.runtime.leaks())
        return {
            "kernel.leaked_pages": -(-leaked // PAGE),
            "kernel.quarantined": len(pages.quarantined),
            **{f"kernel.pages.{purpose}": number for purpose, number in sorted(pages.purposes().items())},
        }

    def stuck(self) -> list[str]:
        """In words, the threads that will never go on; nothing if all is well."""
        return self.kernel.deadlocks()


def build(topology: Topology, chooser: Chooser) -> System:
    """The system that `topology` describes, at time 0, with nothing started."""
    sim = Sim(chooser, executor=EXECUTORS[topology.run.executor], hold_ps=topology.run.hold)
    bus = Bus(sim)
    memories = {path: Memory(sim, path, options) for path, options in topology.of_kind("memory").items()}
    for path, memory in memories.items():
        bus.attach(memory.options.base, memory.options.size, memory, path)
    peers: dict[str, Scheduler] = {}
    cpus = {path: Cpu(sim, path, options, bus, peers) for path, options in topology.of_kind("cpu").items()}
    history = max((cpu.options.history for cpu in cpus.values() if cpu.options.memory_model == "rvwmo"), default=0)
    for memory in memories.values():
        memory.remember(history)
    files = dict(_interrupt_files(sim, bus, topology, cpus))
    vectors = _vectors(topology)
    iommus = {path: _iommu(sim, bus, path, topology, cpus, vectors) for path in topology.of_kind("iommu")}
    masters = dict(_masters(sim, bus, topology, iommus, cpus, vectors))
    for stall in topology.stalls:
        iommus[stall.part.split(".")[0]].commands.stall(stall.at, stall.duration_ps)
    kernel = Kernel(
        sim,
        cpus,
        [Region(memory.options.base, memory.options.size, memory.options.node) for memory in memories.values()],
        AllMemory(bus),
        topology.kernel,
        nodes={path: cpu.options.node for path, cpu in cpus.items()},
    )
    row = variant(topology.driver.variant, topology.driver.cells)
    driver = Driver(kernel, row, topology.costs)
    first_cpu = next(iter(cpus))
    rings = {
        found.name: RingHardware(found.base, first_cpu, vectors[found.name][0])
        for found in bus.ranges()
        if isinstance(masters.get(found.name), RingMaster)
    }
    runtime = Runtime(kernel, driver, IommuCore(kernel, driver), masters, rings)
    plan = _plan(topology, masters, vectors, files)
    cells = [f" {axis}={cell}" for axis, cell in topology.driver.cells.items()]
    named = row.name + "".join(cells)
    return System(topology, sim, bus, kernel, runtime, plan, memories, cpus, iommus, masters, files, named)


def _close(body: Body) -> None:
    """Close a coroutine and, if it has not begun, those that it was given to await."""
    if inspect.getcoroutinestate(body) == inspect.CORO_CREATED:
        for argument in inspect.getcoroutinelocals(body).values():
            if inspect.iscoroutine(argument):
                _close(argument)
    body.close()


def _vectors(topology: Topology) -> dict[str, tuple[int, ...]]:
    """The interrupt numbers of each IOMMU and of each ring device, in the order of the file."""
    vectors: dict[str, tuple[int, ...]] = {}
    free = FIRST_VECTOR
    for path, part in topology.parts.items():
        count = 1 << part.geometry.icvec_bits if part.kind == "iommu" else int(part.kind == "dma")
        vectors[path] = tuple(range(free, free + count))
        free += count
    return vectors


def _interrupt_files(
    sim: Sim, bus: Bus, topology: Topology, cpus: Mapping[str, Cpu]
) -> Iterator[tuple[str, InterruptFile]]:
    for name, base in interrupt_files(topology).items():
        file = InterruptFile(sim, f"{name}.imsic", base, cpus[name])
        bus.attach(base, InterruptFile.SIZE, file, file.path)
        yield name, file


def _iommu(
    sim: Sim, bus: Bus, path: str, topology: Topology, cpus: Mapping[str, Cpu], vectors: Mapping[str, tuple[int, ...]]
) -> Iommu:
    options = topology.of_kind("iommu")[path]
    cpu, own = cpus[options.interrupts_to], vectors[path]

    def wire(vector: int, level: bool) -> None:
        cpu.wire(own[vector], level)

    iommu = Iommu(sim, path, options, bus.port(path, options.timing.link), wire=wire)
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
    devices = topology.of_kind("dma")
    ids = device_ids(devices)
    bases = ring_registers(topology)
    cpu = next(iter(cpus.values()))
    for path, options in devices.items():
        transport = iommus[options.through].transport if options.through else Direct(sim, bus.port(path, 0)).transport
        if options.traffic.pattern != "ring":
            yield path, DmaMaster(sim, path, options, ids[path], transport)
            continue
        vector = vectors[path][0]
        ring = RingMaster(sim, path, options, ids[path], transport, wire=partial(cpu.wire, vector))
        bus.attach(bases[path], PAGE, ring.registers, path)
        yield path, ring


def _messages(
    files: Mapping[str, InterruptFile], options: IommuOptions, vectors: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Address and data of the message for each vector of an IOMMU that can send messages."""
    if options.capabilities.igs == "wsi":
        return ()
    return tuple((files[options.interrupts_to].base, vector) for vector in vectors)


def _plan(
    topology: Topology,
    masters: Mapping[str, Master],
    vectors: Mapping[str, tuple[int, ...]],
    files: Mapping[str, InterruptFile],
) -> Plan:
    """What boot is to set up, told in names and integers alone."""
    iommus = topology.of_kind("iommu")
    begins = starts_in(topology)
    devices = [
        DevicePlan(
            name=path,
            ids=(master.device_id,),
            iommu=master.options.through or "",
            domain=begins.get(path, ""),
            node=iommus[master.options.through].node if master.options.through else 0,
            window=master.options.traffic.mapped,
            page=master.options.traffic.page_size,
        )
        for path, master in masters.items()
    ]
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
        devices=tuple(devices),
        domains=tuple(name for name in topology.domains if name not in (IDENTITY, *begins.values())),
        threads=topology.threads,
    )
