"""A hardware routine in execution: what it waits for, and how long it has spent in each latency part."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import simpy
from simpy.events import Event

from cosim.sim.demand import Demand
from cosim.sim.heap import ADVANCE, Entry
from cosim.sim.transport import Access, Target

T = TypeVar("T")

Subroutine = Generator[Demand, None, T]
"""Part of a hardware routine, with what comes of it; what an `Access` brought stands in it afterwards."""
Routine = Subroutine[None]
"""A hardware routine: it yields demands, and is resumed when each has happened."""


class Moment(Event):
    """A SimPy event that is already decided and only waits for its time."""

    _ok = True
    _value: object = None
    _defused = False

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.callbacks = []


class Task(Entry):
    """A hardware routine in execution.

    `parts` maps each latency part to the picoseconds that the routine spent in it: time passes only where a routine
    yields, so they add up to its age exactly.
    """

    __slots__ = ("access", "back_ps", "event", "part", "parts", "routine", "since", "target")
    # What it waits for, and since when: the executor's own, set when it waits.
    access: Access
    target: Target
    back_ps: int
    event: Moment
    part: str
    since: int

    def __init__(self, routine: Subroutine[object], rank: int, parts: dict[str, int] | None) -> None:
        self.time = 0
        self.rank = rank
        self.kind = ADVANCE
        self.below = self.beside = None
        self.routine = routine
        self.parts: dict[str, int] = {} if parts is None else parts

    def spend(self, part: str, duration_ps: int) -> None:
        """Count `duration_ps` for `part`."""
        parts = self.parts
        parts[part] = parts.get(part, 0) + duration_ps
