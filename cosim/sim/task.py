"""A hardware routine in execution: what it waits for, and how long it has spent in each latency part."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, TypeVar

import simpy
from simpy.events import Event

from cosim.sim.demand import Demand
from cosim.sim.heap import ADVANCE, Entry
from cosim.sim.spent import NAMES
from cosim.sim.transport import Access, Target

T = TypeVar("T")

PARTS: Final = len(NAMES)

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


class Told:
    """What is told of each time that a task spends."""

    __slots__ = ()

    def tell(self, part: int, duration_ps: int) -> None:
        """`duration_ps` were counted for the part of this number."""
        raise NotImplementedError


class Task(Entry):
    """A hardware routine in execution.

    `spent` is, by the number of each latency part, the picoseconds that the routine spent in it: time passes only where
    a routine yields, so they add up to its age exactly. `told` is told of each time that is counted, if there is one.
    """

    __slots__ = ("access", "back_ps", "event", "part", "routine", "since", "spent", "target", "told")
    # What it waits for, and since when: the executor's own, set when it waits.
    access: Access
    target: Target
    back_ps: int
    event: Moment
    part: int
    since: int

    def __init__(self, routine: Subroutine[object], rank: int, spent: list[int] | None) -> None:
        self.time = 0
        self.rank = rank
        self.kind = ADVANCE
        self.below = self.beside = None
        self.routine = routine
        self.spent = [0] * PARTS if spent is None else spent
        self.told: Told | None = None

    def spend(self, part: int, duration_ps: int) -> None:
        """Count `duration_ps` for the part of this number."""
        spent = self.spent
        spent[part] = spent[part] + duration_ps
        if self.told is not None:
            self.told.tell(part, duration_ps)
