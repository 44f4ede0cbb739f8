"""What is due, earliest first: entries, and the heap of them that the agenda has where it is compiled.

Interpreted it has tuples in a heap of Python's, which costs less there than this one; compiled it is the other way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mypy_extensions import i64

BITS: Final = 62
"""Of times and ranks: compiled they are machine words, and so is the sum of two."""
CALL: Final = 0
"""Call what a `Call` says."""
ADVANCE: Final = 1
"""Resume a routine."""
PASS: Final = 2
"""Resume a routine that a gate lets through."""
ARRIVE: Final = 3
"""Its access is at its target."""
COMMIT: Final = 4
"""Its access takes hold."""


class Entry:
    """What is due at `time`, in the order of `rank` among what is due then; `kind` says what that is."""

    __slots__ = ("kind", "rank", "time")

    def __init__(self, time: i64, rank: i64, kind: i64) -> None:
        self.time = time
        self.rank = rank
        self.kind = kind


class Call(Entry):
    """``call(argument)`` is due."""

    __slots__ = ("argument", "call")

    def __init__(self, time: i64, rank: i64, call: Callable[[Any], None], argument: object) -> None:
        super().__init__(time, rank, CALL)
        self.call = call
        self.argument = argument


class Heap:
    """A binary heap of entries, as `heapq` keeps one: `entries` is empty, or its first is due before all others."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def push(self, entry: Entry) -> None:
        """Add an entry."""
        entries, time, rank = self.entries, entry.time, entry.rank
        place: i64 = len(entries)
        entries.append(entry)
        while place > 0:
            above = (place - 1) >> 1
            other = entries[above]
            if other.time < time or (other.time == time and other.rank < rank):
                break
            entries[place] = other
            place = above
        entries[place] = entry

    def pop(self) -> Entry:
        """Take the first entry out; IndexError if there is none."""
        entries = self.entries
        last = entries.pop()
        size: i64 = len(entries)
        if not size:
            return last
        first, time, rank = entries[0], last.time, last.rank
        place: i64 = 0
        while True:
            below = 2 * place + 1
            if below >= size:
                break
            other = entries[below]
            if below + 1 < size:
                right = entries[below + 1]
                if right.time < other.time or (right.time == other.time and right.rank < other.rank):
                    below, other = below + 1, right
            if time < other.time or (time == other.time and rank < other.rank):
                break
            entries[place] = other
            place = below
        entries[place] = last
        return first


COMPILED = not hasattr(Heap.push, "__code__")
"""Whether this file is compiled."""
