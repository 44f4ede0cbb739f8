"""What shares a hart among threads and interrupt handlers: who runs, until when, and who comes next."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence

from cosim.events import FellAsleep, Switched, ThreadEnded, ThreadSpent
from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.interrupt_controller import InterruptController
from cosim.hw.cpu.interruption import Interruption
from cosim.hw.cpu.lines import Lines
from cosim.hw.cpu.options import CpuOptions
from cosim.hw.cpu.ordering import Rules
from cosim.hw.cpu.pending_writes import STORE
from cosim.hw.cpu.thread import Thread, ThreadState
from cosim.hw.cpu.timed_hart import TimedHart
from cosim.sim.cpu_steps import BLOCKED, IDLE, LEAVE, STALLED, Delay, Leave, Steps, Wait
from cosim.sim.footprints import running
from cosim.sim.operations import Body, Instant, MaskInterrupt, OnInterrupt, Oops, Op, ThreadView
from cosim.sim.simulation import Sim


class Scheduler(TimedHart):
    """A hart with its run queue. Threads of higher priority go first, those of equal priority take turns.

    Interrupts are taken between operations, and while a thread computes, spins or polls. The handler runs on the
    thread that it interrupts, with interrupts masked. `on_quiescent` is called, with the path, whenever the CPU
    changes threads or goes idle. `peers` maps paths to all CPUs of the machine; every one adds itself.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: CpuOptions,
        bus: Bus,
        peers: MutableMapping[str, Scheduler] | None = None,
        *,
        rules: Rules | None = None,
        lines: Lines | None = None,
    ) -> None:
        super().__init__(sim, path, options, bus, rules, lines)
        self.peers = {} if peers is None else peers
        self.peers[path] = self
        self.interrupts = InterruptController()
        self.on_quiescent: list[Callable[[str], None]] = []
        self.awaited: list[Callable[[Thread, Op[object]], None]] = []
        """Called with each operation that takes time, of any thread or handler, before it is carried out."""
        self.spent = sim.probe(ThreadSpent)
        self.switched = sim.probe(Switched)
        self.thread_ended = sim.probe(ThreadEnded)
        self.fell_asleep = sim.probe(FellAsleep)
        self.threads: list[Thread] = []
        self.switches = 0
        self._ran_ps = 0
        self._on_since: int | None = None
        self._ready: list[Thread] = []
        self._current: Thread | None = None
        self._slice_end = 0
        self._free_at = 0
        self._interruption = Interruption(sim, path, self.interrupts, self.poke)
        self._handler: Thread | None = None
        self.begin(self._run())

    def life(self, thread: Thread) -> Steps[None]:
        """What a thread does from its first operation to its end."""
        raise NotImplementedError

    # --- From outside ------------------------------------------------------------------------------------------------

    def start(self, name: str, body: Body, *, priority: int = 0) -> ThreadView:
        """Start a thread called ``<cpu>.<name>`` that runs `body`."""
        now = self.sim.now
        thread = Thread(f"{self.path}.{name}", self.path, body, now, priority=priority, told=self.spent)
        thread.life = self.life(thread)
        self.threads.append(thread)
        self._tell_ready(thread)
        self._enqueue(thread)
        return thread.view

    def wire(self, vector: int, level: bool) -> None:
        """The wire of interrupt `vector` has gone high or low."""
        self.interrupts.wire(vector, level)
        if self.sim.exploring:
            self._interruption.changed(f"{self.path}.wire", f"{self.path}.wire", vector)
        self.poke()

    def message(self, vector: int) -> None:
        """A message for interrupt `vector` has come in."""
        self.interrupts.message(vector)
        if self.sim.exploring:
            self._interruption.changed(f"{self.path}.message", f"{self.path}.message", vector)
        self.poke()

    def connect(self, thread: Thread, op: OnInterrupt) -> None:
        """`thread` connects an interrupt."""
        self.interrupts.connect(op.vector, op.handler, op.touches)
        if self.sim.exploring:
            self._interruption.changed(f"{thread.name}.mask", thread.name, op.vector)

    def mask(self, thread: Thread, op: MaskInterrupt) -> None:
        """`thread` masks or unmasks an interrupt."""
        self.interrupts.mask(op.vector, op.masked)
        if self.sim.exploring:
            self._interruption.changed(f"{thread.name}.mask", thread.name, op.vector)

    def disconnect(self, vector: int) -> None:
        """Interrupt `vector` is as before anybody connected it: unmasked, and kept until somebody does."""
        self.interrupts.connect(vector, None)
        self.interrupts.mask(vector, False)

    @property
    def running(self) -> str:
        """The thread on the CPU, or the one that an interrupt keeps from running; empty when idle."""
        return "" if self._current is None else self._current.name

    @property
    def busy_ps(self) -> int:
        """How long threads have had the CPU, up to now."""
        return self._ran_ps + (0 if self._on_since is None else self.sim.now - self._on_since)

    def stored(self) -> dict[int, int]:
        """The words that it has stored and that have yet to take hold, by their addresses."""
        pending = [entry for entry in self.hart.writes.pending if entry.kind == STORE and not entry.size % 8]
        return {entry.address + 8 * n: word for entry in pending for n, word in enumerate(entry.words)}

    def clocks(self) -> dict[str, Instant]:
        """The clock of each thread, and of the interrupt handler that runs, by its name, at this moment."""
        return {thread.name: thread.clock_at(self.sim.now) for thread in self.all_threads}

    @property
    def all_threads(self) -> list[Thread]:
        """Its threads, and the interrupt handler that runs."""
        return [*self.threads, *([] if self._handler is None else [self._handler])]

    # --- While a thread runs -----------------------------------------------------------------------------------------

    def pause(self, thread: Thread, until: int, part: str) -> Steps[None]:
        """Keep the CPU until `until`; what interrupts and other threads take of it is appended. Counts for `part`."""
        sim = self.sim
        while True:
            if until > sim.now:
                yield Wait(self.slice_limit(thread, until), opened=not thread.handler)
            thread.spend(part, sim.now)
            left = until - sim.now
            if left <= 0:
                return
            yield from self.boundary(thread)
            until = sim.now + left

    def slice_limit(self, thread: Thread, until: int | None) -> int | None:
        """How far a thread may run towards `until` before it has to look whether others wait for the CPU."""
        if not self._ready or not self._rivalled(thread):
            return until
        limit = max(self._slice_end, self.sim.now + 1)
        return limit if until is None else min(until, limit)

    def boundary(self, thread: Thread) -> Steps[None]:
        """A point between two instructions: serve interrupts, and let other threads run, if they are due."""
        while self.interrupts.deliverable is not None and not thread.irq_off and not thread.handler:
            if self._interruption.held:
                break
            yield from self._serve(thread)
        if self._ready and self._rivalled(thread):
            foremost = max(ready.priority for ready in self._ready)
            if foremost > thread.priority or self.sim.now >= self._slice_end:
                yield from self.give_way(thread)

    def blocked(self, thread: Thread, part: str, cores: Sequence[TimedHart]) -> Steps[None]:
        if not (self.sim.exploring and any(core.buffer.holds for core in cores)):
            yield BLOCKED
            thread.spend(part, self.sim.now)
            return
        yield BLOCKED if thread.handler else STALLED
        thread.spend(part, self.sim.now)
        yield from self.boundary(thread)

    def end_slice(self) -> None:
        """Whoever has the CPU gives way to threads of its own priority, too."""
        self._slice_end = self.sim.now
        self.poke()

    def _rivalled(self, thread: Thread) -> bool:
        """Whether a ready thread may take the CPU from `thread`, now or at the end of its slice."""
        return (
            self.options.preempt == "full"
            and not (thread.preempt_off or thread.irq_off or thread.handler)
            and max(ready.priority for ready in self._ready) >= thread.priority
        )

    # --- Threads -----------------------------------------------------------------------------------------------------

    def _run(self) -> Steps[None]:
        """The CPU's process: it runs one thread after the other."""
        while True:
            thread = self._next()
            if thread is None:
                if self._current is not None:
                    self._go_idle()
                if self.interrupts.deliverable is not None and not self._interruption.held:
                    yield from self._serve(None)
                    self._free_at = self.sim.now
                elif not self._ready:
                    yield IDLE
                continue
            if thread is not self._current:
                yield from self._switch(thread)
            thread.spend("preempted", self.sim.now)
            thread.state = ThreadState.RUNNING
            self._slice_end = self.sim.now + self.options.slice
            self._on_since = self.sim.now
            for step in thread.life:
                if isinstance(step, Leave):
                    break
                yield step
            else:
                thread.state = ThreadState.DEAD
                self.threads.remove(thread)
            self._free_at = self.sim.now
            self._ran_ps += self._free_at - self._on_since
            self._on_since = None

    def _next(self) -> Thread | None:
        if not self._ready:
            return None
        thread = max(self._ready, key=lambda ready: ready.priority)  # the first of them
        self._ready.remove(thread)
        return thread

    def _switch(self, thread: Thread) -> Steps[None]:
        """Change to `thread`: a full fence, and a quiescent state."""
        self._current = None
        began = max(self._free_at, thread.woken_at)
        yield Delay(began + self.options.timing.switch - self.sim.now)
        self._current = thread
        self.switches += 1
        self._settle(thread.name)

    def _go_idle(self) -> None:
        self._current = None
        self._settle("")

    def _settle(self, thread: str) -> None:
        now = self.sim.now
        self.refill()
        if self.sim.exploring:
            self.sim.actions.announce(f"{self.path}.switch", self.path, (running(self.path),), True)
        if self.switched:
            self.switched(Switched(now, self.path, thread))
        for call in tuple(self.on_quiescent):
            call(self.path)

    def _enqueue(self, thread: Thread) -> None:
        thread.state = ThreadState.READY
        self._ready.append(thread)
        self.poke()

    def give_way(self, thread: Thread) -> Steps[None]:
        """Go to the end of the run queue."""
        self._enqueue(thread)
        yield LEAVE

    def fall_asleep(self, thread: Thread, part: str) -> Steps[None]:
        """Leave the CPU until `wake`. The time until then counts for `part`."""
        if thread.handler:
            raise Oops(f"{thread.name} sleeps in an interrupt handler")
        if self.fell_asleep:
            masked, kept = thread.irq_off, thread.preempt_off
            why = "with interrupts masked" if masked else "with preemption disabled" if kept else ""
            self.fell_asleep(FellAsleep(self.sim.now, thread.name, why))
        thread.state = ThreadState.ASLEEP
        thread.wake_part = part
        yield LEAVE

    def wake(self, thread: Thread, since: int | None = None) -> None:
        """Let a sleeping thread run again; an idle CPU began to change to it at `since`, if that is given."""
        if thread.state is ThreadState.ASLEEP:
            now = self.sim.now
            thread.woken_at = now if since is None else since
            thread.spend(thread.wake_part, now)
            self._tell_ready(thread)
            if self.waits is not None and self.waits.opened:
                self.proceed(now)
            self._enqueue(thread)

    def _tell_ready(self, thread: Thread) -> None:
        if self.sim.exploring:
            self.sim.actions.announce(f"{thread.name}.wake", thread.name, (running(self.path),), True)

    # --- Interrupts --------------------------------------------------------------------------------------------------

    def _serve(self, thread: Thread | None) -> Steps[None]:
        """Take the deliverable interrupt; what it takes of `thread` counts for ``irq``."""
        if self.sim.exploring and not self._interruption.allowed():
            return
        doing = ""
        if thread is not None:
            doing, thread.doing = thread.doing, "irq"
        yield self.costs.interrupt
        if self.interrupts.deliverable is not None:
            vector, handler = self.interrupts.take()
            self.hart.refill(self.sim.now)
            context = Thread(
                f"{self.path}.irq{vector}", self.path, handler(), self.sim.now, handler=True, told=self.spent
            )
            context.state = ThreadState.RUNNING
            self._handler = context
            yield from self.life(context)
            self._handler = None
        if thread is not None:
            thread.spend("irq", self.sim.now)
            thread.doing = doing
