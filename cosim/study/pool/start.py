"""Starts a process that makes runs, where others' threads forbid a fork."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading

from cosim.study.pool.asked import Wanted
from cosim.study.pool.frames import put

_PROGRAM = "import sys; from cosim.study.pool.started import live; live(int(sys.argv[1]), int(sys.argv[2]))"


def start(wanted: Wanted, requests: int, answers: int, parent: int) -> int:
    """Start it, and tell it through `parent`, the other end of `requests`, what is wanted; its id.

    It leads a process group of its own, as a worker that was forked does. Raises RuntimeError if what is wanted cannot
    be told.
    """
    try:
        data = pickle.dumps(wanted, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        others = ", ".join(one.name for one in threading.enumerate() if one is not threading.current_thread())
        raise RuntimeError(
            f"other threads run in this process ({others}), and a fork would leave behind what they hold; a process "
            f"that is started instead cannot be told what to call: {error}"
        ) from None
    child = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(requests), str(answers)],
        pass_fds=(requests, answers),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        env={"OPENBLAS_NUM_THREADS": "1", **os.environ},  # a process that forks has no threads
    )
    child.returncode = 0  # whoever started it waits for it by its id
    put(parent, 0, data)
    return child.pid
