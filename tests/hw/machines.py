"""The smallest machine that a CPU can run on: one memory, one device, and as many CPUs as a test needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.cpu import Cpu
from cosim.hw.cpu.lines import Lines
from cosim.hw.cpu.options import CpuOptions, CpuTiming
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.executor import Executor
from cosim.sim.operations import Op
from cosim.sim.plain import Plain
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, Target
from cosim.units.quantities import NS

BASE = 0x8000_0000
X, Y, Z = BASE, BASE + 64, BASE + 128
DEVICE = 0x0300_0000
EXECUTORS: list[Callable[[Sim], Executor]] = [Plain, Agenda]
MODELS = ["sequential", "tso", "rvwmo"]
BOOT = 1500 * NS
"""The change to the first thread."""


class Device(Target):
    """A device of plain 4-byte registers, each read or write of which takes `latency_ps`."""

    def __init__(self, sim: Sim, latency_ps: int = 0) -> None:
        self.sim = sim
        self.latency_ps = latency_ps
        self.registers: dict[int, int] = {}
        self.log: list[tuple[int, str, int, int]] = []
        self._watchers: dict[int, list[Callable[[], None]]] = {}

    def arrive(self, access: Access, now: int) -> int:
        return now + self.latency_ps

    def commit(self, access: Access) -> None:
        offset = access.address & 0xFFF
        if access.kind is AccessKind.READ:
            access.words = (self.registers.get(offset, 0),)
            self.log.append((self.sim.now, "read", offset, access.value))
        else:
            self.log.append((self.sim.now, "write", offset, access.value))
            self.set(offset, access.value)

    def set(self, offset: int, value: int) -> None:
        old = self.registers.get(offset, 0)
        self.registers[offset] = value
        if old != value:
            for call in tuple(self._watchers.get(offset, ())):
                call()

    def watch(self, address: int, call: Callable[[], None]) -> Callable[[], None]:
        watchers = self._watchers.setdefault(address & 0xFFF, [])
        watchers.append(call)
        return lambda: watchers.remove(call)

    def peek(self, address: int, size: int) -> int:
        return self.registers.get(address & 0xFFF, 0)

    def poke(self, address: int, size: int, value: int) -> None:
        self.set(address & 0xFFF, value)


class UnwatchedDevice(Device):
    """The same, but nobody is told of a change."""

    watch = None  # type: ignore[assignment]


class Machine:
    """CPUs with equal options, a memory of 1 MiB at `BASE` and a device at `DEVICE`."""

    def __init__(
        self,
        cpus: int = 1,
        *,
        executor: Callable[[Sim], Executor] = Plain,
        chooser: Chooser | None = None,
        hold_ps: int = 0,
        device: Callable[[Sim], Device] = Device,
        timing: dict[str, Any] | list[dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        self.sim = Sim(chooser, executor=executor, hold_ps=hold_ps)
        self.bus = Bus(self.sim)
        self.memory = Memory(self.sim, "dram0", MemoryOptions(kind="memory", base=BASE, size="1 MiB"))
        self.bus.attach(BASE, 1 << 20, self.memory, "dram0")
        self.device = device(self.sim)
        self.bus.attach(DEVICE, 4096, self.device, "device0")
        self.other = device(self.sim)
        self.bus.attach(DEVICE + 4096, 4096, self.other, "device1")
        timings = timing if isinstance(timing, list) else [timing or {}] * cpus
        self.peers: dict[str, Cpu] = {}
        lines = Lines()
        self.cpus = [
            Cpu(
                self.sim,
                f"cpu{number}",
                CpuOptions(kind="cpu", timing=CpuTiming(**its), **options),
                self.bus,
                self.peers,
                lines=lines,
            )
            for number, its in enumerate(timings)
        ]
        self.cpu = self.cpus[0]
        self._outside = self.sim.initiator("outside")

    def at(self, time: int, call: Callable[[], object], stage: Stage = Stage.MEMORY) -> None:
        """Have something happen from outside."""
        self.sim.at(time, self._outside.rank(stage), call)

    def run(self, until: int | None = None) -> Machine:
        """Run until nothing happens any more, or to a time."""
        self.sim.env.run(until)
        return self


def timed(machine: Machine, *ops: Op[Any]) -> list[tuple[int, Any]]:
    """Run a thread of these operations; when each one ended, and its result."""
    results: list[tuple[int, Any]] = []

    async def body() -> None:
        for op in ops:
            result = await op
            results.append((machine.sim.now, result))

    machine.cpu.start("t0", body())
    machine.run()
    return results
