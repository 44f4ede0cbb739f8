"""A process that makes runs one after the other and is not forked but started: where others' threads forbid a fork."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from typing import NoReturn

from cosim.study.pool.alone import Alone
from cosim.study.pool.frames import HEAD, put
from cosim.study.pool.prepared import Wanted

_PROGRAM = "import sys; from cosim.study.pool.started import live; live(int(sys.argv[1]), int(sys.argv[2]))"


def start(wanted: Wanted, requests: int, answers: int, parent: int) -> int:
    """Start it, and tell it through `parent`, the other end of `requests`, what is wanted; its id.

    It leads a process group of its own, as a worker that was forked does.
    """
    child = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(requests), str(answers)],
        pass_fds=(requests, answers),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    child.returncode = 0  # whoever started it waits for it by its id
    put(parent, 0, pickle.dumps(wanted, pickle.HIGHEST_PROTOCOL))
    return child.pid


def live(requests: int, answers: int) -> NoReturn:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    size, _ = HEAD.unpack(_exactly(requests, HEAD.size))
    Alone(pickle.loads(_exactly(requests, size)), requests, answers).live()


def _exactly(fd: int, size: int) -> bytes:
    """So many bytes, and not one more: the next message is read by somebody else."""
    found = b""
    while len(found) < size:
        if not (more := os.read(fd, size - len(found))):
            os._exit(0)
        found += more
    return found
