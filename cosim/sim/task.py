"""A hardware routine in execution: what it waits for, and how long it has spent in each latency part."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy
from simpy.events import Event

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
