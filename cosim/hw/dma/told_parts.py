"""Latency parts of a request that tell of each time that is counted for them."""

from __future__ import annotations

from cosim.events import DmaSpent
from cosim.sim.clock import Clock
from cosim.sim.probe import Probe


class ToldParts(dict[str, int]):
    """The parts of a request, the `sequence`-th of device `who`, issued at `issued`, while somebody watches `DmaSpent`.

    What is counted follows what was counted before: time passes only where a routine yields. Nobody pays for that who
    does not watch: then parts are a plain dict.
    """

    __slots__ = ("_clock", "_sequence", "_told", "_until", "_who")

    def __init__(self, clock: Clock, told: Probe[DmaSpent], who: str, sequence: int, issued: int) -> None:
        self._clock, self._told, self._who, self._sequence = clock, told, who, sequence
        self._until = issued

    def __setitem__(self, part: str, total: int) -> None:
        ps = total - self.get(part, 0)
        super().__setitem__(part, total)
        if ps:
            began, self._until = self._until, self._until + ps
            self._told(DmaSpent(self._clock.now, self._who, self._sequence, part, began, ps))
