"""Hands chunks to a Dask cluster, and gathers the records of those that have ended."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cosim.config.problems import TopologyError
from cosim.study.pool.asked import Died, Wanted
from cosim.study.pool.chunks import Chunk
from cosim.study.pool.cluster.remote import Job, RefusedError, end, identity, made
from cosim.study.pool.crew import Came

if TYPE_CHECKING:
    from cosim.study.pool.cluster.cluster import Cluster

AHEAD = 2
"""So many chunks are at the cluster for each of its threads, so that none waits for the next."""
LOOK_MS = 1000
"""So often it is looked whether the scheduler still is there."""


class DaskCrew:
    """A `Crew`. A worker that dies costs its chunk, which the scheduler gives to another one.

    A chunk that has taken several workers with it has died. A run that takes its own process with it has died in the
    worker's pool, and costs no worker.
    """

    def __init__(self, cluster: Cluster, wanted: Wanted, jobs: int | None) -> None:
        self._cluster = cluster
        self._wanted = wanted
        self._most = jobs
        self._name = uuid4().hex
        self._chunks: dict[Any, Chunk] = {}
        """Those at the cluster, by their futures."""
        self._ended: deque[Any] = deque()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)

    @property
    def jobs(self) -> int:
        """How many threads the workers have, at most as many as are wanted."""
        return min(self._cluster.jobs, self._most or self._cluster.jobs)

    def take(self, waiting: deque[Chunk]) -> None:
        """Give chunks to the scheduler, a few more than there are threads."""
        room = self._most or AHEAD * self._cluster.jobs
        while waiting and len(self._chunks) < room:
            chunk = waiting.popleft()
            job = Job(self._name, identity(), self._wanted, *chunk.told())
            future = self._cluster.client.submit(made, job, pure=False)
            self._chunks[future] = chunk
            future.add_done_callback(self._note)

    def wait(self, told: Sequence[int]) -> Iterator[Came]:
        """What comes of the next chunks that end."""
        poll = select.poll()
        for fd in (*told, self._reading):
            poll.register(fd, select.POLLIN)
        while not self._ended:
            ready = [fd for fd, _ in poll.poll(LOOK_MS)]
            if any(fd in told for fd in ready):
                return
            if self._reading in ready:
                with suppress(BlockingIOError):
                    os.read(self._reading, 1 << 16)
            elif self._cluster.lost:
                raise self._cluster.gone("it does not answer")
        while self._ended:
            future = self._ended.popleft()
            chunk = self._chunks.pop(future, None)
            if chunk is not None:  # it was not forgotten meanwhile
                yield from self._came(future, chunk)

    def forget(self) -> None:
        """Cancel what has not begun; what has ends with its next record."""
        if self._chunks:
            with suppress(OSError, TimeoutError):
                self._cluster.client.cancel(list(self._chunks))
            self._chunks.clear()
            self._end()
            self._name = uuid4().hex

    def close(self) -> None:
        """End the processes at the workers."""
        self.forget()
        self._end()

    def __del__(self) -> None:
        for fd in (self._reading, self._writing):
            os.close(fd)

    def _end(self) -> None:
        with suppress(OSError, TimeoutError):  # a worker that does not hear ends them when it hears of others
            self._cluster.call(end, self._name, wait=False)

    def _note(self, future: Any) -> None:
        """Called in another thread."""
        self._ended.append(future)
        with suppress(BlockingIOError):
            os.write(self._writing, b"!")

    def _came(self, future: Any, chunk: Chunk) -> Iterator[Came]:
        if future.status == "finished":
            for number, record in future.result():
                yield Came(chunk, number, chunk.points.pop(number), record)
            return
        if future.status != "error":
            raise self._cluster.gone(f"it has {future.status} what it was to run")
        died = Died(self._why(future.exception()))
        for number, point in chunk.points.items():
            yield Came(chunk, number, point, died)

    def _why(self, error: Any) -> str:
        """How a chunk died. TopologyError if it was refused, or was called what it does not know."""
        if isinstance(error, RefusedError):
            raise self._cluster.problem(f"its worker {error}; what has ended is kept")
        if type(error).__name__ == "KilledWorker":
            return f"took its workers with it ({error.last_worker.address if error.last_worker else 'unknown'} last)"
        if isinstance(error, TopologyError):
            raise error
        raise self._cluster.problem(f"a worker cannot make runs: {error!r}; what has ended is kept")
