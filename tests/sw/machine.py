"""The smallest machine that runs kernel code: in-order CPUs without store buffers, one thread at a time on each.

Every operation takes `STEP` picoseconds, so that tests can count; `cosim.hw.cpu.cpu` is the real one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from cosim.events import FreedTouched, KernelLog
from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.cpu import Cpu
from cosim.hw.cpu.options import CpuOptions
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim import operations as ops
from cosim.sim.loaded import Loaded
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sw.kernel.buddy import Region
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.options import KernelOptions
from cosim.units.quantities import MIB, NS

STEP = 1 * NS
BASE = 0x8000_0000

MASK = (1 << 64) - 1

AMO: dict[ops.Amo, Callable[[int, int], int]] = {
    ops.Amo.SWAP: lambda old, new: new,
    ops.Amo.ADD: lambda old, new: old + new,
    ops.Amo.AND: lambda old, new: old & new,
    ops.Amo.OR: lambda old, new: old | new,
    ops.Amo.XOR: lambda old, new: old ^ new,
    ops.Amo.MIN: min,
    ops.Amo.MAX: max,
}


class Thread:
    def __init__(self, name: str, body: ops.Body, handler: bool = False) -> None:
        self.name, self.body, self.handler = name, body, handler
        self.irq = self.preempt = self.priority = 0
        self.parts: Counter[str] = Counter()
        self.since = 0
        self.answer: Any = None
        self.cancel: Callable[[], None] = lambda: None


class SmallCpu:
    """One CPU of the small machine. A spinning thread keeps it; interrupts are taken between operations."""

    def __init__(self, machine: Machine, path: str) -> None:
        self.machine, self.sim, self.path = machine, machine.sim, path
        self.on_quiescent: list[Callable[[str], None]] = []
        self.rank = machine.sim.initiator(path)
        self.ready: deque[Thread] = deque()
        self.stack: list[Thread] = []
        self.handlers: dict[int, Callable[[], ops.Body]] = {}
        self.masked: set[int] = set()
        self.pending: deque[int] = deque()
        self.levels: set[int] = set()
        self.spinning: Callable[[], None] | None = None

    @property
    def running(self) -> str:
        return self.stack[0].name if self.stack else ""

    def start(self, name: str, body: ops.Body, *, priority: int = 0) -> ops.ThreadView:
        thread = Thread(f"{self.path}.{name}", body)
        thread.priority = priority
        thread.since = self.sim.now
        self.wake(thread)
        return ops.ThreadView(thread.name, self.path)

    def stored(self) -> dict[int, int]:
        return {}

    def message(self, vector: int) -> None:
        if vector not in self.pending:
            self.pending.append(vector)
        self.later(0, self.interrupt)

    def wire(self, vector: int, level: bool) -> None:
        (self.levels.add if level else self.levels.discard)(vector)
        self.later(0, self.interrupt)

    def disconnect(self, vector: int) -> None:
        self.handlers.pop(vector, None)
        self.masked.discard(vector)

    def later(self, delay: int, call: Callable[[], object]) -> None:
        self.sim.at(self.sim.now + max(1, delay), self.rank.rank(Stage.CPU), call)

    def wake(self, thread: Thread) -> None:
        (self.ready.appendleft if thread.priority else self.ready.append)(thread)
        self.later(0, self.switch)

    def switch(self) -> None:
        if not self.stack and self.ready:
            self.stack.append(self.ready.popleft())
            self.quiescent()
            self.step()

    def quiescent(self) -> None:
        for call in self.on_quiescent:
            call(self.path)

    def deliverable(self) -> int | None:
        if self.stack and (self.stack[-1].irq or self.stack[-1].handler):
            return None
        for vector in [*self.pending, *self.levels]:
            if vector in self.handlers and vector not in self.masked:
                if vector in self.pending:
                    self.pending.remove(vector)
                return vector
        return None

    def interrupt(self) -> None:
        """Take an interrupt now if the CPU is idle or spins; otherwise `step` does between operations."""
        if self.stack and self.spinning is None:
            return
        vector = self.deliverable()
        if vector is not None:
            spinning, self.spinning = self.spinning, None
            self.enter(vector)
            if spinning is not None:
                self.stack[-1].cancel = spinning

    def enter(self, vector: int) -> None:
        self.stack.append(Thread(f"{self.path}.irq{vector}", self.handlers[vector](), handler=True))
        self.stack[-1].since = self.sim.now
        self.step()

    def spend(self, thread: Thread, part: str) -> None:
        thread.parts[part] += self.sim.now - thread.since
        thread.since = self.sim.now

    def step(self) -> None:
        vector = self.deliverable()
        if vector is not None:
            self.enter(vector)
            return
        thread = self.stack[-1]
        while True:
            try:
                op = thread.body.send(thread.answer)
            except StopIteration:
                self.stack.pop()
                resume, thread.cancel = thread.cancel, lambda: None
                if thread.handler and self.stack:
                    resume()
                    if self.spinning is None:
                        self.step()
                else:
                    self.quiescent()
                    self.later(0, self.switch)
                    self.later(0, self.interrupt)
                return
            self.machine.operations[type(op).__name__] += 1
            thread.answer = None
            if isinstance(op, ops.Now):
                thread.answer = ops.Instant(self.sim.now, dict(thread.parts))
            elif isinstance(op, ops.Self):
                thread.answer = ops.ThreadView(thread.name, self.path)
            else:
                break
        if isinstance(op, ops.Sleep):
            self.leave(thread)
            self.later(op.duration_ps, lambda: self.back(thread, None, op.part))
        elif isinstance(op, ops.Park):
            self.park(thread, op)
        else:
            took = op.duration_ps if isinstance(op, ops.Work) else STEP
            self.later(took, lambda: self.done(thread, op))

    def done(self, thread: Thread, op: ops.Op[Any]) -> None:
        thread.answer = self.perform(thread, op)
        self.spend(thread, op.part)
        self.step()

    def leave(self, thread: Thread) -> None:
        self.stack.pop()
        self.quiescent()
        self.later(0, self.switch)
        self.later(0, self.interrupt)

    def back(self, thread: Thread, answer: Any, part: str) -> None:
        thread.answer = answer
        self.spend(thread, part)
        self.wake(thread)

    def park(self, thread: Thread, op: ops.Park) -> None:
        memory, begun, ended = self.machine.memory, self.sim.now, [False]

        def changed() -> None:
            if not ended[0] and (memory.read(op.address, op.size) ^ op.seen) & op.mask & MASK:
                polls = -(-(self.sim.now + 1 - begun) // op.poll_ps)
                ended[0] = True
                self.later(begun + polls * op.poll_ps - self.sim.now, lambda: finish(True))

        def timed_out() -> None:
            if not ended[0]:
                ended[0] = True
                finish(False)

        def finish(answer: bool) -> None:
            stop()
            if not op.spin:
                self.back(thread, answer, op.part)
                return
            thread.answer = answer
            if self.stack[-1] is thread:
                self.spinning = None
                self.spend(thread, op.part)
                self.step()
            else:
                resumed[0] = True

        resumed = [False]

        def go_on() -> None:
            """An interrupt that came into the spin is over."""
            if resumed[0]:
                self.spend(thread, op.part)
            else:
                self.spinning = go_on

        stop = memory.watch(op.address, changed)
        if op.timeout_ps is not None:
            self.later(op.timeout_ps, timed_out)
        if op.spin:
            self.spinning = go_on
        else:
            self.leave(thread)
        changed()
        if op.spin:
            self.later(0, self.interrupt)

    def perform(self, thread: Thread, op: ops.Op[Any]) -> Any:
        memory = self.machine.memory
        match op:
            case ops.Load():
                memory.judge(thread.name, op.address, op.size, write=False)
                return Loaded(memory.read(op.address, op.size), self.sim.now)
            case ops.Store():
                memory.judge(thread.name, op.address, op.size, write=True)
                memory.write(op.address, op.size, op.value & (1 << 8 * op.size) - 1)
            case ops.StoreBlock():
                for index, word in enumerate(op.words):
                    memory.write(op.address + 8 * index, 8, word)
            case ops.Atomic():
                memory.judge(thread.name, op.address, op.size, write=True)
                old = memory.read(op.address, op.size)
                if op.kind is not ops.Amo.CAS:
                    memory.write(op.address, op.size, AMO[op.kind](old, op.value) & (1 << 8 * op.size) - 1)
                elif old == op.expect:
                    memory.write(op.address, op.size, op.value)
                return Loaded(old, self.sim.now)
            case ops.IrqDisable():
                thread.irq += 1
            case ops.IrqEnable():
                thread.irq -= 1
            case ops.PreemptDisable():
                thread.preempt += 1
            case ops.PreemptEnable():
                thread.preempt -= 1
            case ops.Spawn():
                return self.machine.cpus[op.cpu or self.path].start(op.name, op.body, priority=op.priority)
            case ops.OnInterrupt():
                if op.handler is None:
                    self.handlers.pop(op.vector, None)
                else:
                    self.handlers[op.vector] = op.handler
            case ops.MaskInterrupt():
                (self.masked.add if op.masked else self.masked.discard)(op.vector)
            case ops.MmioRead():
                return self.machine.registers.get(op.address, 0)
            case ops.MmioWrite():
                self.machine.registers[op.address] = op.value
            case ops.Work() | ops.Fence() | ops.Membarrier():
                pass
            case _:
                raise TypeError(f"{op!r} is not known here")
        return None


class Machine:
    """Memory, CPUs and a kernel; `run` runs a coroutine on cpu0 until nothing happens any more.

    With `model` the CPUs are the real ones, with that memory model.
    """

    def __init__(
        self,
        cpus: int = 2,
        options: KernelOptions | None = None,
        *,
        size: int = 16 * MIB,
        nodes: int = 1,
        cpu_nodes: Mapping[str, int] | None = None,
        model: str = "",
        preempt: str = "full",
        sim: Sim | None = None,
    ) -> None:
        self.sim = sim or Sim()
        self.memory = Memory(self.sim, "dram0", MemoryOptions(kind="memory", base=BASE, size=f"{size} B"))
        self.operations: Counter[str] = Counter()
        self.registers: dict[int, int] = {}
        paths = [f"cpu{index}" for index in range(cpus)]
        self.cpus: dict[str, Any] = {}
        if model:
            bus, chosen = Bus(self.sim), CpuOptions(kind="cpu", memory_model=model, preempt=preempt)
            bus.attach(BASE, size, self.memory, "dram0")
            for path in paths:
                Cpu(self.sim, path, chosen, bus, self.cpus)
        else:
            self.cpus = {path: SmallCpu(self, path) for path in paths}
        self.log: list[str] = []
        self.touched: list[FreedTouched] = []
        self.sim.probe(KernelLog).watch(lambda event: self.log.append(f"{event.level}: {event.text}"))
        self.sim.probe(FreedTouched).watch(self.touched.append)
        regions = [Region(BASE + node * size // nodes, size // nodes, node) for node in range(nodes)]
        self.kernel = Kernel(self.sim, self.cpus, regions, self.memory, options, nodes=cpu_nodes)

    def start(self, body: ops.Body, cpu: str = "cpu0", name: str = "t") -> None:
        self.kernel.start(cpu, name, body)

    def go(self, until: int | None = None) -> None:
        self.sim.env.run(until=until)

    def run(self, body: ops.Body) -> Any:
        """The result of `body`, run alone."""
        results: list[Any] = []

        async def keep() -> None:
            results.append(await body)

        self.start(keep(), name="main")
        self.go()
        assert results, f"it did not come to its end: {self.log}"
        return results[0]
