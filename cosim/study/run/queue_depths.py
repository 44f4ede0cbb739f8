"""How deep the queues in memory were."""

from __future__ import annotations

from collections.abc import Iterable

from cosim.events import QueueDepth
from cosim.sim.simulation import Sim
from cosim.study.run.window import Window


class QueueDepths:
    """The depth of each queue, and the largest since the window opened."""

    __slots__ = ("_deepest", "_depth")

    def __init__(self, sim: Sim, window: Window) -> None:
        self._depth: dict[str, int] = {}
        self._deepest: dict[str, int] = {}
        sim.probe(QueueDepth).watch(self._changed)
        window.on_open.append(self._opened)

    def deepest(self, queues: Iterable[str]) -> dict[str, int]:
        """The largest depth of each of `queues`, such as ``iommu0.cq.depth_max``; 0 of one that was never told of."""
        return {f"{path}.depth_max": self._deepest.get(path, 0) for path in queues}

    def _opened(self) -> None:
        self._deepest = dict(self._depth)

    def _changed(self, event: QueueDepth) -> None:
        self._depth[event.who] = event.depth
        if event.depth > self._deepest.get(event.who, 0):
            self._deepest[event.who] = event.depth
