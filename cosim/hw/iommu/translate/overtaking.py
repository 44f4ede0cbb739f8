"""What becomes of a request that an invalidation overtakes: a latitude of the specification (3.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.hw.iommu.translate.miss import Miss, Overtaken

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


class StartsAgain:
    """The request starts again, with what is in memory by then."""

    def __init__(self, sim: Sim, path: str) -> None:
        self.sim = sim
        self.path = path

    def becomes(self, miss: Miss) -> Overtaken:
        """What becomes of a request."""
        return Overtaken.AGAIN


class GoesOn(StartsAgain):
    """``latitude.walk_across_invalidation: on``: the walk is completed, and its access too before a fence is."""

    def becomes(self, miss: Miss) -> Overtaken:
        return Overtaken.ACROSS


class GoesOnAsExplored(StartsAgain):
    """Either, as the schedule says."""

    def becomes(self, miss: Miss) -> Overtaken:
        sim = self.sim
        across = sim.exploring and sim.actions.pick(f"{miss.txn.master or self.path}.across", 2) == 1
        return Overtaken.ACROSS if across else Overtaken.AGAIN


class FillsStale(StartsAgain):
    """The defect `stale_fill`: the walk is completed, and what it read before is kept in the caches."""

    def becomes(self, miss: Miss) -> Overtaken:
        return Overtaken.STALE
