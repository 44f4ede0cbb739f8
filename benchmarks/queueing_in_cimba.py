"""The queueing model of `alternatives.py` for cimba, which compiles what stands in a file that has imported it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cimba

if TYPE_CHECKING:
    from alternatives import Times

SLOTS = 32
"""How many requests are under way; it has to be known when the model is compiled."""


class Queueing(cimba.Model):  # type: ignore[misc]
    """Times are picoseconds."""

    link: cimba.Param[float] = 0.0
    interval: cimba.Param[float] = 0.0
    rest: cimba.Param[float] = 0.0
    hop: cimba.Param[float] = 0.0
    memory: cimba.Param[float] = 0.0
    lookup: cimba.Resource
    ended: cimba.Output[int]

    @cimba.process(copies=SLOTS)  # type: ignore[untyped-decorator]
    def slot(self) -> None:
        while True:
            cimba.hold(self.link)
            self.lookup.acquire()
            cimba.hold(self.interval)
            self.lookup.release()
            cimba.hold(self.rest)
            cimba.hold(self.hop)
            cimba.hold(self.memory)
            cimba.hold(self.hop)
            cimba.hold(self.link)
            self.ended += 1


def experiment(slots: int, times: Times) -> Callable[[], int]:
    """What runs the model once, and tells how many requests end."""
    assert slots == SLOTS
    model: Any = Queueing()
    model.link, model.interval, model.rest = times.link, times.interval, times.lookup - times.interval
    model.hop, model.memory = times.hop, times.memory
    window = cimba.Window(duration=float(times.duration))
    made = cimba.Experiment(model, replications=1, window=window, seed=1)
    return lambda: int(made.run()[model].ended.values[0, 0])
