"""Which threads have failed in what they do."""

from __future__ import annotations

from collections import Counter

from cosim.events import RoundFailed
from cosim.sim.simulation import Sim


class FailedRounds:
    """How many rounds of each thread have failed, by thread and errno."""

    __slots__ = ("counts",)

    def __init__(self, sim: Sim) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        sim.probe(RoundFailed).watch(self._failed)

    def _failed(self, event: RoundFailed) -> None:
        self.counts[event.who, event.error] += 1
