"""The smallest machine with the side of an IOMMU that software programs: registers, queues, interrupts, memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from cosim.hw.bus.bus import Bus
from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.fault_queue import FaultQueue
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.in_memory_queue import PQ, InMemoryQueue
from cosim.hw.iommu.interrupt_generation import InterruptGeneration
from cosim.hw.iommu.mode import ModeChange
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.parts import parts_of
from cosim.hw.iommu.registers import RegisterFile
from cosim.hw.iommu.warl import Reset
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, CountsFor
from cosim.spec.queues import Command, FaultRecord, Iotinval
from cosim.spec.register_map import CQB, CQCSR, CQT, FQB, FQCSR, Register
from cosim.spec.registers import Capabilities, QueueBase

NS = 1000
BASE = 0x0300_0000
DRAM = 0x8000_0000
RING = DRAM
FAULTS = DRAM + 0x10000
FLAG = DRAM + 0x20000

NO_TIME = dict.fromkeys(
    (
        *("lookup", "lookup_interval", "walk_start", "walk_step", "beat", "fill", "link", "command_fetch"),
        *("invalidate_entry", "invalidate_all", "fence", "register_access", "busy", "interrupt"),
    ),
    0,
)


class Recorder:
    """A translation side that writes down what commands ask of it; `pending` keeps fences from completing."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.log: list[tuple[Any, ...]] = []
        self.pending = Gate(sim, 0, "order")
        self.pending.open()

    def invalidate_vma(self, command: Iotinval) -> None:
        self.log.append((self.sim.now, "vma", command))

    def invalidate_gvma(self, command: Iotinval) -> None:
        self.log.append((self.sim.now, "gvma", command))

    def invalidate_ddt(self, device_id: int | None) -> None:
        self.log.append((self.sim.now, "ddt", device_id))

    def invalidate_pdt(self, device_id: int, process_id: int) -> None:
        self.log.append((self.sim.now, "pdt", device_id, process_id))

    def settle(self, pr: bool, pw: bool) -> Iterator[Any]:
        self.log.append((self.sim.now, "settle", pr, pw))
        yield self.pending

    def footprint(self, command: Command) -> tuple[Hashable, ...]:
        return ("all",)

    @property
    def done(self) -> list[tuple[Any, ...]]:
        """What was asked, without the times."""
        return [entry[1:] for entry in self.log]


