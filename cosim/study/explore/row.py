"""What came out of searching one topology under one driver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cosim.study.pool.record import Record
from cosim.study.run.run import Point
from cosim.study.run.signs import first_of_each

Stopped = Literal["", "found", "schedules", "time", "late", "interrupted"]


@dataclass(slots=True)
class Found:
    """The first run that showed what was looked for: the n-th, with so many deviations, in a cell of the grid."""

    n: int
    deviations: int
    sign: str
    cell: str
    point: Point
    digest: str
    messages: tuple[str, ...] = ()
    """The violations, or what else was not as expected, in words."""
    path: str = ""
    """The file of the finding, if there is one."""
    held: Mapping[str, str] = field(default_factory=dict)
    """Where a compiled driver asks for what the schedule holds, by the names of the actions."""

    @property
    def crashed(self) -> bool:
        """Whether the run came to no end: its process died, or an exception was raised. That shows nothing of order."""
        return self.sign.startswith(("error", "lost"))

    def as_json(self) -> dict[str, Any]:
        """The object that `explore --json` prints for it."""
        return {
            "n": self.n,
            "deviations": self.deviations,
            "signature": self.sign,
            "cell": self.cell,
            "schedule": list(self.point.schedule),
            "held": dict(self.held),
            "digest": self.digest,
            "messages": list(self.messages),
            "command": self.point.command,
            "path": self.path,
        }


@dataclass(slots=True)
class Inactive:
    """Of how many cells a thread had no part in the unperturbed run, and why in the first of them, in words."""

    cells: int
    why: str


@dataclass(slots=True)
class Row:
    """A search as far as it has come."""

    name: str
    driver: str
    remark: str = ""
    reached_by: tuple[str, ...] = ()
    wanted: str | None = None
    """How the signature begins that has to be found; empty, if nothing may be found; None, if nothing was said."""
    defects: int = 0
    """In how many drivers the topology says that something has to be found."""
    chosen_by: str = ""
    """The options that name the driver, such as ``--driver``; empty if the topology does."""
    strategy: str = "bounded"
    deviations: int = 1
    cells: int = 0
    runs: int = 0
    by_level: list[int] = field(default_factory=list)
    """How many schedules of 0, 1, ... deviations were run."""
    next_level: int = 0
    """How many there are of the level that was not come to its end, if that is known."""
    complete: int = -1
    """Every schedule of at most so many deviations was run; -1 if not even the unperturbed runs were."""
    actions: tuple[int, int] = (0, 0)
    """How many effects asked in the unperturbed runs: the fewest and the most in a cell."""
    conflicts: tuple[int, int] = (0, 0)
    inactive: dict[str, Inactive] = field(default_factory=dict)
    """The threads that had no part in unperturbed runs, by name."""
    skipped: int = 0
    """Schedules whose partial order was one that had been seen, so that nothing was added to them."""
    orders: int = 0
    """How many partial orders were seen, if they were told apart."""
    alike: int = 0
    """Combinations of starts whose unperturbed run is that of another one."""
    lost: int = 0
    """Runs that came to no end: their process died, or an exception was raised."""
    late: int = 0
    """Runs that took longer than they may on the computer, so that nothing is known of them."""
    stopped: Stopped = ""
    found: Found | None = None
    others: dict[str, Found] = field(default_factory=dict)
    """What else was shown, by its signature, each with the first run that did."""
    with_mutants: bool = False
    """Whether mutants were asked for: they are searched once this search has come to its end and is clean."""
    mutants: list[Row] = field(default_factory=list)
    """The same search with a step of the driver taken out, each; `step` says which."""
    step: str = ""
    idle: tuple[str, ...] = ()
    """Steps that were taken out of the driver, as ``AXIS: STEP``, and that no run came to."""
    unreached: list[str] = field(default_factory=list)
    """Steps of which it is so that without them the same runs were made: they are no mutants."""

    @property
    def as_wanted(self) -> bool:
        """Whether it has come out as it had to; where nothing was said, that is that nothing was found."""
        return (self.found is not None) == bool(self.wanted)

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to search: no effect of the unperturbed runs was in conflict, and no choice."""
        return self.found is None and self.complete >= 0 and not self.conflicts[1] and self.strategy != "random"

    @property
    def unknown(self) -> bool:
        """Whether nothing was found, and too little was run to say so.

        A run took too long, or not even every combination of hold and starts was run unperturbed.
        """
        return self.found is None and (self.late > 0 or self.complete < 0)

    def note_inactive(self, threads: Iterable[Mapping[str, str]]) -> None:
        """Note the threads that had no part in the unperturbed run of each cell."""
        for cell in threads:
            for name, why in cell.items():
                self.inactive.setdefault(name, Inactive(0, why)).cells += 1

    def as_json(self) -> dict[str, Any]:
        """The object that `explore --json` prints for it."""
        return {
            "topology": self.name,
            "driver": self.driver,
            "step": self.step,
            "remark": self.remark,
            "reached_by": list(self.reached_by),
            "wanted": self.wanted,
            "as_wanted": self.as_wanted,
            "strategy": self.strategy,
            "deviations": self.deviations,
            "cells": self.cells,
            "runs": self.runs,
            "by_level": self.by_level,
            "complete": self.complete,
            "actions": list(self.actions),
            "conflicts": list(self.conflicts),
            "inactive": {name: asdict(one) for name, one in self.inactive.items()},
            "skipped": self.skipped,
            "orders": self.orders,
            "alike": self.alike,
            "lost": self.lost,
            "late": self.late,
            "stopped": self.stopped,
            "found": self.found and self.found.as_json(),
            "others": {sign: found.as_json() for sign, found in self.others.items()},
            "idle": list(self.idle),
            "unreached": self.unreached,
            "mutants": [mutant.as_json() for mutant in self.mutants],
        }


def told(record: Record) -> tuple[str, ...]:
    """What a run showed, in words: the first violation of each signature, and what else was not as expected."""
    first = first_of_each(record.violations)
    return (*(f"{sign}: {violation.message}" for sign, violation in first.items()), *record.failures)


def span(numbers: Sequence[int]) -> tuple[int, int]:
    """The smallest and the largest."""
    return min(numbers, default=0), max(numbers, default=0)
