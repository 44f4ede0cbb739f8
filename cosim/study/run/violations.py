"""What the oracles find in a run."""

from __future__ import annotations

from cosim.oracles import ORACLES, Violation
from cosim.sim.simulation import Sim

KEPT = 1000
"""As many violations are kept, the first ones; all are counted."""


class Violations:
    """The first violations in `kept`, and how many there were; every oracle watches."""

    __slots__ = ("count", "kept")

    def __init__(self, sim: Sim) -> None:
        self.count = 0
        self.kept: list[Violation] = []
        for oracle in ORACLES.values():
            for event, listener in oracle(self._violated).listeners():
                sim.probe(event).watch(listener)

    def _violated(self, violation: Violation) -> None:
        self.count += 1
        if len(self.kept) < KEPT:
            self.kept.append(violation)
