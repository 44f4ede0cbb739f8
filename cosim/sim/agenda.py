"""One agenda for all hardware and CPUs of a run: callbacks in (time, rank) order, a SimPy event for each activation."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush, heappushpop
from typing import Any

from mypy_extensions import i64

from cosim.sim.executor import Executor, called
from cosim.sim.gate import Gate
from cosim.sim.heap import ADVANCE, ARRIVE, BITS, CALL, COMMIT, COMPILED, PASS, Call, Heap
from cosim.sim.places import place_of
from cosim.sim.plain import action_of
from cosim.sim.server import Server, Service
from cosim.sim.simulation import Sim
from cosim.sim.task import Moment, Task
from cosim.sim.transport import Access

Due = tuple[int, int, Callable[[Any], int | None], Any]
"""What is due, interpreted: when, under which rank, what to call, and with what; it says when what follows is due."""


class WakeUp(Moment):
    """What wakes the agenda; superseded once an earlier one has been set."""


class Agenda(Executor):
    """Runs ahead of SimPy's clock as far as SimPy's next event, whose time and rank are the *horizon*.

    ```
    agenda     a1   a2   a3   |  a4           a3 < horizon: done in this activation
    SimPy                     s1              s1 first, then one more activation for a4
    ```

    A callback that schedules into SimPy lowers the horizon at once, since the horizon is read again before each
    callback. Nothing runs ahead inside a caller's callback: only an activation takes from the heap. SimPy's clock is
    taken along, since nothing in SimPy's queue is earlier.

    What is due is kept in a heap of tuples or, as `own_heap` says, in one of entries: they are told apart where
    something enters, and where something is taken out. A step of a task says when the next is due, and its `kind` what
    that is; 0 is not yet, or never.
    """

    def __init__(self, sim: Sim, *, own_heap: bool = COMPILED) -> None:
        self.sim = sim
        self.env = sim.env
        self.activations = 0
        self.events = 0
        """Callbacks so far."""
        self._heap: list[Due] = []
        self._own = Heap() if own_heap else None
        self._steps: list[Callable[[Any], int | None]] = [
            called,
            self._advance,
            self._pass,
            self._arrive,
            self._commit,
        ]
        """By kind."""
        self._running = False
        self._parked: tuple[int, int] | None = None
        self._alarm: WakeUp | None = None

    def at(self, time: int, rank: int, call: Callable[[], object]) -> None:
        if time <= self.sim.now:
            raise ValueError(f"at {time} ps: that is not after the present, {self.sim.now} ps")
        self.schedule(time, rank, called, call)

    def schedule(self, time: int, rank: int, call: Callable[[Any], None], argument: object) -> None:
        if self._own is not None:
            self._own.push(Call(time, rank, call, argument))
        else:
            heappush(self._heap, (time, rank, call, argument))
        if not self._running:
            self._park()

    def start(self, task: Task, time: int) -> None:
        self._enter(task, time)

    def resume(self, task: Task) -> None:
        task.kind = PASS
        self._enter(task, self.sim.now + 1)

    # --- When --------------------------------------------------------------------------------------------------------

    def _enter(self, task: Task, time: int) -> None:
        """Its next step is due at `time`."""
        if self._own is not None:
            task.time = time
            self._own.push(task)
        else:
            heappush(self._heap, (time, task.rank, self._steps[task.kind], task))
        if not self._running:
            self._park()

    def _park(self) -> None:
        """Make sure that a SimPy event wakes the agenda in time for what is due first."""
        if self._own is not None:
            first = self._own.first
            assert first is not None
            time, rank = int(first.time), int(first.rank)
        else:
            time, rank, _, _ = self._heap[0]
        if self._parked is None or (time, rank) < self._parked:
            self._parked = (time, rank)
            self._alarm = alarm = WakeUp(self.env)
            alarm.callbacks.append(self._activate)
            self.env.schedule(alarm, rank, time - self.sim.now)  # type: ignore[arg-type]

    def _activate(self, alarm: Any) -> None:
        if alarm is not self._alarm:
            return  # an earlier alarm has taken its place
        self.activations += 1
        self._parked = None
        self._running = True
        try:
            if self._own is not None:
                self._run_own(self._own)
            else:
                self._run()
        finally:
            self._running = False
        if self.sim.now >> BITS:
            raise OverflowError(f"the time is {self.sim.now} ps, and a run ends before 2**{BITS} ps, which are 53 days")
        if self._own.first is not None if self._own is not None else self._heap:
            self._park()

    def _run(self) -> None:
        """Let happen what is due before the horizon: a heap of tuples."""
        sim, heap, steps, queue, events = self.sim, self._heap, self._steps, self.env._queue, 0
        entry = heappop(heap)
        try:
            while True:
                time, rank, step, argument = entry
                if queue and time >= queue[0][0]:
                    horizon = queue[0]
                    if time > horizon[0] or rank > horizon[1]:
                        if type(horizon[3]) is not WakeUp:
                            heappush(heap, entry)
                            break
                        heappop(queue)  # a superseded alarm is no reason to stop
                        continue
                sim.now = time
                events += 1
                if later := step(argument):
                    entry = heappushpop(heap, (later, rank, steps[argument.kind], argument))
                elif heap:
                    entry = heappop(heap)
                else:
                    break
        finally:
            self.events += events

    def _run_own(self, heap: Heap) -> None:
        """The same of a heap of entries, whose kinds are told apart here."""
        sim, queue = self.sim, self.env._queue
        horizon: Any = None
        due: i64 = 0
        due_rank: i64 = 0
        while (first := heap.first) is not None:
            if queue:
                if queue[0] is not horizon:
                    horizon = queue[0]
                    due, due_rank = horizon[0], horizon[1]
                if first.time > due or (first.time == due and first.rank > due_rank):
                    if type(horizon[3]) is not WakeUp:
                        return
                    heappop(queue)
                    continue
            entry = heap.pop()
            sim.now = entry.time
            self.events += 1
            kind = entry.kind
            if kind == CALL:
                assert isinstance(entry, Call)
                entry.call(entry.argument)
                continue
            assert isinstance(entry, Task)
            if kind == ADVANCE:
                later = self._advance(entry)
            elif kind == ARRIVE:
                later = self._arrive(entry)
            elif kind == COMMIT:
                later = self._commit(entry)
            else:
                later = self._pass(entry)
            if later:
                entry.time = later
                heap.push(entry)

    # --- What: one step of a routine each, which returns when the next is due -----------------------------------------

    def _advance(self, task: Task) -> int:
        """Resume the routine, and begin the operation that it yields next."""
        now = self.sim.now
        op: Any  # told apart by `kind` alone: to have the type checker follow (`type(op) is`) costs 1.5 % of a hit
        for op in task.routine:
            kind = type(op)
            if kind is Access:
                access: Access = op
                task.access = access
                way = access.port.route(access.address, access.size)
                task.target, task.back_ps, out_ps = way.target, way.back_ps, way.out_ps
                if out_ps:
                    spent, part = task.spent, access.counts.hop
                    spent[part] = spent[part] + out_ps  # as `+=` it would be compiled to calls of Python's
                    if task.told is not None:
                        task.told.tell(part, out_ps)
                    task.kind = ARRIVE
                    return now + out_ps
                return self._arrive(task)
            if kind is Server:
                server: Server = op
                interval_ps, latency_ps = server.interval_ps, server.latency_ps
            elif kind is Service:
                service: Service = op
                server = service.server
                interval_ps, latency_ps = service.interval_ps, service.latency_ps
            elif kind is Gate:
                gate: Gate = op
                if gate.take():
                    continue
                gate.waiting.append(task)
                task.part = gate.part
                task.since = now
                return 0
            else:
                raise TypeError(f"a hardware routine yielded {op!r}; it may yield Access, Server, Service, Gate")
            if interval_ps or server.free_at > now:
                out = server.serve(now, interval_ps, latency_ps)
                wait = out - latency_ps - now
                if wait > 0:
                    task.spend(server.wait_part, wait)
            else:  # a pure delay, and nobody is in the way: the same without a call
                out, wait = now + latency_ps, 0
            if out <= now:
                out = now + 1
            spent, part = task.spent, server.part
            spent[part] = spent[part] + out - now - wait
            if task.told is not None:
                task.told.tell(part, out - now - wait)
            task.kind = ADVANCE
            return out
        return 0

    def _pass(self, task: Task) -> int:
        """The gate has let it through."""
        task.spend(task.part, self.sim.now - task.since)
        return self._advance(task)

    def _arrive(self, task: Task) -> int:
        """The access is at its target."""
        now = self.sim.now
        task.since = now
        done = task.target.arrive(task.access, now)
        task.kind = COMMIT
        return done if done > now else now + 1

    def _commit(self, task: Task, *, allowed: bool = False) -> int:
        """The access takes hold, unless it is held."""
        if self.sim.exploring and not allowed:
            self._explore(task)
            return 0
        access = task.access
        task.target.commit(access)
        if access.on_commit is not None:
            access.on_commit(access)
        now = self.sim.now
        spent, told, counts, waited = task.spent, task.told, access.counts, access.waited_ps
        if waited:
            task.spend(counts.wait, waited)
        spent[counts.part] = spent[counts.part] + now - task.since - waited
        if told is not None:
            told.tell(counts.part, now - task.since - waited)
        if task.back_ps:
            spent[counts.hop] = spent[counts.hop] + task.back_ps
            if told is not None:
                told.tell(counts.hop, task.back_ps)
            task.kind = ADVANCE
            return now + task.back_ps
        return self._advance(task)

    def _explore(self, task: Task) -> None:
        """Ask whether the access may take hold, and once more whenever it has been held."""
        sim = self.sim

        def ask(_: object = None) -> None:
            if sim.actions.attempt(action) and (later := self._commit(task, allowed=True)):
                self._enter(task, later)

        def again() -> None:
            self.schedule(sim.now + 1, task.rank, ask, None)

        action = action_of(task.access, task.target, again, place_of(task.routine))
        ask()
