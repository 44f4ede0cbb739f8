"""A last-level cache in front of a memory, of which only the time is modelled: the memory's words are always right."""

from __future__ import annotations

from cosim.spec.line import lines_of


class LineCache:
    """Which lines a cache holds: those used last. Counters: `hits` and `misses`, of reads."""

    __slots__ = ("_held", "_lines", "hits", "misses")

    def __init__(self, lines: int) -> None:
        self.hits = self.misses = 0
        self._lines = lines
        self._held: dict[int, None] = {}
        """By address, the line that was used longest ago first."""

    def read(self, address: int, size: int) -> bool:
        """Whether all of these bytes are held; from now on they are."""
        there = self._held
        hit = all(line in there for line in lines_of(address, size))
        if hit:
            self.hits += 1
        else:
            self.misses += 1
        self.use(address, size)
        return hit

    def use(self, address: int, size: int) -> None:
        """Hold the lines of these bytes from now on, in place of those that were used longest ago."""
        held = self._held
        for line in lines_of(address, size):
            held.pop(line, None)
            held[line] = None
        while len(held) > self._lines:
            del held[next(iter(held))]
