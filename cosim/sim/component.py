"""Named parts of a model, and the probes through which they can be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from cosim.sim.kernel import Sim

E = TypeVar("E")


class Probe(list[Callable[[E], None]], Generic[E]):
    """Where events of one type may be seen; false while nobody watches, so that ``if probe: probe(E(...))`` is free.

    It is the list of its watchers, called in the order in which they began. Firing takes no simulated time and
    schedules nothing.
    """

    __slots__ = ()

    def __call__(self, event: E) -> None:
        for watcher in self:
            watcher(event)

    def watch(self, watcher: Callable[[E], None]) -> None:
        """Call `watcher` with each event from here on."""
        self.append(watcher)


class Component:
    """A named part of the modelled system, created complete: partners are constructor arguments.

    `path` is its place in the topology, such as ``iommu0.iotlb``; seeds and names of actions derive from it.
    """

    def __init__(self, sim: Sim, path: str) -> None:
        self.sim = sim
        self.path = path

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"
