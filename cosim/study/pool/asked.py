"""What a process is asked for: points, how their runs are made, and what is read back of each."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from cosim.sim.chooser import Chooser
from cosim.study.run.run import Point, UnderWay
from cosim.system.topology import RunOptions, StallOptions, Topology


@dataclass(frozen=True, slots=True)
class Wanted:
    """How runs are made, and what is read back of each."""

    anew: bool = False
    """Boot for each run."""
    actions: bool = False
    results: bool = False
    chooser: Callable[[Point], Chooser] | None = None
    also: Callable[[UnderWay], Callable[[], Any]] | None = None
    host_limit: float = 0
    """How long one run may take here, in seconds, and boot; 0 for as long as it likes."""

    def as_arguments(self) -> dict[str, Any]:
        """The same as `Pool` takes it."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Died(NamedTuple):
    """A child has ended without a record."""

    why: str


class Asked(NamedTuple):
    """A point, as it is told to a process that has booted a topology that boots alike, or all of it."""

    number: int
    name: str
    schedule: tuple[str, ...]
    command: str
    run: RunOptions
    stalls: tuple[StallOptions, ...]
    topology: Topology | None

    @classmethod
    def of(cls, number: int, point: Point, *, whole: bool) -> Asked:
        """The point with this number, and its topology if that is needed."""
        topology = point.topology
        later = topology.run, topology.stalls
        return cls(number, point.name, point.schedule, point.command, *later, topology if whole else None)

    def point(self, topology: Topology | None = None) -> Point:
        """The point again; `topology` is for one that was told without."""
        known = self.topology or topology
        assert known is not None
        if (known.run, known.stalls) != (self.run, self.stalls):
            known = known.model_copy(update={"run": self.run, "stalls": self.stalls})
        return Point(known, self.name, self.schedule, self.command)


def how_it_died(status: int) -> str:
    """In words, what `waitpid` has told of a process."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = next((one.name for one in signal.Signals if one == number), str(number))
        return f"was ended by {name}"
    return f"ended with {os.waitstatus_to_exitcode(status)} before its run had"


def exit_code(end: SystemExit) -> int:
    """The code with which a process ends that was told to by an exception."""
    return end.code if isinstance(end.code, int) else int(end.code is not None)
