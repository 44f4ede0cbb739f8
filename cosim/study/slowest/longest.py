"""The longest of many, of which only those are kept."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush, heapreplace

from cosim.study.slowest.slow import Slow


class Longest:
    """The `count` longest that were offered; of equally long ones, the earlier."""

    __slots__ = ("_count", "_heap", "_offered")

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[tuple[int, int, Slow]] = []
        self._offered = 0

    def offer(self, ps: int, describe: Callable[[], Slow]) -> None:
        """Keep what `describe` says if it is among the longest, of `ps` picoseconds."""
        self._offered += 1
        if len(self._heap) < self._count:
            heappush(self._heap, (ps, -self._offered, describe()))
        elif ps > self._heap[0][0]:
            heapreplace(self._heap, (ps, -self._offered, describe()))

    def found(self) -> tuple[Slow, ...]:
        """The longest first."""
        return tuple(slow for _, _, slow in sorted(self._heap, key=lambda each: (-each[0], -each[1])))