class Bench:
    """Registers, queues and interrupts of one IOMMU, on a bus with 1 MiB of memory; times are given in ps."""

    def __init__(
        self,
        *,
        timing: dict[str, int] | None = None,
        memory_ps: int = 0,
        hop_ps: int = 0,
        capabilities: Capabilities | None = None,
        reset: Reset | None = None,
        chooser: Chooser | None = None,
        hold_ps: int = 0,
        executor: Any = Agenda,
        **groups: Any,
    ) -> None:
        self.sim = sim = Sim(chooser, executor=executor, hold_ps=hold_ps)
        times = {name: f"{ps} ps" for name, ps in {**NO_TIME, **(timing or {})}.items()}
        self.options = options = IommuOptions.model_validate({"kind": "iommu", "base": BASE, "timing": times, **groups})
        self.bus = Bus(sim)
        dram = {"kind": "memory", "base": DRAM, "size": "1 MiB", "latency": f"{memory_ps} ps"}
        self.memory = Memory(sim, "dram0", MemoryOptions.model_validate(dram))
        self.bus.attach(DRAM, 1 << 20, self.memory, "dram0")
        port = self.bus.port("iommu0", hop_ps)
        self.registers = RegisterFile(sim, "iommu0", options, capabilities=capabilities, reset=reset)
        self.bus.attach(BASE, 4096, self.registers, "iommu0")
        self.wires: list[tuple[int, int, bool]] = []
        self.translation = Recorder(sim)
        self.interrupts = InterruptGeneration(
            sim,
            "iommu0",
            self.registers,
            port,
            wire=lambda vector, level: self.wires.append((sim.now, vector, level)),
            report=lambda fault: self.faults.report(fault),
            delay_ps=options.timing.interrupt,
            write_ps=options.timing.write_start,
        )
        busy = options.timing.busy
        parts = parts_of(options)
        self.faults = FaultQueue(sim, "iommu0", options, self.registers, port, self.interrupts, parts.fault_buffer)
        self.page_requests = InMemoryQueue(sim, "iommu0", self.registers, PQ, busy_ps=busy, part="queue")
        commanded = parts.commanded(self.translation)
        self.commands = parts.commands(sim, "iommu0", options, self.registers, port, commanded, parts.order)
        self.mode = ModeChange(sim, "iommu0", self.registers, self.translation, busy_ps=busy)
        self._cpu = self.bus.port("cpu0")
        self._initiator = sim.initiator("cpu0")

    def issue(self, kind: AccessKind, address: int, size: int, *words: int, delay_ps: int = 1) -> Access:
        """Send an access on its way; `run` carries it out."""
        access = Access(self._cpu, kind, address, size, CountsFor("mmio"), words, agent="cpu0.mmio", owner="cpu0")

        def routine() -> Iterator[Any]:
            yield access

        self.sim.start(routine(), self._initiator.rank(Stage.CPU), delay_ps=delay_ps)
        return access

    def run(self, until_ps: int | None = None) -> None:
        """Let time pass, up to a time or until nothing is under way."""
        self.sim.env.run(until_ps)

    def write(self, register: Register[Any], value: int, *, rest: bool = True) -> None:
        """A CPU writes a register; unless told otherwise, everything then comes to rest."""
        self.issue(AccessKind.WRITE, BASE + register.offset, register.size, value)
        if rest:
            self.run()
        else:
            self.soon()

    def soon(self) -> None:
        """Let as much time pass as an access of a register takes that was just issued, and one tick more."""
        self.run(self.sim.now + 2 + max(1, self.options.timing.register_access))

    def read(self, register: Register[Any]) -> int:
        """A CPU reads a register, once everything is at rest."""
        access = self.issue(AccessKind.READ, BASE + register.offset, register.size)
        self.run()
        return access.value

    def enable(self, *, log2_entries: int = 3, interrupts: bool = True) -> None:
        """Turn the command queue on, empty."""
        self.write(CQB, QueueBase.placed(RING, 1 << log2_entries, Command.SIZE))
        self.write(CQT, 0)
        self.write(CQCSR, 3 if interrupts else 1)

    def enable_faults(self, *, log2_entries: int = 3, interrupts: bool = True) -> None:
        """Turn the fault queue on, empty."""
        self.write(FQB, QueueBase.placed(FAULTS, 1 << log2_entries, FaultRecord.SIZE))
        self.write(FQCSR, 3 if interrupts else 1)

    def put(self, *commands: Command) -> int:
        """Store commands behind the tail; returns the new tail, to be written to `cqt`."""
        tail, entries = int(self.registers.cqt), self.registers.cqb.entries
        for command in commands:
            for n, word in enumerate(command):
                self.memory.poke(RING + 16 * tail + 8 * n, 8, word)
            tail = (tail + 1) % entries
        return tail

    def submit(self, *commands: Command, rest: bool = True) -> None:
        """Queue commands with one write of `cqt`."""
        self.write(CQT, self.put(*commands), rest=rest)

    def report(self, fault: Fault, txn: Transaction | None = None) -> None:
        """A request meets a fault; everything then comes to rest."""
        self.sim.start(self.faults.report(fault, txn), self._initiator.rank(Stage.TRANSACTION))
        self.run()

    def record(self, index: int) -> FaultRecord:
        """The fault record in memory at `index`."""
        return FaultRecord.from_words(self.memory.peek(FAULTS + 32 * index + 8 * n, 8) for n in range(4))
