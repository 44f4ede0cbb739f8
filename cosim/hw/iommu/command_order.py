"""In which order commands are carried out between fences: a latitude (3.1 "Command-Queue (CQ)")."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.stream import Stream
from cosim.sim.task import Routine

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

AHEAD = 8
"""How many commands may be under way at once where they execute out of order."""


class InOrder:
    """One invalidation after the other; `cqh` passes each when it has been carried out."""

    apart = False
    """Whether `cqh` passes a command apart from its execution."""

    def __init__(self, sim: Sim, path: str, longest_ps: int) -> None:
        self.sim = sim
        self.path = path
        self.longest_ps = longest_ps
        """The longest that one is held back at random."""
        self.stream: Stream = sim.chooser.stream(f"{path}.order")
        self.finished = Gate(sim, 0, "queue")
        """Open while no command that `cqh` has passed is still under way."""
        self.finished.open()

    def carry_out(self, invalidate: Routine, advance: Callable[[], None]) -> Routine:
        """Have an invalidation carried out, and `cqh` moved past it."""
        yield from invalidate
        advance()


class OutOfOrderAsExplored(InOrder):
    """`cqh` passes an invalidation when it is decoded; up to 8 are carried out at once, as the schedule lets them."""

    apart = True

    def __init__(self, sim: Sim, path: str, longest_ps: int) -> None:
        super().__init__(sim, path, longest_ps)
        self._units = Gate(sim, AHEAD, "queue")
        self._under_way = 0

    def carry_out(self, invalidate: Routine, advance: Callable[[], None]) -> Routine:
        yield self._units
        advance()
        self._under_way += 1
        self.finished.shut()
        self.sim.start(self._apart(invalidate), self.sim.initiator(self.path).rank(Stage.COMMAND))

    def _apart(self, invalidate: Routine) -> Routine:
        yield from invalidate
        self._units.release()
        self._under_way -= 1
        if not self._under_way:
            self.finished.open()


class OutOfOrder(OutOfOrderAsExplored):
    """The same, each after a while of its own."""

    def _apart(self, invalidate: Routine) -> Routine:
        yield Server(0, "queue", latency_ps=self.stream.below(self.longest_ps + 1))
        yield from super()._apart(invalidate)
