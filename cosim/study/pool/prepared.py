"""A process that has booted a topology, and what it prepares, and forks children which make runs of it.

```
parent            this process                   a child
------            ------------                   -------
points   ------>  boot, prepare: as many
                  systems as points come at once
                  fork --------------------->    of each system, the one that booted last first:
                  waits                          follows the schedule of the next point
                  passes on what comes   <------ runs to the end: its record
records  <------                         ------> goes on with the next system; after the last point, ends
```

The fork happens inside of the event that ends boot, so that a child is, to the last word of memory, the process that
would have come so far alone. What a child writes to is copied for it, code that it runs included, which costs more than
many a run: so one child makes several runs, each in a system of its own. Their boots lie inside of one another: at the
end of one's boot the next one boots, and when that has run to its end in a child, the first goes on there.

Where boot does not come to its end, or each run is wanted from its beginning, children are forked before anything has
happened, and make one run each. A child may have another seed, if nobody has drawn anything before the end of boot;
else it makes its run from the beginning. What takes effect later (`after_boot`) may be another one, too.
"""

from __future__ import annotations

import gc
import math
import os
import pickle
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import NoReturn

from cosim.sim.simulation import Sim
from cosim.study.pool.asked import Asked, Died, Wanted, exit_code, how_it_died
from cosim.study.pool.frames import Frames, put
from cosim.study.pool.record import Record
from cosim.study.pool.whole_run import Booted, alarm_in, failed, finished, flush, import_once, limited
from cosim.study.run.run import Point
from cosim.system.topology import Topology

FORK_S = 0.01
"""About what a fork costs this computer, in seconds, with the pages that are copied."""
SOME = 24
"""At least so many points are taken to come, of which nobody knows."""
NESTED = 50
"""So many more calls may be under way for each boot that lies inside of another: it takes some 20."""


class Child:
    """What a child has of the process that has forked it: where records go, and whence it hears that one has come."""

    def __init__(self, records: int, heard: int) -> None:
        self._records = records
        self._heard = heard

    def tell(self, number: int, record: Record, *, last: bool) -> None:
        """Send the record of a point. Nothing follows before it was passed on, since what follows may end both."""
        flush()  # as soon as the last record has come, all processes may be ended
        put(self._records, number, pickle.dumps(record, pickle.HIGHEST_PROTOCOL))
        if last or not os.read(self._heard, 1):
            os._exit(0)


