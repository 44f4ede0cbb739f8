"""The smallest system with DMA masters: one memory on a bus, reached directly, and a record of what happened."""

from __future__ import annotations

from typing import Any

from cosim.events import DmaCommitted, DmaDone, DmaIssued
from cosim.hw.bus.bus import Bus
from cosim.hw.dma.direct import Direct
from cosim.hw.dma.master import DmaMaster
from cosim.hw.dma.options import DmaOptions, RingOptions, TrafficOptions
from cosim.hw.dma.ring_device import RingMaster
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.simulation import Sim

BASE = 0x8000_0000
REGISTERS = 0x1000_0000

_SIZES = {"size", "window", "stride", "header"}


class Rig:
    """A memory of 1 MiB at `BASE` with `latency`, and whatever masters are added."""

    def __init__(self, executor: Any = Agenda, seed: int = 0, latency: str = "80 ns", **memory: Any) -> None:
        self.sim = Sim(Chooser(seed), executor=executor)
        options = MemoryOptions(kind="memory", base=BASE, size="1 MiB", latency=latency, **memory)
        self.bus = Bus(self.sim)
        self.memory = Memory(self.sim, "dram0", options)
        self.bus.attach(BASE, options.size, self.memory, "dram0")
        self.issued: list[DmaIssued] = []
        self.committed: list[DmaCommitted] = []
        self.done: list[DmaDone] = []
        for event, seen in ((DmaIssued, self.issued), (DmaCommitted, self.committed), (DmaDone, self.done)):
            self.sim.probe(event).watch(seen.append)

    def options(self, **given: Any) -> DmaOptions:
        """Options of a master that bypasses the IOMMU: those of its traffic may stand among them, sizes in bytes."""
        given = {
            name: f"{value} B" if name in _SIZES and type(value) is int else value for name, value in given.items()
        }
        traffic = {name: given.pop(name) for name in list(given) if name in TrafficOptions.model_fields}
        return DmaOptions(kind="dma", direct=True, traffic=traffic, **given)

    def master(
        self, path: str = "nic0", *, hop_ps: int = 0, transport: Any = None, buffer: int | None = None, **options: Any
    ) -> DmaMaster:
        direct = Direct(self.sim, self.bus.port(f"{path}.port", hop_ps))
        return DmaMaster(self.sim, path, self.options(**options), (1,), transport or direct.transport, buffer=buffer)

    def ring(self, path: str = "nic0", *, wire: Any = lambda level: None, **options: Any) -> RingMaster:
        direct = Direct(self.sim, self.bus.port(f"{path}.port"))
        given = {
            name: f"{value} B" if name in _SIZES and type(value) is int else value for name, value in options.items()
        }
        made = RingOptions(kind="ring", direct=True, **given)
        master = RingMaster(self.sim, path, made, (1,), direct.transport, wire=wire)
        self.bus.attach(REGISTERS, master.registers.SIZE, master.registers, path)
        return master

    def run(self, until: int | None = None) -> None:
        self.sim.env.run(until=until)
