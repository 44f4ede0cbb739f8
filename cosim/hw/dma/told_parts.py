"""Telling of each time that is counted for a latency part of a request."""

from __future__ import annotations

from cosim.events import DmaSpent
from cosim.sim.clock import Clock
from cosim.sim.probe import Probe
from cosim.sim.spent import NAMES
from cosim.sim.task import Told


class ToldParts(Told):
    """Tells of the parts of a request, the `sequence`-th of device `who`, issued at `issued`.

    What is counted follows what was counted before: time passes only where a routine yields. Nobody pays for that while
    nobody watches `DmaSpent`: then a request has none.
    """

    __slots__ = ("_clock", "_sequence", "_told", "_until", "_who")

    def __init__(self, clock: Clock, told: Probe[DmaSpent], who: str, sequence: int, issued: int) -> None:
        self._clock, self._told, self._who, self._sequence = clock, told, who, sequence
        self._until = issued

    def tell(self, part: int, duration_ps: int) -> None:
        if duration_ps:
            began, self._until = self._until, self._until + duration_ps
            self._told(DmaSpent(self._clock.now, self._who, self._sequence, NAMES[part], began, duration_ps))
