"""A run: its clock, its initiators, its chance and its probes, and the executor that lets things happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from simpy.core import StopSimulation
from simpy.events import Event

from cosim.sim.actions import Actions
from cosim.sim.chooser import Chooser
from cosim.sim.environment import Environment
from cosim.sim.executor import Executor
from cosim.sim.plain import Plain
from cosim.sim.probe import Probe
from cosim.sim.ranks import Initiator
from cosim.sim.task import Moment, Subroutine, Task

E = TypeVar("E")

BEFORE_ALL = -1
"""A rank below all others: of all that is due, a stop is next."""


class Sim:
    """A run's clock, chance and probes. `executor` makes what runs hardware and CPUs; SimPy processes may run beside.

    `hold_ps` is how long an action waits that the chooser holds.
    """

    def __init__(
        self,
        chooser: Chooser | None = None,
        *,
        executor: Callable[[Sim], Executor] | None = None,
        hold_ps: int = 0,
    ) -> None:
        self.now = 0
        """The present, in integer picoseconds."""
        self.env = Environment(self)
        self.chooser = chooser or Chooser()
        self.exploring = False
        self.executor: Executor = (executor or Plain)(self)
        self.at = self.executor.at
        self.schedule = self.executor.schedule
        self._initiators: dict[str, Initiator] = {}
        self._probes: dict[type, Probe[Any]] = {}
        self.actions = Actions(self, hold_ps)

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

    def start(self, routine: Subroutine[object], rank: int, spent: list[int] | None = None, delay_ps: int = 1) -> Task:
        """Start a hardware routine `delay_ps` (at least one tick) from now; `spent` collects its latency."""
        task = Task(routine, rank, spent)
        self.executor.start(task, self.now + (delay_ps if delay_ps > 1 else 1))
        return task

    def moment(self, time: int, rank: int) -> Moment:
        """A SimPy event at `time`, for processes that live on SimPy itself."""
        moment = Moment(self.env)
        self.env.schedule(moment, rank, time - self.now)  # type: ignore[arg-type]
        return moment

    def stop(self) -> None:
        """Make the present event the last: `env.run` returns after it. A signal handler may call this at any moment."""
        stop = Event(self.env)
        stop._ok, stop._value = True, None
        assert stop.callbacks is not None
        stop.callbacks.append(StopSimulation.callback)
        self.env.schedule(stop, BEFORE_ALL, 0)  # type: ignore[arg-type]

    def explore(self) -> None:
        """From here on every action asks the chooser; called when boot is done."""
        self.exploring = self.chooser.exploring
