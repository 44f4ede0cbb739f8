"""A hart in time: when its accesses take hold, and how long they wait for those before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cosim.events import OrderMade, StoreIssued
from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.costs import Costs
from cosim.hw.cpu.hart import EXECUTE, Hart
from cosim.hw.cpu.lines import Lines, remote_ps
from cosim.hw.cpu.options import CpuOptions
from cosim.hw.cpu.ordering import MODELS, Rules
from cosim.hw.cpu.pending_writes import STORE, PendingWrite
from cosim.hw.cpu.sequencer import Sequencer
from cosim.hw.cpu.store_buffer import StoreBuffer
from cosim.hw.cpu.thread import Thread
from cosim.hw.memory.memory import Memory
from cosim.sim.cpu_steps import BLOCKED, STALLED, Delay, Steps
from cosim.sim.footprints import Footprint, words
from cosim.sim.operations import Atomic, Fence, Load, Oops, Op, Park, Store
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim

FULL_FENCE = Fence("rw", "rw")
_REMEMBERED = 8192


class TimedHart(Sequencer):
    """A hart with its store buffer and its way to memory and registers.

    All waits for the hart's order are here; what may take hold, and what a load returns, is the affair of `hart`.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: CpuOptions,
        bus: Bus,
        rules: Rules | None = None,
        lines: Lines | None = None,
    ) -> None:
        """`rules` are those of the memory model in `options`, unless others are given; `lines` those of all harts."""
        super().__init__(sim, path)
        self.options = options
        self.costs = Costs(options.timing)
        self.bus = bus
        self.port = bus.port(path)
        self.hart = Hart(rules or MODELS[options.memory_model], self.memory, self._device)
        self.move_ps = options.timing.line_move
        self.lines = (lines or Lines()) if self.move_ps or options.timing.line_remote else None
        self.buffer = StoreBuffer(sim, path, options, self.hart, bus, self._drained, self.touched, self.lines)
        self.store_issued = sim.probe(StoreIssued)
        self.order_made = sim.probe(OrderMade)
        self._awaiting: list[TimedHart] = []
        self._forget_above = _REMEMBERED
        self._found: tuple[int, int, Memory | None] = (0, 0, None)
        for attached in bus.ranges():
            self._remember(attached.target)

    def _drained(self) -> None:
        for core in (self, *self._awaiting):
            if core.waits is BLOCKED or core.waits is STALLED:
                core.proceed(self.sim.now)

    def blocked(self, thread: Thread, part: str, cores: Sequence[TimedHart]) -> Steps[None]:
        """Wait until something has left, or has come to be held in, the store buffer of one of `cores`.

        That counts for `part`.
        """
        yield BLOCKED
        thread.spend(part, self.sim.now)

    def stall(self, thread: Thread, op: Op[object], part: str) -> Steps[None]:
        """Wait until the hart's order lets `op` take hold; that counts for `part`.

        For an operation that comes often, ask `hart.writes.blockers` first: there seldom are some.
        """
        while blockers := self.hart.writes.blockers(op):
            yield from self.await_drain(thread, blockers, part)

    def await_drain(self, thread: Thread, entries: Sequence[PendingWrite], part: str) -> Steps[None]:
        """Hurry `entries`, and wait until something has left the store buffer; that counts for `part`."""
        self.buffer.hurry(entries)
        before, thread.doing = thread.doing, part
        yield from self.blocked(thread, part, (self,))
        thread.doing = before

    def fetch_line(self, lines: Lines, op: Load | Atomic | Park) -> Steps[None]:
        """Wait until the line of `op` is here, as a part of it."""
        write = isinstance(op, Atomic)
        remote = remote_ps(self.bus, self.options, op.address)
        if wait := lines.wait(self.path, op.address, self.sim.now, self.move_ps, remote, write=write):
            yield Delay(wait, Stage.MEMORY if write else Stage.CPU)

    def make_room(self, thread: Thread, part: str) -> Steps[None]:
        """Wait until the store buffer takes another entry; its oldest store leaves at once."""
        while self.buffer.full:
            pending = self.hart.writes.pending
            oldest = next((entry for entry in pending if entry.kind == STORE), pending[0])
            yield from self.await_drain(thread, [oldest], part)

    def empty_buffers(self, thread: Thread, cores: Sequence[TimedHart]) -> Steps[None]:
        """Put each of `cores` through a full fence, and wait until the stores before it have taken hold."""
        now = self.sim.now
        awaited: list[tuple[TimedHart, PendingWrite]] = []
        for core in cores:
            core.perform(thread, FULL_FENCE)
            core.hart.refill(now)
            if stores := [entry for entry in core.hart.writes.pending if entry.kind == STORE]:
                core.buffer.hurry(stores)
                core._awaiting.append(self)
                awaited += [(core, entry) for entry in stores]
        while any(entry in core.hart.writes.pending for core, entry in awaited):
            yield from self.blocked(thread, thread.doing, cores)
        for core in {core.path: core for core, _ in awaited}.values():
            core._awaiting.remove(self)

    def perform(self, thread: Thread, op: Op[object]) -> Any:
        """Have the hart execute `op` at this moment; a load under exploration picks among past states."""
        hart, sim = self.hart, self.sim
        now = sim.now
        hart.who = thread.name
        if self.order_made and (type(op) is not Load or op.acquire):
            self._tell(thread, op)
        if len(hart.seen) > self._forget_above:
            hart.forget(now - self.options.history)
            self._forget_above = max(_REMEMBERED, 2 * len(hart.seen))
        pick = self._pick_past if sim.exploring else _newest
        if type(op) is Load:
            return hart.load(op, now, pick)
        return EXECUTE[type(op)](hart, op, now, pick)

    def _tell(self, thread: Thread, op: Op[object]) -> None:
        """Tell of what orders, and of stores that do not."""
        now = self.sim.now
        if isinstance(op, Load):
            self.order_made(OrderMade(now, self.path, int(op.address), True, False))
        elif isinstance(op, Store):
            if op.release:
                self.order_made(OrderMade(now, self.path, int(op.address), False, True))
            elif self.store_issued:
                self.store_issued(StoreIssued(now, thread.name, self.path, int(op.address), op.size, op.place))
        elif isinstance(op, Atomic):
            if op.acquire or op.release:
                self.order_made(OrderMade(now, self.path, int(op.address), op.acquire, op.release))
        elif isinstance(op, Fence):
            self.order_made(OrderMade(now, self.path, 0, True, True))

    def _pick_past(self, n: int) -> int:
        """Which of `n` states the load returns whose action has just been allowed."""
        return self.sim.chooser.pick(n, f"{self.sim.actions.taken}.past")

    def refill(self) -> None:
        """Change threads: a full fence, behind which nothing is loaded that is older than now."""
        self.hart.execute(FULL_FENCE, self.sim.now, _newest)
        self.hart.refill(self.sim.now)

    def _remember(self, target: object) -> None:
        if isinstance(target, Memory) and self.hart.rules.past:
            target.remember(self.options.history)

    def memory(self, address: int, size: int) -> Memory:
        """Who holds `size` bytes at `address`; Oops if that is no memory, or they are not aligned."""
        first, end, memory = self._found
        if address < first or address + size > end or memory is None:
            found = self.bus.find(int(address), size)
            if found is None or not isinstance(found.target, Memory):
                what = "nothing" if found is None else found.name
                raise Oops(f"{self.hart.who} accesses {int(address):#x} as memory, where {what} is")
            self._remember(found.target)
            memory = found.target
            self._found = (found.base, found.end, memory)
        if address & (size if size < 8 else 8) - 1:
            raise Oops(f"{self.hart.who} accesses {size} bytes at {int(address):#x}, which is not aligned")
        return memory

    def touched(self, address: int, size: int) -> Footprint:
        """What an access to registers touches, as an action."""
        target = self.bus.target(address)
        names: Callable[[int, int], Footprint] = getattr(target, "footprint", words)
        return names(address, size)

    def _device(self, address: int) -> object:
        return self.bus.target(address)


def _newest(n: int) -> int:
    return 0
