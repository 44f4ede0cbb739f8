"""How long what an oracle waits for may take: plain numbers that follow from a topology and a schedule."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Bounds:
    """The longest that each of these may take, in picoseconds; without arguments, a system in which nothing does.

    Each holds however a schedule holds actions.
    """

    store_ps: int = 0
    """From a store's issue by a CPU until it takes hold."""
    answer_ps: int = 0
    """From the moment at which a walk's read takes hold until the requests that wait for the walk go on."""
    call_ps: int = 0
    """From one call's beginning or return to the next by the same thread, while it is waiting for hardware."""
    deferred_ps: int = 0
    """From an unmap that waits for a common flush until the timer for that is due."""
    deferred: int = 256
    """Entries of a CPU's queue of such unmaps, one of which stays unused."""

    def held(self, hold_ps: int) -> Bounds:
        """The same where a schedule may hold actions for so long in all."""
        return replace(
            self,
            store_ps=self.store_ps + hold_ps,
            answer_ps=self.answer_ps + hold_ps,
            call_ps=self.call_ps + hold_ps,
        )
