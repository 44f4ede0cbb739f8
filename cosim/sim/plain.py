"""The plain executor: one SimPy process for each hardware routine, the twin that all others are compared with."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from simpy.events import Event

from cosim.sim.actions import Action
from cosim.sim.executor import Executor, called
from cosim.sim.footprints import Footprint, words
from cosim.sim.gate import Gate
from cosim.sim.places import place_of
from cosim.sim.server import Server, Service
from cosim.sim.task import Moment, Task
from cosim.sim.transport import Access, AccessKind, Target

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


class Plain(Executor):
    """One SimPy process for each routine: the twin that every other executor is compared with."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.env = sim.env

    def at(self, time: int, rank: int, call: Callable[[], object]) -> None:
        if time <= self.env.now:
            raise ValueError(f"at {time} ps: that is not after the present, {self.env.now} ps")
        self.schedule(time, rank, called, call)

    def schedule(self, time: int, rank: int, call: Callable[[Any], None], argument: object) -> None:
        def happen(_: Event) -> None:
            call(argument)

        self._after(time - self.sim.now, rank).callbacks.append(happen)

    def start(self, task: Task, time: int) -> None:
        self.at(time, task.rank, lambda: self.env.process(self._drive(task)))

    def resume(self, task: Task) -> None:
        self.env.schedule(task.event, task.rank, 1)  # type: ignore[arg-type]

    def _after(self, delay_ps: int, rank: int) -> Moment:
        moment = Moment(self.env)
        self.env.schedule(moment, rank, delay_ps)  # type: ignore[arg-type]
        return moment

    def _blocked(self, task: Task) -> Moment:
        task.event = Moment(self.env)
        return task.event

    def _drive(self, task: Task) -> Generator[Event, Any, None]:
        rank, sim = task.rank, self.sim
        for op in task.routine:
            now = sim.now
            if isinstance(op, Access):
                yield from self._access(task, op)
            elif isinstance(op, Server | Service):
                if isinstance(op, Server):
                    server, latency, out = op, op.latency_ps, op.admit(now)
                else:
                    server, latency = op.server, op.latency_ps
                    out = server.serve(now, op.interval_ps, latency)
                begun = out - latency
                out = max(out, now + 1)
                if begun > now:
                    task.spend(server.wait_part, begun - now)
                task.spend(server.part, out - max(begun, now))
                yield self._after(out - now, rank)
            elif isinstance(op, Gate):
                if not op.take():
                    op.waiting.append(task)
                    yield self._blocked(task)
                    task.spend(op.part, sim.now - now)
            else:
                raise TypeError(f"a hardware routine yielded {op!r}; it may yield Access, Server, Service, Gate")

    def _access(self, task: Task, access: Access) -> Generator[Event, Any, None]:
        rank, sim = task.rank, self.sim
        way = access.port.route(access.address, access.size)
        target, out_ps, back_ps = way.target, way.out_ps, way.back_ps
        if out_ps:
            task.spend(access.counts.hop, out_ps)
            yield self._after(out_ps, rank)
        arrived = sim.now
        done = max(target.arrive(access, arrived), arrived + 1)
        yield self._after(done - arrived, rank)
        if sim.exploring:
            action = action_of(access, target, lambda: self.resume(task), place_of(task.routine))
            blocked = self._blocked(task)
            while not sim.actions.attempt(action):
                yield blocked
                blocked = self._blocked(task)
        target.commit(access)
        if access.on_commit is not None:
            access.on_commit(access)
        if access.waited_ps:
            task.spend(access.counts.wait, access.waited_ps)
        task.spend(access.counts.part, sim.now - arrived - access.waited_ps)
        if back_ps:
            task.spend(access.counts.hop, back_ps)
            yield self._after(back_ps, rank)


def action_of(access: Access, target: Target, again: Callable[[], None], place: str = "") -> Action:
    """The action that `access` is when it takes hold; a target of registers has a name for each."""
    named: Callable[[int, int], Footprint] = getattr(target, "footprint", words)
    return Action(
        access.agent,
        access.owner,
        named(access.address, access.size) + getattr(access, "touches", ()),
        access.kind is not AccessKind.READ,
        again,
        access.size,
        place,
    )
