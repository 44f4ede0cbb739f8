"""One agenda for all hardware of a run: callbacks in (time, rank) order, one SimPy event for each activation."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from cosim.sim.kernel import Executor, Moment, Sim, Task, action_of
from cosim.sim.server import Gate, Server, Service
from cosim.sim.transport import Access


class Alarm(Moment):
    """What wakes the agenda; superseded once an earlier one has been set."""


class Agenda(Executor):
    """Runs ahead of SimPy's clock as far as SimPy's next event, whose time and rank are the *horizon*.

    ```
    agenda     a1   a2   a3   |  a4           a3 < horizon: done in this activation
    SimPy                     s1              s1 first, then one more activation for a4
    ```

    A callback that schedules into SimPy lowers the horizon at once, since the horizon is read again before each
    callback. Nothing runs ahead inside a caller's callback: only an activation takes from the heap.
    """

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.env = sim.env
        self.activations = 0
        self._heap: list[tuple[int, int, Callable[..., object]]] = []
        self._running = False
        self._time = 0
        self._parked: tuple[int, int] | None = None
        self._alarm: Alarm | None = None

    @property
    def now(self) -> int:  # type: ignore[override]
        return max(self._time, int(self.env.now))  # ahead of SimPy, too, where SimPy has nothing left to do

    def at(self, time: int, rank: int, call: Callable[[], object]) -> None:
        if time <= self.now:
            raise ValueError(f"at {time} ps: that is not after the present, {self.now} ps")
        heappush(self._heap, (time, rank, call))
        if not self._running:
            self._park()

    def start(self, task: Task, time: int) -> None:
        self.at(time, task.rank, lambda: self._advance(task, None))

    def resume(self, task: Task, time: int) -> None:
        self.at(time, task.rank, task.phase)

    def _park(self) -> None:
        """Make sure that a SimPy event wakes the agenda in time for its first entry."""
        time, rank, _ = self._heap[0]
        if self._parked is None or (time, rank) < self._parked:
            self._parked = (time, rank)
            self._alarm = moment = Alarm(self.env)
            moment.callbacks.append(self._activate)
            self.env.schedule(moment, rank, time - self.env.now)  # type: ignore[arg-type]

    def _activate(self, alarm: Any) -> None:
        if alarm is not self._alarm:
            return  # an earlier alarm has taken its place
        heap, queue = self._heap, self.env._queue
        self.activations += 1
        self._parked = None
        self._running = True
        try:
            while heap:
                time, rank, call = heap[0]
                if queue:
                    horizon = queue[0]
                    if time > horizon[0] or (time == horizon[0] and rank > horizon[1]):
                        if type(horizon[3]) is not Alarm:
                            break
                        heappop(queue)  # a superseded alarm is no reason to stop
                        continue
                heappop(heap)
                self._time = time
                call()
        finally:
            self._running = False
        if heap:
            self._park()

    def _advance(self, task: Task, answer: Any) -> None:
        """Resume the routine with `answer`, and begin the operation that it yields next."""
        while True:
            try:
                op = task.routine.send(answer)
            except StopIteration:
                return
            now = self._time
            kind = type(op)
            if kind is Access:
                _Passage(self, task, op).leave()
                return
            if kind is Server or kind is Service:
                if kind is Server:
                    server, latency, out = op, op.latency_ps, op.admit(now)
                else:
                    server, latency = op.server, op.latency_ps
                    out = server.admit(now, op.interval_ps, latency)
                begun = out - latency
                out = max(out, now + 1)
                if begun > now:
                    task.spend(server.wait_part, begun - now)
                task.spend(server.part, out - max(begun, now))
                heappush(self._heap, (out, task.rank, lambda: self._advance(task, None)))
                return
            if kind is not Gate:
                raise TypeError(f"a hardware routine yielded {op!r}; it may yield Access, Server, Service, Gate")
            if not op.take():
                op.waiting.append(task)
                task.since = now
                task.waiting_for = op
                task.phase = lambda: self._pass(task)
                return
            answer = None

    def _pass(self, task: Task) -> None:
        task.spend(task.waiting_for.part, self._time - task.since)
        self._advance(task, None)


class _Passage:
    """An access on its way: it leaves, arrives, takes hold and returns."""

    __slots__ = ("access", "agenda", "arrived", "back_ps", "target", "task")

    def __init__(self, agenda: Agenda, task: Task, access: Access) -> None:
        self.agenda = agenda
        self.task = task
        self.access = access

    def leave(self) -> None:
        self.target, out_ps, self.back_ps = self.access.port.route(self.access.address, self.access.size)
        if out_ps:
            self.task.spend(self.access.hop_part, out_ps)
            heappush(self.agenda._heap, (self.agenda._time + out_ps, self.task.rank, self.arrive))
        else:
            self.arrive()

    def arrive(self) -> None:
        now = self.arrived = self.agenda._time
        done = max(self.target.arrive(self.access, now), now + 1)
        heappush(self.agenda._heap, (done, self.task.rank, self.commit))

    def commit(self) -> None:
        agenda, access, task = self.agenda, self.access, self.task
        if agenda.sim.exploring and not agenda.sim.actions.attempt(
            action_of(access, lambda: agenda.at(agenda.now + 1, task.rank, self.commit))
        ):
            return
        self.target.commit(access)
        if access.on_commit is not None:
            access.on_commit(access)
        if access.waited_ps:
            task.spend(access.wait_part, access.waited_ps)
        task.spend(access.part, agenda._time - self.arrived - access.waited_ps)
        if self.back_ps:
            task.spend(access.hop_part, self.back_ps)
            heappush(agenda._heap, (agenda._time + self.back_ps, task.rank, self.come_back))
        else:
            agenda._advance(task, access)

    def come_back(self) -> None:
        self.agenda._advance(self.task, self.access)
