"""What an IOFENCE has to wait for (3.1.2): accesses of requests that were translated, and walks that were overtaken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.sim.gate import Gate
from cosim.sim.task import Routine

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


class Epoch:
    """The time between two fences, with what began in it and is not over yet.

    `reads` and `writes` are accesses of translated requests that have not come back from memory. `stale` are requests
    that an invalidation overtook while they held entries it names: until they have let go of them.
    """

    __slots__ = ("reads", "stale", "writes")

    def __init__(self) -> None:
        self.reads = self.writes = self.stale = 0

    def holds_up(self, pr: bool, pw: bool) -> bool:
        """Whether a fence with these operands still has to wait for this epoch."""
        return bool(self.stale or (pr and self.reads) or (pw and self.writes))


class Ledger:
    """The epochs: the current one, and those that are closed by a fence and not empty yet."""

    def __init__(self, sim: Sim) -> None:
        self.current = Epoch()
        self._closed: list[Epoch] = []
        self._changed = Gate(sim, 0, "fence")

    def enter(self, write: bool) -> Epoch:
        """A request was translated and its access begins; returns what to give back to `leave`."""
        epoch = self.current
        if write:
            epoch.writes += 1
        else:
            epoch.reads += 1
        return epoch

    def leave(self, epoch: Epoch, write: bool) -> None:
        """The access that entered in `epoch` is committed."""
        if write:
            epoch.writes -= 1
        else:
            epoch.reads -= 1
        if epoch is not self.current:
            self._changed.flush()

    def hold(self) -> Epoch:
        """A request is overtaken; returns what to give back to `release`."""
        self.current.stale += 1
        return self.current

    def release(self, epoch: Epoch) -> None:
        """The request that was held in `epoch` has nothing left that is stale."""
        epoch.stale -= 1
        if epoch is not self.current:
            self._changed.flush()

    def settle(self, pr: bool, pw: bool) -> Routine:
        """Wait for all that began before now and was overtaken, and for reads (`pr`) and writes (`pw`)."""
        earlier = [epoch for epoch in [*self._closed, self.current] if epoch.holds_up(True, True)]
        self._closed, self.current = earlier, Epoch()
        while any(epoch.holds_up(pr, pw) for epoch in earlier):
            yield self._changed
