"""Processes of this computer that make runs: each makes a chunk at a time, and one that has died is replaced."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Iterator, Sequence

from cosim.study.pool.asked import Died, Wanted
from cosim.study.pool.chunks import Chunk
from cosim.study.pool.crew import Came
from cosim.study.pool.worker import Worker


class Processes:
    """At most `jobs` of them; one is kept while others of its topology may come. A `Crew`."""

    def __init__(self, wanted: Wanted, jobs: int) -> None:
        self.jobs = jobs
        self.workers: list[Worker] = []
        """Those that have been idle the longest stand in front."""
        self._wanted = wanted

    def take(self, waiting: deque[Chunk]) -> None:
        """Give each chunk to a process of its topology, as far as there are idle ones or room for more."""
        while waiting:
            key = waiting[0].key
            idle = [worker for worker in self.workers if worker.chunk is None]
            worker = next((one for one in idle if one.serves(key)), None)
            if worker is None and len(self.workers) >= self.jobs:
                if not idle:
                    return
                self._end(idle[0])
            if worker is None:
                worker = Worker(key, waiting[0].topology, self._wanted)
                self.workers.append(worker)
            worker.give(waiting.popleft())

    def wait(self, told: Sequence[int]) -> Iterator[Came]:
        """What comes next, of whichever process."""
        poll = select.poll()
        busy = {worker.fd: worker for worker in self.workers if worker.chunk is not None}
        for fd in (*told, *busy):
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll():
            if fd in busy:
                yield from self._read(busy[fd])

    def forget(self) -> None:
        """End those that are busy."""
        for worker in [worker for worker in self.workers if worker.chunk is not None]:
            self._end(worker)

    def close(self) -> None:
        """End all of them."""
        while self.workers:
            self.workers.pop().end()

    def _read(self, worker: Worker) -> Iterator[Came]:
        chunk = worker.chunk
        assert chunk is not None
        for number, record in worker.read():
            yield Came(chunk, number, chunk.points.pop(number), record)
        if worker.dead:
            died = Died(self._end(worker))
            for number, point in chunk.points.items():
                yield Came(chunk, number, point, died)
        elif not chunk.points:
            worker.chunk = None
            self.workers.remove(worker)
            self.workers.append(worker)

    def _end(self, worker: Worker) -> str:
        self.workers.remove(worker)
        return worker.end()
