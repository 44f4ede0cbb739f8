"""Hands out points to whatever makes runs, gathers records in order, and has again what was lost with a process."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from cosim.sim.chooser import Chooser
from cosim.study.pool.asked import Wanted
from cosim.study.pool.chunks import Chunk, Feed
from cosim.study.pool.crew import Came, Crew, Place
from cosim.study.pool.processes import Processes
from cosim.study.pool.record import Record
from cosim.study.pool.whole_run import failed, finished
from cosim.study.run.run import Point, UnderWay

AHEAD = 4
"""So many chunks for each process are taken from the points before the first record of them is fetched."""
FIRST, MOST, SHARE = 8, 32, 4
"""How many points make a chunk at first and at most. A fork is shared by as many as the chunk has, so that chunks grow,
but never beyond this part of what each process has done so far: nobody waits long for the one that has the last."""


class Pool:
    """Processes that make runs side by side: ``with Pool() as pool: for point, record in pool.runs(points): ...``.

    Each process boots one topology, once, and runs fork from it; it is kept while others of the same topology may
    come. `jobs` is how many there are at most, by default as many as this process has CPUs; `chunk` is how many points
    one of them is given at once, by default more of them the more there are. A record has an outcome, a digest and
    violations; with `actions` also every effect that took hold, with `results` the whole `Result`. ``also(run)`` is
    called at the end of boot, and what it returns at the end of the run: what that gives is in the record's `also`.
    `chooser(point)` makes what answers instead of the point's schedule.

    With a `place`, such as a cluster, the processes are there; what they call has to be picklable.

    A run that takes longer than `host_limit` seconds has the outcome ``late``; 0 is no limit.

    With `anew` each run boots for itself, in a process of its own. Without `fork`, or where there is none, runs are
    made in this process, one after the other; their digests are the same. Where other threads run in this process it
    is not forked: processes are started from scratch, and what they call has to be picklable (else RuntimeError).
    As one of `signals` does it ends `runs` early if the other end of `parent`, a pipe, is closed.
    """

    def __init__(
        self,
        jobs: int | None = None,
        *,
        chunk: int | None = None,
        fork: bool = True,
        anew: bool = False,
        actions: bool = False,
        results: bool = False,
        chooser: Callable[[Point], Chooser] | None = None,
        also: Callable[[UnderWay], Callable[[], Any]] | None = None,
        host_limit: float = 0,
        signals: Sequence[signal.Signals] = (signal.SIGINT,),
        place: Place | None = None,
        parent: int | None = None,
    ) -> None:
        self.interrupted = False
        """Whether one of `signals` has ended `runs` early."""
        self._chunk = chunk
        self._wanted = Wanted(anew, actions, results, chooser, also, host_limit)
        self._signals = tuple(signals)
        self._parent = () if parent is None else (parent,)
        self._crew: Crew | None = None
        """What makes the runs; none if this process does."""
        if place is not None:
            self._crew = place.crew(self._wanted, jobs)
        elif fork and hasattr(os, "fork"):
            self._crew = Processes(self._wanted, jobs or _cpus())

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        if self._crew is not None:
            self._crew.close()

    def runs(
        self, points: Iterable[Point], *, alone: Callable[[Point], bool] = lambda point: False, in_order: bool = True
    ) -> Generator[tuple[Point, Record]]:
        """Run every point, and give each with its record, in the order of `points`, as soon as that is possible.

        Without `in_order` each is given as soon as it has ended: one that takes long keeps none back.
        Points that follow one another with equal topologies, but for the seed, share their boot. A point that is
        `alone` does not: no process is forked for it, and one process makes many such runs, each from its beginning.
        Points are taken ahead of records, but never more than a few chunks for each process. A point whose process
        dies is run again once, and then is ``lost``. One of `signals` ends it early: what is done by then is given,
        and nothing else.
        """
        self.interrupted = False
        if self._crew is None:
            return self._one_by_one(points)
        return self._side_by_side(self._crew, points, alone, in_order)

    # --- In this process ---------------------------------------------------------------------------------------------

    def _one_by_one(self, points: Iterable[Point]) -> Generator[tuple[Point, Record]]:
        for point in points:
            try:
                record = finished(point, self._wanted)
            except Exception as error:
                record = failed(error)
            except KeyboardInterrupt:
                self.interrupted = True
                return
            yield point, record

    # --- In others ---------------------------------------------------------------------------------------------------

    def _side_by_side(
        self, crew: Crew, points: Iterable[Point], alone: Callable[[Point], bool], in_order: bool
    ) -> Generator[tuple[Point, Record]]:
        feed = Feed(points, alone)
        waiting: deque[Chunk] = deque()
        open_points: dict[int, Point] = {}
        done: dict[int, Record] = {}
        following = 0
        try:
            while True:
                size = self._chunk_after(following, crew)
                while not feed.ended and len(open_points) < AHEAD * size * crew.jobs:
                    chunk = feed.chunk(size)
                    open_points |= chunk.points
                    waiting.append(chunk)
                crew.take(waiting)
                given = following
                while (number := following if in_order else next(iter(done), -1)) in done:
                    yield open_points.pop(number), done.pop(number)
                    following += 1
                if following > given:
                    continue  # there is room for more; if all that was open is given, nobody has anything to wait for
                if not open_points and feed.ended:
                    return
                with self._listening() as told:
                    for came in crew.wait(told):
                        _gather(came, waiting, done)
                    self.interrupted |= bool(self._parent and select.select(self._parent, (), (), 0)[0])
                if self.interrupted:
                    break
            for number in sorted(done):
                yield open_points[number], done[number]
        finally:
            crew.forget()

    def _chunk_after(self, done: int, crew: Crew) -> int:
        """How many points make a chunk when so many have come to their end."""
        return self._chunk or min(MOST, max(FIRST, done // (SHARE * max(1, crew.jobs))))

    @contextmanager
    def _listening(self) -> Iterator[tuple[int, ...]]:
        """Meanwhile note `signals`; one of what is given can be read from as soon as one has come."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)

        def told(number: int, frame: object) -> None:
            self.interrupted = True
            with suppress(BlockingIOError):
                os.write(writing, b"!")

        before = {}
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in self._signals if signal.getsignal(number) is not signal.SIG_IGN]
            before = {number: signal.signal(number, told) for number in heard}
        try:
            yield (reading, *self._parent)
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            os.close(reading)
            os.close(writing)


def _gather(came: Came, waiting: deque[Chunk], done: dict[int, Record]) -> None:
    """Note a record. A point that came to none is run once more, and by itself: else it could take others with it."""
    chunk, number, point, record = came
    if isinstance(record, Record):
        done[number] = record
    elif not chunk.failed:
        waiting.appendleft(Chunk(chunk.key, chunk.topology, {number: point}, record.why))
    else:
        why = f"its process {chunk.failed}, and when it was run again {record.why}"
        done[number] = Record("lost", (f"{_name(point)}: {why}",))


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _name(point: Point) -> str:
    return " ".join([point.name, *(["--schedule", ",".join(point.schedule)] if point.schedule else [])])
