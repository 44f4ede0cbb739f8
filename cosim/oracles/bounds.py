"""What an oracle knows beside events: how long what it waits for may take, and what the IOMMUs of a topology can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cosim.spec.registers import Capabilities


@dataclass(frozen=True, slots=True)
class Bounds:
    """The longest that each of these may take, in picoseconds; without arguments, a system in which nothing does.

    Each holds however a schedule holds actions. It follows from a topology and a schedule.
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
    capabilities: Mapping[str, Capabilities] = field(default_factory=dict, hash=False)
    """What each IOMMU can do, by its name."""

    def held(self, hold_ps: int) -> Bounds:
        """The same where a schedule may hold actions for so long in all."""
        return replace(
            self,
            store_ps=self.store_ps + hold_ps,
            answer_ps=self.answer_ps + hold_ps,
            call_ps=self.call_ps + hold_ps,
        )
