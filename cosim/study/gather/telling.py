"""Who is told of what: oracles, what they keep, and what records beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from cosim.events import Attached, Attaching, DmaCommitted, DmaDone, Mapped, Unmapped
from cosim.oracles.oracle import Listener
from cosim.sim.simulation import Sim

REACH = (Attaching, Attached, Mapped, Unmapped)
"""What changes where a device may go: before and after it, an access that is alike may be judged differently."""


def tell(sim: Sim, listeners: Iterable[Listener]) -> None:
    """From here on each of the listeners is told of what it listens to, and each event to them in their order."""
    failures: list[Callable[[DmaDone], None]] = []
    for each in listeners:
        for event, listener in each.listeners():
            if event is DmaDone and each.of_failures:
                failures.append(listener)
            else:
                sim.probe(event).watch(listener)
    if failures:
        sim.probe(DmaDone).watch(Failures(failures).done)
    for event in REACH:
        sim.probe(event).watch(sim.probe(DmaCommitted).forget)


class Failures:
    """Tells of each request that has failed, and of the first one of its device that has not, after such."""

    __slots__ = ("_failing", "_listeners")

    def __init__(self, listeners: Sequence[Callable[[DmaDone], None]]) -> None:
        self._listeners = listeners
        self._failing: set[str] = set()

    def done(self, event: DmaDone) -> None:
        """A request is over."""
        if event.status != "SUCCESS":
            self._failing.add(event.who)
        elif self._failing and event.who in self._failing:
            self._failing.discard(event.who)
        else:
            return
        for listener in self._listeners:
            listener(event)
