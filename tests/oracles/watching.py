"""An oracle, over a simulation that a test builds itself."""

from __future__ import annotations

from cosim.oracles import Bounds, Oracle, Violation
from cosim.sim.simulation import Sim
from cosim.study.run.violations import Violations


def watching(sim: Sim, oracle: type[Oracle], bounds: Bounds | None = None) -> list[Violation]:
    """What `oracle` finds in `sim` from here on."""
    return Violations(sim, bounds or Bounds(), [oracle]).kept


def signatures(found: list[Violation]) -> set[str]:
    return {violation.signature for violation in found}
