"""What every executor does: it decides when the operations that hardware routines yield take place, and CPUs go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mypy_extensions import mypyc_attr

from cosim.sim.task import Task


@mypyc_attr(allow_interpreted_subclasses=True)
class Executor:
    """Decides when the operations that hardware routines yield take place, and when CPUs go on, which hold themselves
    what they wait for; the clock is that of `Sim.env`."""

    def at(self, time: int, rank: int, call: Callable[[], object]) -> None:
        """Call `call` at `time`, in rank order among all that happens then; ValueError unless that is later."""
        raise NotImplementedError

    def schedule(self, time: int, rank: int, call: Callable[[Any], None], argument: object) -> None:
        """Call `call(argument)` at `time`, which may be the present, in rank order among all that happens then."""
        raise NotImplementedError

    def start(self, task: Task, time: int) -> None:
        """Begin a routine at `time`."""
        raise NotImplementedError

    def resume(self, task: Task) -> None:
        """Go on at the next tick with a task that waits at a gate."""
        raise NotImplementedError


def called(call: Callable[[], object]) -> None:
    """Call it, whatever it returns: an argument of `schedule`."""
    call()
