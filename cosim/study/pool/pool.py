"""Hands out points to processes, gathers records in order, and replaces a process that has died."""

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
from cosim.study.pool.chunks import Chunk, Feed
from cosim.study.pool.prepared import Died, Wanted, failed, finished
from cosim.study.pool.record import Record
from cosim.study.pool.worker import Worker
from cosim.study.run.run import Point, UnderWay

AHEAD = 4
"""So many chunks for each process are taken from the points before the first record of them is fetched."""


class Pool:
    """Processes that make runs side by side: ``with Pool() as pool: for point, record in pool.runs(points): ...``.

    Each process boots one topology, once, and runs fork from it; it is kept while others of the same topology may
    come. `jobs` is how many there are at most, by default as many as this process has CPUs; `chunk` is how many points
    one of them is given at once. A record has an outcome, a digest and violations; with `actions` also every effect
    that took hold, with `results` the whole `Result`. ``also(run)`` is called at the end of boot, and what it returns
    at the end of the run: what that gives is in the record's `also`. `chooser(point)` makes what answers instead of
    the point's schedule.

    A run that takes longer than `host_limit` seconds here has failed, with the outcome ``error``; 0 is no limit.

    With `anew` each run boots for itself, in a process of its own. Without `fork`, or where there is none, runs are
    made in this process, one after the other; their digests are the same. A process that has other threads cannot be
    forked safely: RuntimeError, but for runs that are `alone`, whose processes are started from scratch then.
    """

    def __init__(
        self,
        jobs: int | None = None,
        *,
        chunk: int = 8,
        fork: bool = True,
        anew: bool = False,
        actions: bool = False,
        results: bool = False,
        chooser: Callable[[Point], Chooser] | None = None,
        also: Callable[[UnderWay], Callable[[], Any]] | None = None,
        host_limit: float = 0,
        signals: Sequence[signal.Signals] = (signal.SIGINT,),
    ) -> None:
        self.jobs = jobs or _cpus()
        self.interrupted = False
        """Whether one of `signals` has ended `runs` early."""
        self._chunk = chunk
        self._forks = fork and hasattr(os, "fork")
        self._wanted = Wanted(anew, actions, results, chooser, also, host_limit)
        self._signals = tuple(signals)
        self._workers: list[Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        while self._workers:
            self._workers.pop().end()

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
        return self._side_by_side(points, alone, in_order) if self._forks else self._one_by_one(points)

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
        self, points: Iterable[Point], alone: Callable[[Point], bool], in_order: bool
    ) -> Generator[tuple[Point, Record]]:
        feed = Feed(points, self._chunk, alone)
        chunks = feed.chunks()
        waiting: deque[Chunk] = deque()
        open_points: dict[int, Point] = {}
        done: dict[int, Record] = {}
        following = 0
        try:
            while True:
                while not feed.ended and len(open_points) < AHEAD * self._chunk * self.jobs:
                    chunk = next(chunks)
                    open_points |= chunk.points
                    waiting.append(chunk)
                self._hand_out(waiting)
                while (number := following if in_order else next(iter(done), -1)) in done:
                    yield open_points.pop(number), done.pop(number)
                    following += 1
                if not open_points and feed.ended:
                    return
                if not self._wait(waiting, done):
                    break
            for number in sorted(done):
                yield open_points[number], done[number]
        finally:
            for worker in [worker for worker in self._workers if worker.chunk is not None]:
                self._end(worker)

    def _hand_out(self, waiting: deque[Chunk]) -> None:
        """Give each chunk that waits to a process of its topology, as far as there are idle ones or room for more."""
        while waiting:
            key = waiting[0].key
            idle = [worker for worker in self._workers if worker.chunk is None]
            worker = next((one for one in idle if one.key == key), None)
            if worker is None and len(self._workers) >= self.jobs:
                if not idle:
                    return
                self._end(idle[0])  # the one that has been idle the longest
            if worker is None:
                worker = Worker(key, waiting[0].topology, self._wanted)
                self._workers.append(worker)
            worker.give(waiting.popleft())

    def _wait(self, waiting: deque[Chunk], done: dict[int, Record]) -> bool:
        """Take in what comes next; false if a signal has come meanwhile."""
        with self._listening() as told:
            poll = select.poll()
            busy = {worker.fd: worker for worker in self._workers if worker.chunk is not None}
            for fd in (told, *busy):
                poll.register(fd, select.POLLIN)
            for fd, _ in poll.poll():
                if fd != told:
                    self._read(busy[fd], waiting, done)
        return not self.interrupted

    def _read(self, worker: Worker, waiting: deque[Chunk], done: dict[int, Record]) -> None:
        chunk = worker.chunk
        assert chunk is not None
        for number, record in worker.read():
            point = chunk.points.pop(number)
            if isinstance(record, Record):
                done[number] = record
            else:
                self._failed(Chunk(chunk.key, chunk.topology, {number: point}, chunk.failed), record, waiting, done)
        if worker.dead:
            why = self._end(worker)
            if chunk.points:
                self._failed(chunk, Died(why), waiting, done)
        elif not chunk.points:
            worker.chunk = None
            self._workers.remove(worker)
            self._workers.append(worker)  # those that have been idle the longest stay in front

    def _failed(self, chunk: Chunk, died: Died, waiting: deque[Chunk], done: dict[int, Record]) -> None:
        """The points of a chunk are run once more, and if they were already, they are lost."""
        if not chunk.failed:
            waiting.appendleft(Chunk(chunk.key, chunk.topology, chunk.points, died.why))
            return
        for number, point in chunk.points.items():
            why = f"its process {chunk.failed}, and when it was run again {died.why}"
            done[number] = Record("lost", (f"{_name(point)}: {why}",))

    def _end(self, worker: Worker) -> str:
        self._workers.remove(worker)
        return worker.end()

    @contextmanager
    def _listening(self) -> Iterator[int]:
        """Meanwhile note `signals`; what is given can be read from as soon as one has come."""
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
            yield reading
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            os.close(reading)
            os.close(writing)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _name(point: Point) -> str:
    return " ".join([point.name, *(["--schedule", ",".join(point.schedule)] if point.schedule else [])])
