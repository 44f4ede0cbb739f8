"""Who is told of what: oracles, what they keep, and what records beside them."""

from __future__ import annotations

from collections.abc import Iterable

from cosim.events import Attached, Attaching, DmaCommitted, DmaDone, IommuProbed, KernelEnded, Mapped, Unmapped
from cosim.oracles.oracle import Listener
from cosim.sim.simulation import Sim
from cosim.study.gather.failures import Failures

REACH = (Attaching, Attached, Mapped, Unmapped, IommuProbed, KernelEnded)
"""What changes where a device may go: before and after it, an access that is alike may be judged differently."""


def tell(sim: Sim, listeners: Iterable[Listener], failures: Failures | None = None) -> None:
    """From here on each of the listeners is told of what it listens to, and each event to them in their order.

    `failures` tells those who want these, if they are not to be told by themselves.
    """
    failures = failures or Failures()
    for each in listeners:
        for event, listener in each.listeners():
            if event is DmaDone and each.of_failures:
                failures.listeners.append(listener)
            else:
                sim.probe(event).watch(listener)
    sim.probe(DmaDone).watch(failures.done)
    for event in REACH:
        sim.probe(event).watch(sim.probe(DmaCommitted).forget)
