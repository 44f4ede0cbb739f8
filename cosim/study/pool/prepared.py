"""A process that has booted a topology, and what it prepares, and forks a child for each of its runs.

```
parent            this process                   a child
------            ------------                   -------
points   ------>  boot, prepare
                  at the end of boot: fork ----> follows the schedule of its point
                  waits                          runs to the end
                  passes on what comes   <------ its record; ends
records  <------
```

The fork happens inside of the event that ends boot, so that a child is, to the last word of memory, the process that
would have come so far alone. Where boot does not come to its end, or each run is wanted from its beginning, children
are forked before anything has happened. A child may have another seed, if nobody has drawn anything before the end of
boot; else it makes its run from the beginning.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, NoReturn

from cosim.config.problems import TopologyError
from cosim.events import BootDone
from cosim.sim.chooser import Chooser
from cosim.sim.simulation import Sim
from cosim.study.pool.frames import Frames, put
from cosim.study.pool.record import Record, Row, row_of
from cosim.study.report.crash import describe
from cosim.study.run.model import model_version
from cosim.study.run.run import Point, UnderWay
from cosim.system.topology import Topology


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
    """A point, as it is told to a process that knows its topology but for the seed, or all of it."""

    number: int
    name: str
    schedule: tuple[str, ...]
    command: str
    seed: int
    topology: Topology | None

    @classmethod
    def of(cls, number: int, point: Point, *, whole: bool) -> Asked:
        """The point with this number, and its topology if that is needed."""
        topology = point.topology
        return cls(number, point.name, point.schedule, point.command, topology.run.seed, topology if whole else None)

    def point(self, topology: Topology | None = None) -> Point:
        """The point again; `topology` is for one that was told without."""
        known = self.topology or topology
        assert known is not None
        if known.run.seed != self.seed:
            known = known.model_copy(update={"run": known.run.model_copy(update={"seed": self.seed})})
        return Point(known, self.name, self.schedule, self.command)


class Prepared:
    """The process; `requests` and `answers` are its ends of two pipes."""

    def __init__(self, topology: Topology, wanted: Wanted, requests: int, answers: int) -> None:
        self._topology = topology
        self._wanted = wanted
        self._fds = (requests, answers)
        self._requests = Frames(requests)
        self._run: UnderWay
        self._rows: list[Row] = []
        self._also: Callable[[], Any] | None = None
        self._point = Point(topology)
        self._record_fd = -1
        """Where a child's record goes; in the process itself there is no such place."""

    def live(self) -> NoReturn:
        """Do what the parent asks for until it closes its end; a child ends with its record."""
        if self._wanted.results:
            import_once()
        if not self._wanted.anew:
            with limited(self._wanted.host_limit):
                self._end_as_child(self._booted)
        self._serve()
        self._end_as_child(lambda: finished(self._point, self._wanted))
        raise AssertionError("a child has not ended")

    def _booted(self) -> Record:
        """The record of a child; the process itself returns from here only if boot has not come to its end."""
        self._run = UnderWay(self._point, [self._watch])
        self._run.advance()
        return _kept(self._run, self._wanted, self._rows, self._also)

    def _watch(self, sim: Sim) -> None:
        sim.probe(BootDone).watch(lambda _: self._at_end_of_boot(sim))

    def _at_end_of_boot(self, sim: Sim) -> None:
        self._serve()
        chooser = self._wanted.chooser
        if self._point.topology.run.seed != sim.chooser.seed and not sim.chooser.untouched:
            self._end_as_child(lambda: finished(self._point, self._wanted))  # boot was another one with that seed
        self._run.follow(self._point, chooser(self._point) if chooser else None)
        if self._wanted.actions:
            sim.actions.watchers.append(lambda taken: self._rows.append(row_of(taken)))
        if self._wanted.also:
            self._also = self._wanted.also(self._run)

    def _serve(self) -> None:
        """Fork a child for each point that is asked for; returns in each child, and in no other process."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.collect()
        gc.freeze()  # a collection writes into what it looks at, and so would copy it into each child
        while asked := self._requests.wait():
            for _, data in asked:
                for each in pickle.loads(data):
                    if self._fork(each):
                        signal.setitimer(signal.ITIMER_REAL, self._wanted.host_limit)
                        return
        os._exit(0)

    def _fork(self, asked: Asked) -> bool:
        """Have a child run a point; true in the child."""
        reading, writing = os.pipe()
        flush()
        child = os.fork()
        if not child:
            os.close(reading)
            for fd in self._fds:  # so that the parent sees it when this process alone has died
                os.close(fd)
            self._record_fd = writing
            self._point = asked.point(self._topology)
            return True
        os.close(writing)
        try:
            record = self._gathered(reading, child)
            os.close(reading)
            put(self._fds[1], asked.number, record)
        except BrokenPipeError:  # nobody waits for it any more
            os._exit(0)
        return False

    def _gathered(self, reading: int, child: int) -> bytes:
        """What a child has to say, or that it died; BrokenPipeError if the parent has gone meanwhile."""
        frames = Frames(reading)
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        poll.register(self._fds[0], 0)  # tells of its other end alone
        found: list[tuple[int, bytes]] = []
        while not frames.ended:
            for fd, event in poll.poll():
                if fd == reading:
                    frames.read()
                elif event & (select.POLLHUP | select.POLLERR):
                    os.kill(child, signal.SIGKILL)
                    raise BrokenPipeError
            found += frames.take()
        _, status = os.waitpid(child, 0)
        if found and not status:
            return found[0][1]
        return pickle.dumps(Died(how_it_died(status)))

    def _end_as_child(self, work: Callable[[], Record]) -> None:
        """In a child, send its record and end. An exception of the process itself is left to children to find."""
        try:
            record = work()
        except SystemExit:
            if self._record_fd < 0:
                return
            raise
        except BaseException as error:
            record = failed(error)
        if self._record_fd >= 0:
            put(self._record_fd, 0, pickle.dumps(record, pickle.HIGHEST_PROTOCOL))
            flush()
            os._exit(0)


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
        return _kept(run, wanted, rows, ends[0] if ends else None)
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


def _kept(run: UnderWay, wanted: Wanted, rows: list[Row], also: Callable[[], Any] | None) -> Record:
    return Record.of(run, whole=wanted.results, rows=rows, also=also() if also else None)


def how_it_died(status: int) -> str:
    """In words, what `waitpid` has told of a process."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = next((one.name for one in signal.Signals if one == number), str(number))
        return f"was ended by {name}"
    return f"ended with {os.waitstatus_to_exitcode(status)} before its run had"


def flush() -> None:
    """Write out what is buffered: a child has a copy of it, and ends without doing so."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
