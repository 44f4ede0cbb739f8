"""An executor that is slow and obviously right: one unsorted list of all that is to come, searched at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simpy.core import EmptySchedule
from simpy.events import Event

from cosim.sim.environment import Environment
from cosim.sim.executor import Executor
from cosim.sim.gate import Gate
from cosim.sim.plain import action_of
from cosim.sim.server import Service
from cosim.sim.simulation import Sim
from cosim.sim.task import Moment, Task
from cosim.sim.transport import Access


class ListEnvironment(Environment):
    """SimPy without its heap: the next event is looked for among all."""

    def __init__(self, sim: Sim) -> None:
        super().__init__(sim)
        self.to_come: list[tuple[int, int, int, Event]] = []
        self.scheduled = 0

    def schedule(self, event: Event, priority: Any = 1, delay: Any = 0) -> None:
        self.scheduled += 1
        self.to_come.append((int(self.now + delay), priority, self.scheduled, event))

    def step(self) -> None:
        if not self.to_come:
            raise EmptySchedule
        found = min(self.to_come, key=lambda entry: entry[:3])
        self.to_come.remove(found)
        self._now = found[0]
        event = found[3]
        callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
        for callback in callbacks:
            callback(event)
        if not event._ok and not event._defused:
            raise event._value


class Naive(Executor):
    """Every step of every routine is a callback of its own, spelled out for each operation."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        sim.env = self.env = ListEnvironment(sim)
        self.behind_the_gate: dict[Task, Callable[[], None]] = {}

    @property
    def now(self) -> int:
        return int(self.env.now)

    def at(self, time: int, rank: int, call: Callable[[], object]) -> None:
        assert time > self.now
        moment = Moment(self.env)
        moment.callbacks.append(lambda _: call())
        self.env.schedule(moment, rank, time - self.now)

    def schedule(self, time: int, rank: int, call: Callable[[Any], object], argument: object) -> None:
        moment = Moment(self.env)
        moment.callbacks.append(lambda _: call(argument))
        self.env.schedule(moment, rank, time - self.now)

    def start(self, task: Task, time: int) -> None:
        self.at(time, task.rank, lambda: self.go_on(task))

    def resume(self, task: Task) -> None:
        self.at(self.now + 1, task.rank, self.behind_the_gate.pop(task))

    def go_on(self, task: Task) -> None:
        try:
            operation = next(task.routine)
        except StopIteration:
            return
        began = self.now
        if isinstance(operation, Access):
            self.hop(task, operation)
        elif isinstance(operation, Gate):
            if operation.take():
                self.go_on(task)
            else:
                self.behind_the_gate[task] = lambda: self.spend(task, operation.part, began)
                operation.waiting.append(task)
        else:
            server, visit = (operation.server, operation) if isinstance(operation, Service) else (operation, operation)
            begin = max(server.free_at, began)
            server.free_at = begin + visit.interval_ps
            end = max(begin + visit.latency_ps, began + 1)
            task.spend(server.wait_part, begin - began)
            self.at(end, task.rank, lambda: self.spend(task, server.part, begin))

    def spend(self, task: Task, part: int, since: int) -> None:
        task.spend(part, self.now - since)
        self.go_on(task)

    def hop(self, task: Task, access: Access) -> None:
        way = access.port.route(access.address, access.size)
        target, out, back = way.target, way.out_ps, way.back_ps
        left = self.now

        def arrive() -> None:
            task.spend(access.counts.hop, out)
            done = max(left + out + 1, target.arrive(access, left + out))
            self.at(done, task.rank, explore)

        def explore() -> None:
            if not self.sim.exploring or self.sim.actions.attempt(action):
                commit()

        action = action_of(access, target, lambda: self.at(self.now + 1, task.rank, explore))

        def commit() -> None:
            target.commit(access)
            task.spend(access.counts.wait, access.waited_ps)
            task.spend(access.counts.part, self.now - left - out - access.waited_ps)
            if back:
                committed = self.now
                self.at(self.now + back, task.rank, lambda: self.spend(task, access.counts.hop, committed))
            else:
                self.go_on(task)

        if out:
            self.at(left + out, task.rank, arrive)
        else:
            arrive()
