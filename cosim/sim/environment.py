"""SimPy's environment, with the clock of a run in place of its own."""

from __future__ import annotations

from typing import Protocol

import simpy


class Clocked(Protocol):
    """Whoever has the clock: `Sim`."""

    now: int


class Environment(simpy.Environment):
    """SimPy's environment whose time is ``sim.now``, an attribute: hardware reads it more often than SimPy does."""

    def __init__(self, sim: Clocked) -> None:
        self.sim = sim
        super().__init__()

    @property
    def _now(self) -> int:
        return self.sim.now

    @_now.setter
    def _now(self, time: int) -> None:
        self.sim.now = time