class Prepared:
    """The process; `requests` and `answers` are its ends of two pipes."""

    def __init__(self, topology: Topology, wanted: Wanted, requests: int, answers: int) -> None:
        self._topology = topology
        self._wanted = wanted
        self._fds = (requests, answers)
        self._requests = Frames(requests)
        self._asked: deque[Asked] = deque()
        """The points that are asked for and have no record yet; in a child, those that it is to run."""
        self._systems: list[Booted] = []
        """All that have booted: they are kept, so that nothing of one which has come to its end is undone."""
        self._boot_s = 0.0
        self._told = 0
        self._child: Child | None = None
        """In a child, its end; in the process itself there is no such thing."""

    def live(self) -> NoReturn:
        """Do what the parent asks for until it closes its end; a child ends with its last record."""
        if self._wanted.results:
            import_once()
        if not self._wanted.anew:
            self._boot()
        if not self._child:
            self._serve()
        while True:
            self._answer(lambda: finished(self._asked[0].point(self._topology), self._wanted))

    def _boot(self) -> None:
        """Boot a system; in a child, make the run of a point and tell of it.

        The process itself returns from here only if boot has not come to its end.
        """
        begun = time.process_time()
        system: Booted

        def at_end(sim: Sim) -> Point:
            self._boot_s = time.process_time() - begun
            self._systems.append(system)
            self._serve()
            return self._next(sim)

        def record() -> Record:
            nonlocal system
            system = Booted(Point(self._topology), self._wanted, at_end)
            return system.record()

        with limited(self._wanted.host_limit):
            self._answer(record)

    def _serve(self) -> None:
        """Fork children for the points that are asked for; returns in each child, and in no other process."""
        alarm_in(0)
        gc.collect()
        gc.freeze()  # a collection writes into what it looks at, and so would copy it into each child
        while self._asked or self._hear():
            if self._another_pays():
                sys.setrecursionlimit(sys.getrecursionlimit() + NESTED)
                self._boot()
                if not self._child:
                    self._boot_s = math.inf  # what has booted once does not boot again
            else:
                self._fork(max(1, len(self._systems)))
            if self._child:
                return
        os._exit(0)

    def _hear(self) -> bool:
        """Wait for points; false if none will come any more."""
        come = self._requests.wait()
        for _, data in come:
            self._asked += pickle.loads(data)
        return bool(come)

    def _another_pays(self) -> bool:
        """Whether one more system costs less than it saves of forks, if as many points come as came so far, and some.

        Of n systems in each child, n boots and 1 / n of a fork for each point cost least if both are equal.
        """
        systems = len(self._systems)
        points = self._told + len(self._asked) + SOME
        return 0 < systems < len(self._asked) and systems**2 * self._boot_s < points * FORK_S

    def _next(self, sim: Sim) -> Point:
        """In a child, the point that the system which has booted is to run; without one, it ends.

        Those for which boot would have been another one, with their seed, are run from their beginning.
        """
        while self._asked:
            point = self._asked[0].point(self._topology)
            if point.topology.run.seed == sim.chooser.seed or sim.chooser.untouched:
                alarm_in(self._wanted.host_limit)
                return point
            self._answer(lambda: finished(self._asked[0].point(self._topology), self._wanted))
        os._exit(0)

    def _answer(self, work: Callable[[], Record]) -> None:
        """In a child, send the record of the next point. An exception of the process itself is left to children."""
        try:
            record = work()
        except SystemExit as end:
            if not self._child:
                return
            os._exit(exit_code(end))
        except BaseException as error:
            record = failed(error)
        if self._child:
            self._child.tell(self._asked.popleft().number, record, last=not self._asked)

    # --- Children ----------------------------------------------------------------------------------------------------

    def _fork(self, most: int) -> None:
        """Have a child run the next points; returns in the child, and when it has ended."""
        records, writing = os.pipe()
        heard, hears = os.pipe()
        flush()
        pid = os.fork()
        if not pid:
            for fd in (records, hears, *self._fds):  # so that the parent sees it when this process alone has died
                os.close(fd)
            self._child = Child(writing, heard)
            self._asked = deque(islice(self._asked, most))
            return
        os.close(writing)
        os.close(heard)
        left = len(self._asked) - most
        try:
            self._pass_on(records, hears, pid)
            _, status = os.waitpid(pid, 0)
            if len(self._asked) > max(0, left):
                put(self._fds[1], self._asked.popleft().number, pickle.dumps(Died(how_it_died(status))))
        except BrokenPipeError:  # nobody waits for it any more
            os._exit(0)
        os.close(records)
        os.close(hears)

    def _pass_on(self, records: int, hears: int, child: int) -> None:
        """Pass on what a child has to say, until it ends; BrokenPipeError if the parent has gone meanwhile."""
        frames = Frames(records)
        poll = select.poll()
        poll.register(records, select.POLLIN)
        poll.register(self._fds[0], 0)  # tells of its other end alone
        while not frames.ended:
            for fd, event in poll.poll():
                if fd == records:
                    frames.read()
                elif event & (select.POLLHUP | select.POLLERR):
                    os.kill(child, signal.SIGKILL)
                    raise BrokenPipeError
            for number, record in frames.take():
                put(self._fds[1], number, record)
                self._asked.popleft()
                self._told += 1
                with suppress(BrokenPipeError):
                    os.write(hears, b"!")
