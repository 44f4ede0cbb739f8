"""An oracle, over a simulation that a test builds itself."""

from __future__ import annotations

from cosim.oracles import Book, Bounds, Oracle, Violation
from cosim.sim.simulation import Sim


def watching(sim: Sim, oracle: type[Oracle], bounds: Bounds | None = None) -> list[Violation]:
    """What `oracle` finds in `sim` from here on."""
    found: list[Violation] = []
    books: dict[type[Book], Book] = {}
    made = oracle(found.append, bounds or Bounds(), books)
    for each in (*books.values(), made):
        for event, listener in each.listeners():
            sim.probe(event).watch(listener)
    return found


def signatures(found: list[Violation]) -> set[str]:
    return {violation.signature for violation in found}
