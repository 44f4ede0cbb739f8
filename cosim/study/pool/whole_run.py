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


def finished(point: Point, wanted: Wanted) -> Record:
    """The record of a run from its beginning, in this process."""
    rows: list[Row] = []
    ends: list[Callable[[], Any]] = []

    def watch(sim: Sim) -> None:
        if wanted.actions:
            sim.actions.watchers.append(lambda taken: rows.append(row_of(taken)))
        sim.probe(BootDone).watch(lambda _: booted())

    def booted() -> None:
        if wanted.chooser:
            run.follow(point, wanted.chooser(point))
        if wanted.also:
            ends.append(wanted.also(run))

    run = UnderWay(point, [watch])
    try:
        with limited(wanted.host_limit):
            run.advance()
        return kept(run, wanted, rows, ends[0] if ends else None)
    finally:
        run.close()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """TimeoutError, wherever the process then is, after so many seconds; 0 are endless."""
    if not seconds:
        yield
        return

    def late(number: int, frame: object) -> NoReturn:
        raise TimeoutError(f"this run has not ended after {seconds:g} s of this computer's time")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def failed(error: BaseException) -> Record:
    """The record of a run that has raised an exception."""
    return Record("error", (str(error) if isinstance(error, TopologyError) else describe(error),))


def kept(run: UnderWay, wanted: Wanted, rows: list[Row], also: Callable[[], Any] | None) -> Record:
    """What is wanted of a run that has come to its end."""
    return Record.of(run, whole=wanted.results, rows=rows, also=also() if also else None)


def flush() -> None:
    """Write out what is buffered: a child has a copy of it, and ends without doing so."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
