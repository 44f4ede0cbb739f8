"""A litmus test on whole CPUs in time: one run at a time, with latencies and schedule as they are given."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.cpu import Cpu
from cosim.hw.cpu.options import CpuOptions
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.chooser import Chooser
from cosim.sim.executor import Executor
from cosim.sim.loaded import Loaded
from cosim.sim.operations import Work
from cosim.sim.plain import Plain
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, CountsFor, Target
from cosim.spec.pagetable import PAGE
from cosim.study.conform.litmus.programs import DEVICE_BASE, MEMORY_BASE, Instruction, Outcome, Test
from cosim.study.conform.litmus.search import operation


class Device(Target):
    """The registers of one device of a test: plain words of 4 bytes."""

    def __init__(self) -> None:
        self.registers: dict[int, int] = {}

    def arrive(self, access: Access, now: int) -> int:
        """Nothing queues here."""
        return now

    def commit(self, access: Access) -> None:
        """Read or write a register."""
        if access.kind is AccessKind.READ:
            access.words = (self.registers[access.address],)
        else:
            self.registers[access.address] = access.value

    def peek(self, address: int, size: int) -> int:
        """The present value of a register."""
        return self.registers[address]

    def poke(self, address: int, size: int, value: int) -> None:
        """Set a register."""
        self.registers[address] = value


class LitmusMachine:
    """One run of a test: a CPU for each hart, a hardware routine for each device. `pauses` delay every step."""

    def __init__(
        self,
        test: Test,
        options: Sequence[CpuOptions],
        *,
        chooser: Chooser | None = None,
        executor: Callable[[Sim], Executor] = Plain,
        hold_ps: int = 0,
        pauses: Callable[[], int] = lambda: 0,
    ) -> None:
        self.test = test
        self.pauses = pauses
        self.sim = Sim(chooser, executor=executor, hold_ps=hold_ps)
        bus = Bus(self.sim)
        memory = Memory(
            self.sim, "memory", MemoryOptions(kind="memory", base=MEMORY_BASE, size="1 MiB", latency="1 ps")
        )
        bus.attach(MEMORY_BASE, 1 << 20, memory, "memory")
        self.targets: dict[str, Memory | Device] = {}
        pages: dict[int, Device] = {}
        for location, address in test.addresses.items():
            if address >= MEMORY_BASE:
                self.targets[location] = memory
            else:
                page = address - (address - DEVICE_BASE) % PAGE
                if page not in pages:
                    pages[page] = Device()
                    bus.attach(page, PAGE, pages[page], location.partition(".")[0])
                self.targets[location] = pages[page]
            self.targets[location].poke(address, 4, test.initial[location])
        self.registers: list[dict[str, Loaded]] = [{} for _ in test.threads]
        self.port = bus.port("device")
        for number, thread in enumerate(test.threads):
            if number in test.devices:
                rank = self.sim.initiator(f"device{number}").rank(Stage.TRANSACTION)
                self.sim.start(self._device(number, thread), rank)
            else:
                cpu = Cpu(self.sim, f"cpu{number}", options[number], bus)
                cpu.start("t0", self._hart(number, thread))
        self.sim.explore()

    def run(self) -> Outcome | None:
        """Run to the end; None if the filter of the test excludes what came out."""
        self.sim.env.run()
        test = self.test
        words = {name: self.targets[name].peek(address, 4) for name, address in test.addresses.items()}
        return test.outcome([dict(registers) for registers in self.registers], words)

    async def _hart(self, number: int, program: tuple[Instruction, ...]) -> None:
        registers = self.registers[number]
        for instruction in program:
            if pause := self.pauses():
                await Work(pause)
            address = self.test.addresses.get(instruction.location, 0)
            result = await operation(instruction, address, registers)
            if instruction.register:
                registers[instruction.register] = result

    def _device(self, number: int, program: tuple[Instruction, ...]) -> Generator[Any, Any, None]:
        registers = self.registers[number]
        for instruction in program:
            yield Server(1 + self.pauses(), "memory")
            kind = AccessKind.WRITE if instruction.op in ("dma_store", "reg_set") else AccessKind.READ
            words = (int(instruction.stored(registers)),) if kind is AccessKind.WRITE else ()
            address = self.test.addresses[instruction.location]
            access = Access(self.port, kind, address, 4, CountsFor("memory"), words, owner=f"device{number}")
            yield access
            if instruction.register:
                registers[instruction.register] = Loaded(access.value, -1)
