"""One agenda for all hardware and CPUs of a run: callbacks in (time, rank) order, a SimPy event for each activation."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from cosim.sim.executor import Executor
from cosim.sim.gate import Gate
from cosim.sim.places import place_of
from cosim.sim.plain import action_of
from cosim.sim.server import Server, Service
from cosim.sim.simulation import Sim
from cosim.sim.task import Moment, Task
from cosim.sim.transport import Access

Callback = tuple[int, int, Callable[[Any], object], Any]
"""When, under which rank, what to call, and with what."""


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
    """

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.env = sim.env
        self.activations = 0
        self.events = 0
        """Callbacks so far."""
        self._heap: list[Callback] = []
        self._running = False
        self._parked: tuple[int, int] | None = None
        self._alarm: WakeUp | None = None

    def at(self, time: int, rank: int, call: Callable[[], object]) -> None:
        if time <= self.sim.now:
            raise ValueError(f"at {time} ps: that is not after the present, {self.sim.now} ps")
        self._push((time, rank, _call, call))

    def schedule(self, time: int, rank: int, call: Callable[[Any], object], argument: object) -> None:
        heappush(self._heap, (time, rank, call, argument))
        if not self._running:
            self._park()

    def start(self, task: Task, time: int) -> None:
        self._push((time, task.rank, self._advance, task))

    def resume(self, task: Task) -> None:
        self._push((self.sim.now + 1, task.rank, self._pass, task))

    # --- When --------------------------------------------------------------------------------------------------------

    def _push(self, entry: Callback) -> None:
        heappush(self._heap, entry)
        if not self._running:
            self._park()

    def _park(self) -> None:
        """Make sure that a SimPy event wakes the agenda in time for its first entry."""
        time, rank, _, _ = self._heap[0]
        if self._parked is None or (time, rank) < self._parked:
            self._parked = (time, rank)
            self._alarm = alarm = WakeUp(self.env)
            alarm.callbacks.append(self._activate)
            self.env.schedule(alarm, rank, time - self.sim.now)  # type: ignore[arg-type]

    def _activate(self, alarm: Any) -> None:
        if alarm is not self._alarm:
            return  # an earlier alarm has taken its place
        sim, heap, queue, events = self.sim, self._heap, self.env._queue, 0
        self.activations += 1
        self._parked = None
        self._running = True
        try:
            while heap:
                time, rank, call, argument = heap[0]
                if queue and time >= queue[0][0]:
                    horizon = queue[0]
                    if time > horizon[0] or rank > horizon[1]:
                        if type(horizon[3]) is not WakeUp:
                            break
                        heappop(queue)  # a superseded alarm is no reason to stop
                        continue
                heappop(heap)
                sim.now = time
                events += 1
                call(argument)
        finally:
            self._running = False
            self.events += events
        if heap:
            self._park()

    # --- What: one step of a routine each -----------------------------------------------------------------------------

    def _advance(self, task: Task) -> None:
        """Resume the routine, and begin the operation that it yields next."""
        now = self.sim.now
        op: Any  # told apart by `kind` alone: to have the type checker follow (`type(op) is`) costs 1.5 % of a hit
        for op in task.routine:
            kind = type(op)
            if kind is Access:
                task.access = op
                task.target, out_ps, task.back_ps = op.port.route(op.address, op.size)
                if out_ps:
                    parts, part = task.parts, op.hop_part
                    parts[part] = parts.get(part, 0) + out_ps
                    heappush(self._heap, (now + out_ps, task.rank, self._arrive, task))
                else:
                    self._arrive(task)
                return
            if kind is Server:
                server, out = op, op.admit(now)
                wait = out - op.latency_ps - now
            elif kind is Service:
                server = op.server
                out = server.admit(now, op.interval_ps, op.latency_ps)
                wait = out - op.latency_ps - now
            elif kind is Gate:
                if op.take():
                    continue
                op.waiting.append(task)
                task.part = op.part
                task.since = now
                return
            else:
                raise TypeError(f"a hardware routine yielded {op!r}; it may yield Access, Server, Service, Gate")
            parts = task.parts
            if wait > 0:
                part = server.wait_part
                parts[part] = parts.get(part, 0) + wait
            if out <= now:
                out = now + 1
            part = server.part
            parts[part] = parts.get(part, 0) + out - now - wait
            heappush(self._heap, (out, task.rank, self._advance, task))
            return

    def _pass(self, task: Task) -> None:
        """The gate has let it through."""
        now = self.sim.now
        parts, part = task.parts, task.part
        parts[part] = parts.get(part, 0) + now - task.since
        self._advance(task)

    def _arrive(self, task: Task) -> None:
        """The access is at its target."""
        now = self.sim.now
        task.since = now
        done = task.target.arrive(task.access, now)
        heappush(self._heap, (done if done > now else now + 1, task.rank, self._commit, task))

    def _commit(self, task: Task, *, allowed: bool = False) -> None:
        """The access takes hold, unless it is held."""
        if self.sim.exploring and not allowed:
            self._explore(task)
            return
        access = task.access
        task.target.commit(access)
        if access.on_commit is not None:
            access.on_commit(access)
        now = self.sim.now
        parts, part, waited = task.parts, access.part, access.waited_ps
        if waited:
            task.spend(access.wait_part, waited)
        parts[part] = parts.get(part, 0) + now - task.since - waited
        if task.back_ps:
            part = access.hop_part
            parts[part] = parts.get(part, 0) + task.back_ps
            heappush(self._heap, (now + task.back_ps, task.rank, self._advance, task))
        else:
            self._advance(task)

    def _explore(self, task: Task) -> None:
        """Ask whether the access may take hold, and once more whenever it has been held."""
        sim = self.sim

        def ask(_: object = None) -> None:
            if sim.actions.attempt(action):
                self._commit(task, allowed=True)

        def again() -> None:
            self._push((sim.now + 1, task.rank, ask, None))

        action = action_of(task.access, task.target, again, place_of(task.routine))
        ask()


def _call(call: Callable[[], object]) -> None:
    call()
