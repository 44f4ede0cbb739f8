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

    __slots__ = ("below", "beside", "kind", "rank", "time")

    def __init__(self, time: i64, rank: i64, kind: i64) -> None:
        self.time = time
        self.rank = rank
        self.kind = kind
        self.below: Entry | None = None
        """In a heap: the first of those that it is due before."""
        self.beside: Entry | None = None
        """In a heap: the next of those."""


class Call(Entry):
    """``call(argument)`` is due."""

    __slots__ = ("argument", "call")

    def __init__(self, time: i64, rank: i64, call: Callable[[Any], None], argument: object) -> None:
        super().__init__(time, rank, CALL)
        self.call = call
        self.argument = argument


class Heap:
    """A pairing heap: `first` is due before all others, which are below it. Entries link one another, so that nothing
    is made or moved for them.

    ```
    first             push: the later of two goes below the earlier      pop: those below are merged in pairs, from the
      |                                                                  first on, and the pairs from the last on
      a - b - c
      |   |
      d   e - f
    ```
    """

    __slots__ = ("first",)

    def __init__(self) -> None:
        self.first: Entry | None = None

    def push(self, entry: Entry) -> None:
        """Add an entry."""
        first = self.first
        self.first = entry if first is None else _merged(first, entry)

    def pop(self) -> Entry:
        """Take the first entry out; IndexError if there is none."""
        first = self.first
        if first is None:
            raise IndexError("nothing is due")
        left, first.below = first.below, None
        pairs: Entry | None = None
        while left is not None:
            one, other = left, left.beside
            if other is None:
                left = None
            else:
                left, one.beside, other.beside = other.beside, None, None
                one = _merged(one, other)
            one.beside = pairs
            pairs = one
        merged = pairs
        if merged is not None:
            left, merged.beside = merged.beside, None
            while left is not None:
                one = left
                left, one.beside = one.beside, None
                merged = _merged(merged, one)
        self.first = merged
        return first


def _merged(one: Entry, other: Entry) -> Entry:
    """The one of the two that is due first, with the other below it; neither has any beside it."""
    if other.time < one.time or (other.time == one.time and other.rank < one.rank):
        one, other = other, one
    other.beside = one.below
    one.below = other
    return one


COMPILED = not hasattr(Heap.push, "__code__")
"""Whether this file is compiled."""
