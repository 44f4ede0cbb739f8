"""A process that makes runs of one topology, as its parent sees it."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import traceback
from contextlib import suppress
from typing import NoReturn

from cosim.study.pool.alone import Alone
from cosim.study.pool.asked import Died, Wanted, exit_code, how_it_died
from cosim.study.pool.chunks import ALONE, Chunk
from cosim.study.pool.frames import Frames, put
from cosim.study.pool.prepared import Prepared
from cosim.study.pool.record import Record
from cosim.study.pool.start import start
from cosim.study.pool.whole_run import flush
from cosim.system.topology import Topology

_OURS: set[int] = set()
"""The ends of pipes that belong to this process alone: a worker that kept one open would hide that another has died."""

RESTORED = (signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD)
"""Signals that a worker does not answer as its parent does; Ctrl-C is the parent's alone."""


class Worker:
    """*Idle*, or *busy* with a `chunk`, until it is ended or has died. It leads a process group of its own.

    Forked, it makes runs of one topology, or one after the other of any; started, where other threads run in this
    process, it makes any.
    """

    def __init__(self, key: str, topology: Topology, wanted: Wanted) -> None:
        self.key = key
        self._started = threading.active_count() > 1
        self.chunk: Chunk | None = None
        requests, self._requests = os.pipe()
        self.fd, answers = os.pipe()
        flush()
        if self._started:
            try:
                self.pid = start(wanted, requests, answers, self._requests)
            except RuntimeError:
                for fd in (requests, self._requests, self.fd, answers):
                    os.close(fd)
                raise
        else:
            self.pid = os.fork()
        if not self.pid:
            one = Alone(wanted, requests, answers) if key == ALONE else Prepared(topology, wanted, requests, answers)
            _live(one, {self._requests, self.fd, *_OURS})
        with suppress(OSError):  # whichever of the two is first; one that was started has done so
            os.setpgid(self.pid, self.pid)
        os.close(requests)
        os.close(answers)
        _OURS.update((self._requests, self.fd))
        self._frames = Frames(self.fd)

    def serves(self, key: str) -> bool:
        """Whether it can make runs of chunks with this key."""
        return self._started or self.key == key

    def give(self, chunk: Chunk) -> None:
        """Have the points of a chunk run. If the process has died, `read` will tell."""
        self.chunk = chunk
        topology, asked = chunk.told()
        with suppress(BrokenPipeError):
            put(self._requests, 0, pickle.dumps((topology, asked) if self._started else asked, pickle.HIGHEST_PROTOCOL))

    def read(self) -> list[tuple[int, Record | Died]]:
        """What has come since, by the numbers of points; waits if there is nothing."""
        self._frames.read()
        return [(number, pickle.loads(data)) for number, data in self._frames.take()]

    @property
    def dead(self) -> bool:
        """Whether the process has ended by itself."""
        return self._frames.ended

    def end(self) -> str:
        """End the process, and what it has forked; how it has died, if that was before."""
        with suppress(ProcessLookupError, PermissionError):  # it has ended already
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        for fd in (self._requests, self.fd):
            os.close(fd)
            _OURS.discard(fd)
        return how_it_died(status)


def _live(process: Prepared | Alone, ours: set[int]) -> NoReturn:
    """What the forked process does: nothing of its parent's goes on in it."""
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        for fd in ours:
            os.close(fd)
        gc.freeze()
        process.live()
    except SystemExit as end:
        os._exit(exit_code(end))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
