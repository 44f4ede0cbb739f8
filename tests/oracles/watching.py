"""An oracle, over a simulation that a test builds itself."""

from __future__ import annotations

from cosim.oracles import Bounds, Oracle, Violation
from cosim.sim.simulation import Sim


def watching(sim: Sim, oracle: type[Oracle], bounds: Bounds | None = None) -> list[Violation]:
    """What `oracle` finds in `sim` from here on."""
    found: list[Violation] = []
    for event, listener in oracle(found.append, bounds or Bounds()).listeners():
        sim.probe(event).watch(listener)
    return found


def signatures(found: list[Violation]) -> set[str]:
    return {violation.signature for violation in found}
