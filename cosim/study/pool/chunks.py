"""Points that go to one process together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cosim.study.pool.after_boot import boot_key
from cosim.study.pool.asked import Asked
from cosim.study.run.run import Point
from cosim.system.topology import Topology

ALONE = ""
"""The key of points that are run one after the other by one process, of whichever topologies: each boots for itself."""


@dataclass(slots=True)
class Chunk:
    """Points of topologies that boot like this one, by their numbers, that have no record yet.

    `failed` says how they died before. Those whose key is ALONE may be of several topologies.
    """

    key: str
    topology: Topology
    points: dict[int, Point] = field(default_factory=dict)
    failed: str = ""

    def told(self) -> tuple[Topology | None, list[Asked]]:
        """As another process is told of it: the topology, if the points share it, and each of them."""
        alone = self.key == ALONE
        asked = [Asked.of(number, point, whole=alone) for number, point in self.points.items()]
        return None if alone else self.topology, asked


class Feed:
    """Takes points, numbers them from 0 on, and makes chunks of those that follow one another and boot alike.

    Points of which `alone` is true make chunks whatever their topologies.
    """

    def __init__(self, points: Iterable[Point], alone: Callable[[Point], bool]) -> None:
        self._points = iter(points)
        self._alone = alone
        self._next: Point | None = None
        self._key = ""
        self._known: Topology | None = None
        self.taken = 0
        """How many points are in chunks so far."""
        self.ended = False
        self._advance()

    def chunk(self, size: int) -> Chunk:
        """The next chunk, of `size` points at most; not to be asked for once it has ended."""
        first = self._next
        assert first is not None
        chunk = Chunk(self._key, first.topology)
        while self._next is not None and self._key == chunk.key and len(chunk.points) < size:
            chunk.points[self.taken] = self._next
            self.taken += 1
            self._advance()
        return chunk

    def _advance(self) -> None:
        self._next = next(self._points, None)
        self.ended = self._next is None
        if self._next is None:
            return
        if self._alone(self._next):
            self._known, self._key = None, ALONE
        elif self._next.topology is not self._known:
            self._known = self._next.topology
            self._key = boot_key(self._known)
