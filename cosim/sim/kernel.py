"""The clock, the ranks and the plain executor: one SimPy process for each hardware routine."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import simpy
from simpy.events import Event

from cosim.sim.choice import Action, Actions, Chooser
from cosim.sim.component import Probe
from cosim.sim.ranks import Initiator, Stage
from cosim.sim.server import Gate, Server, Service
from cosim.sim.transport import Access, Kind

__all__ = ["Executor", "Initiator", "Moment", "Plain", "Routine", "Sim", "Stage", "Task", "action_of"]

E = TypeVar("E")

Routine = Generator[Any, Any, Any]
"""A hardware routine: it yields `Access`, `Server`, `Service` or `Gate`, and is resumed when that has happened."""


class Moment(Event):
    """A SimPy event that is already decided and only waits for its time."""

    _ok = True
    _value: Any = None
    _defused = False

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.callbacks: Any = []


class Task:
    """A hardware routine in execution.

    `parts` maps each latency part to the picoseconds that the routine spent in it: time passes only where a routine
    yields, so they add up to its age exactly.
    """

    __slots__ = ("access", "back_ps", "event", "gate", "parts", "rank", "send", "since", "target")
    # What it waits for, and since when: the executor's own, set when it waits.
    event: Any
    gate: Any
    access: Any
    target: Any
    back_ps: int
    since: int

    def __init__(self, routine: Routine, rank: int, parts: dict[str, int] | None) -> None:
        self.send = routine.send
        self.rank = rank
        self.parts: dict[str, int] = {} if parts is None else parts

    def spend(self, part: str, duration_ps: int) -> None:
        """Count `duration_ps` for `part`."""
        parts = self.parts
        parts[part] = parts.get(part, 0) + duration_ps


class Sim:
    """A run's clock, chance and probes. `executor` makes the hardware's executor; CPUs are SimPy processes always.

    `hold_ps` is how long an action waits that the chooser holds.
    """

    def __init__(
        self,
        chooser: Chooser | None = None,
        *,
        executor: Callable[[Sim], Executor] | None = None,
        hold_ps: int = 0,
    ) -> None:
        self.env = simpy.Environment()
        self.chooser = chooser or Chooser()
        self.exploring = False
        self.executor: Executor = (executor or Plain)(self)
        self.at = self.executor.at
        self.resume = self.executor.resume
        self._initiators: dict[str, Initiator] = {}
        self._probes: dict[type, Probe[Any]] = {}
        self.actions = Actions(self, hold_ps)

    @property
    def now(self) -> int:
        """The present, in integer picoseconds."""
        return self.env._now  # type: ignore[return-value]

    @now.setter
    def now(self, time: int) -> None:
        """Set the clock: for who steps through states himself instead of running them."""
        self.env._now = time

    def initiator(self, path: str) -> Initiator:
        """The initiator at `path`, numbered in the order in which they are first asked for."""
        if path not in self._initiators:
            self._initiators[path] = Initiator(path, len(self._initiators))
        return self._initiators[path]

    def probe(self, event: type[E]) -> Probe[E]:
        """The probe where every event of this type is fired."""
        return self._probes.setdefault(event, Probe())

    def unwatch(self) -> None:
        """Nobody watches from here on: a run is over, and what is given up unfinished is no event of it."""
        for probe in self._probes.values():
            probe.clear()

    def start(self, routine: Routine, rank: int, parts: dict[str, int] | None = None, delay_ps: int = 1) -> Task:
        """Start a hardware routine `delay_ps` (at least one tick) from now; `parts` collects its latency."""
        task = Task(routine, rank, parts)
        now: int = self.env._now  # type: ignore[assignment]
        self.executor.start(task, now + (delay_ps if delay_ps > 1 else 1))
        return task

    def moment(self, time: int, rank: int) -> Moment:
        """A SimPy event at `time`, for the processes (CPUs) that live on SimPy itself."""
        moment = Moment(self.env)
        self.env.schedule(moment, rank, time - self.env._now)  # type: ignore[arg-type]
        return moment

    def explore(self) -> None:
        """From here on every action asks the chooser; called when boot is done."""
        self.exploring = self.chooser.exploring


class Executor:
    """Decides when the operations that hardware routines yield take place; the clock is that of `Sim.env`."""

    def at(self, time: int, rank: int, call: Callable[[], object]) -> None:
        """Call `call` at `time`, in rank order among all that happens then; ValueError unless that is later."""
        raise NotImplementedError

    def start(self, task: Task, time: int) -> None:
        """Begin a routine at `time`."""
        raise NotImplementedError

    def resume(self, task: Task) -> None:
        """Go on at the next tick with a task that waits at a gate."""
        raise NotImplementedError


class Plain(Executor):
    """One SimPy process for each routine: the twin that every other executor is compared with."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.env = sim.env

    def at(self, time: int, rank: int, call: Callable[[], object]) -> None:
        if time <= self.env.now:
            raise ValueError(f"at {time} ps: that is not after the present, {self.env.now} ps")
        moment = Moment(self.env)
        moment.callbacks.append(lambda _: call())
        self.env.schedule(moment, rank, time - self.env.now)  # type: ignore[arg-type]

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
        return task.event  # type: ignore[no-any-return]

    def _drive(self, task: Task) -> Generator[Event, Any, None]:
        send, rank, sim = task.send, task.rank, self.sim
        answer: Any = None
        while True:
            try:
                op = send(answer)
            except StopIteration:
                return
            now = sim.now
            kind = type(op)
            if kind is Access:
                yield from self._access(task, op)
                answer = op
            elif kind is Server or kind is Service:
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
                yield self._after(out - now, rank)
                answer = None
            elif kind is Gate:
                if not op.take():
                    op.waiting.append(task)
                    yield self._blocked(task)
                    task.spend(op.part, sim.now - now)
                answer = None
            else:
                raise TypeError(f"a hardware routine yielded {op!r}; it may yield Access, Server, Service, Gate")

    def _access(self, task: Task, access: Access) -> Generator[Event, Any, None]:
        rank, sim = task.rank, self.sim
        target, out_ps, back_ps = access.port.route(access.address, access.size)
        if out_ps:
            task.spend(access.hop_part, out_ps)
            yield self._after(out_ps, rank)
        arrived = sim.now
        done = max(target.arrive(access, arrived), arrived + 1)
        yield self._after(done - arrived, rank)
        if sim.exploring:
            action = action_of(access, lambda: self.resume(task))
            blocked = self._blocked(task)
            while not sim.actions.attempt(action):
                yield blocked
                blocked = self._blocked(task)
        target.commit(access)
        if access.on_commit is not None:
            access.on_commit(access)
        if access.waited_ps:
            task.spend(access.wait_part, access.waited_ps)
        task.spend(access.part, sim.now - arrived - access.waited_ps)
        if back_ps:
            task.spend(access.hop_part, back_ps)
            yield self._after(back_ps, rank)


def action_of(access: Access, again: Callable[[], None]) -> Action:
    """The action that `access` is when it takes hold: on each aligned 8-byte word that it touches."""
    first, last = access.address >> 3, (access.address + access.size - 1) >> 3
    return Action(
        access.agent,
        access.owner,
        tuple(word << 3 for word in range(first, last + 1)),
        access.kind is not Kind.READ,
        again,
    )
