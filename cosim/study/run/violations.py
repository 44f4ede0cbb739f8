"""What the oracles find in a run."""

from __future__ import annotations

from collections import Counter

from cosim.oracles import ORACLES, Bounds, Violation
from cosim.sim.simulation import Sim

KEPT = 1000
"""As many violations are kept, the first ones, and the first one of each signature; all are counted."""


class Violations:
    """The first violations in `kept`, and how many there were of each signature; every oracle watches."""

    __slots__ = ("kept", "signatures")

    def __init__(self, sim: Sim, bounds: Bounds) -> None:
        self.kept: list[Violation] = []
        self.signatures: Counter[str] = Counter()
        for oracle in ORACLES.values():
            for event, listener in oracle(self._violated, bounds).listeners():
                sim.probe(event).watch(listener)

    @property
    def count(self) -> int:
        """How many violations there were."""
        return self.signatures.total()

    def _violated(self, violation: Violation) -> None:
        if len(self.kept) < KEPT or violation.signature not in self.signatures:
            self.kept.append(violation)
        self.signatures[violation.signature] += 1
