"""What the parts of the simulation ask of a run: the time, a call at a later time, and chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cosim.sim.chooser import Chooser
from cosim.sim.executor import Executor
from cosim.sim.ranks import Initiator


class Clock(Protocol):
    """A run, as gates and actions know it; `Sim` is one."""

    chooser: Chooser
    executor: Executor
    exploring: bool
    now: int
    """The present, in integer picoseconds."""

    def at(self, time: int, rank: int, call: Callable[[], object]) -> None:
        """Call `call` at `time`, in rank order among all that happens then; ValueError unless that is later."""

    def initiator(self, path: str) -> Initiator:
        """The initiator at `path`."""
