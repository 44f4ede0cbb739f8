"""A process that is not forked but started, where others' threads forbid a fork. It has none, and forks as it likes."""

from __future__ import annotations

import os
import pickle
import signal
from typing import NoReturn

from cosim.study.pool.asked import Asked, Wanted
from cosim.study.pool.frames import HEAD, Frames, put
from cosim.study.pool.pool import Pool
from cosim.study.pool.whole_run import flush, import_once
from cosim.system.topology import Topology


def live(requests: int, answers: int) -> NoReturn:
    """What the process does: it has a pool of one, which makes each chunk, until its parent closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    size, _ = HEAD.unpack(_exactly(requests, HEAD.size))
    wanted: Wanted = pickle.loads(_exactly(requests, size))
    import_once()
    frames = Frames(requests)
    with Pool(1, signals=(), parent=requests, **wanted.as_arguments()) as pool:
        try:
            while not pool.interrupted and (told := frames.wait()):
                for _, data in told:
                    topology, asked = pickle.loads(data)
                    _make(pool, topology, asked, answers)
        except BrokenPipeError:  # nobody waits for it any more
            pass
    flush()
    os._exit(0)


def _make(pool: Pool, topology: Topology | None, asked: list[Asked], answers: int) -> None:
    points = [each.point(topology) for each in asked]
    coming = pool.runs(points, alone=lambda _: topology is None)
    for each, (_, record) in zip(asked, coming, strict=False):
        put(answers, each.number, pickle.dumps(record, pickle.HIGHEST_PROTOCOL))


def _exactly(fd: int, size: int) -> bytes:
    """So many bytes, and not one more: the next message is read by somebody else."""
    found = b""
    while len(found) < size:
        if not (more := os.read(fd, size - len(found))):
            os._exit(0)
        found += more
    return found
