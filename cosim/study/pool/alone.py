"""A process that makes one run after the other, each from its beginning, and of whichever topology it is told."""

from __future__ import annotations

import gc
import os
import pickle
from typing import NoReturn

from cosim.study.pool.asked import Asked, Wanted
from cosim.study.pool.frames import Frames, put
from cosim.study.pool.record import Record
from cosim.study.pool.whole_run import failed, finished, flush, import_once


class Alone:
    """The process; `requests` and `answers` are its ends of two pipes.

    A run that raises an exception, or takes too long, has failed, and the next one begins anew. A run that takes the
    process with it has died like any other: its parent sees that.
    """

    def __init__(self, wanted: Wanted, requests: int, answers: int) -> None:
        self._wanted = wanted
        self._requests = Frames(requests)
        self._answers = answers

    def live(self) -> NoReturn:
        """Do what the parent asks for until it closes its end."""
        import_once()
        gc.freeze()
        try:
            while asked := self._requests.wait():
                for _, data in asked:
                    for each in pickle.loads(data):
                        put(self._answers, each.number, pickle.dumps(self._record(each), pickle.HIGHEST_PROTOCOL))
        except BrokenPipeError:  # nobody waits for it any more
            pass
        flush()
        os._exit(0)

    def _record(self, asked: Asked) -> Record:
        try:
            return finished(asked.point(), self._wanted)
        except Exception as error:
            return failed(error)
