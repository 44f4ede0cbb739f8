"""A run from its beginning, in whichever process: its record, and that of one which failed or took too long."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from cosim.config.problems import TopologyError
from cosim.events import BootDone
from cosim.sim.chooser import ScheduleError
from cosim.sim.simulation import Sim
from cosim.study.pool.asked import Wanted
from cosim.study.pool.record import Record, Row, row_of
from cosim.study.report.crash import describe
from cosim.study.run.model import model_version
from cosim.study.run.run import Point, UnderWay


def import_once() -> None:
    """Do here what would else be done by each child: a whole result sorts latencies, and names the model."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process that forks has no threads
    importlib.import_module("numpy")
    model_version()


class Booted:
    """A system from the beginning of its boot on, and what is read back of its run.

    `at_end` is called at the end of boot, and returns the point that is to be run from there on, if it is another one.
    """

    def __init__(self, point: Point, wanted: Wanted, at_end: Callable[[Sim], Point] | None = None) -> None:
        self._wanted = wanted
        self._at_end = at_end
        self._rows: list[Row] = []
        self._also: Callable[[], Any] | None = None
        self._run = UnderWay(point, [self._watch])

    def record(self) -> Record:
        """Boot, and run to the end."""
        self._run.advance()
        also = self._also() if self._also else None
        return Record.of(self._run, whole=self._wanted.results, rows=self._rows, also=also)

    def close(self) -> None:
        """Let go of it."""
        self._run.close()

    def _watch(self, sim: Sim) -> None:
        sim.probe(BootDone).watch(lambda _: self._booted(sim))

    def _booted(self, sim: Sim) -> None:
        wanted = self._wanted
        point = self._at_end(sim) if self._at_end else self._run.point
        if self._at_end or wanted.chooser:
            self._run.follow(point, wanted.chooser(point) if wanted.chooser else None)
        if wanted.actions:
            sim.actions.watchers.append(lambda taken: self._rows.append(row_of(taken)))
        if wanted.also:
            self._also = wanted.also(self._run)


def finished(point: Point, wanted: Wanted) -> Record:
    """The record of a run from its beginning, in this process."""
    system = Booted(point, wanted)
    try:
        with limited(wanted.host_limit):
            return system.record()
    finally:
        system.close()


class Late(TimeoutError):
    """A run has taken as long as it may on this computer."""


def alarm_in(seconds: float) -> None:
    """SIGALRM after so many seconds, and again and again: what is raised in a finalizer, Python keeps to itself.

    0 calls it off.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds, min(1, 10 * seconds))


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Late, wherever the process then is, after so many seconds; 0 are endless."""
    if not seconds:
        yield
        return

    def late(number: int, frame: object) -> NoReturn:
        raise Late(f"this run has not ended after {seconds:g} s of this computer's time")

    before = signal.signal(signal.SIGALRM, late)
    alarm_in(seconds)
    try:
        yield
    finally:
        alarm_in(0)
        signal.signal(signal.SIGALRM, before)


def failed(error: BaseException) -> Record:
    """The record of a run that has raised an exception."""
    if isinstance(error, Late):
        return Record("late", (str(error),))
    if isinstance(error.__context__, ScheduleError):
        return Record("void", (str(error),))
    return Record("error", (str(error) if isinstance(error, TopologyError) else describe(error),))


def flush() -> None:
    """Write out what is buffered: a child has a copy of it, and ends without doing so."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
