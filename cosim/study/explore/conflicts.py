"""Which effects of a run may be held: those behind which, within a hold, a conflicting one took hold."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import lru_cache

from cosim.sim.actions import Taken
from cosim.sim.footprints import WORD, Every
from cosim.spec.line import LINE
from cosim.spec.page import PAGE

BLOCKS = (LINE, PAGE, PAGE << 9)
"""Bytes of what ranges of words are cut into, as far as they hold whole ones: lines, pages, megapages."""


def in_conflict(taken: Sequence[Taken], hold_ps: int) -> list[Taken]:
    """Of the effects of a run, in order, those that ask and conflict with a later one at most `hold_ps` behind them."""
    behind, found = _Behind(), []
    for each in reversed(taken):
        if each.asks and behind.conflicts(each, each.time + hold_ps):
            found.append(each)
        behind.add(each)
    return found[::-1]


class _Nearest:
    """Of the effects behind a place that touch one thing, the nearest, and the nearest of another owner than its."""

    __slots__ = ("first", "second")

    def __init__(self, first: Taken) -> None:
        self.first = first
        self.second: Taken | None = None

    def add(self, one: Taken) -> None:
        """There is one that is nearer than all others."""
        if one.owner != self.first.owner:
            self.second = self.first
        self.first = one

    def time(self, owner: str) -> int | None:
        """When the nearest comes that is not of `owner`."""
        other = self.first if self.first.owner != owner else self.second
        return None if other is None else other.time


class _Touched:
    """The nearest effects behind a place, of all that touch a thing, and of those that change it, by thing."""

    def __init__(self) -> None:
        self._any: dict[Hashable, _Nearest] = {}
        self._changing: dict[Hashable, _Nearest] = {}

    def add(self, thing: Hashable, one: Taken) -> None:
        """An effect touches `thing`, nearer than all others."""
        for found in (self._any, self._changing) if one.changes else (self._any,):
            if (nearest := found.get(thing)) is None:
                found[thing] = _Nearest(one)
            else:
                nearest.add(one)

    def conflicts(self, thing: Hashable, one: Taken, until: int) -> bool:
        """Whether an effect of another owner touches `thing` up to a time, and one of the two changes it."""
        nearest = (self._any if one.changes else self._changing).get(thing)
        time = None if nearest is None else nearest.time(one.owner)
        return time is not None and time <= until


class _Behind:
    """What is behind a place in a run, which goes from its end to its beginning.

    A key that stands for many others, an `Every` or a block of memory, is a *whole*. A key has names, of which each is
    that of a whole which it belongs to: so those that meet it are the same key, the wholes that it belongs to, and,
    if it is one itself, all that belong to it. Each effect costs about the same, however many there are.
    """

    def __init__(self) -> None:
        self._keys = _Touched()
        self._wholes = _Touched()
        self._parts = _Touched()
        """By the whole that they belong to, which may be themselves."""

    def add(self, one: Taken) -> None:
        """An effect is nearer than all others."""
        for key in one.footprint:
            for piece in _pieces(key):
                (self._wholes if isinstance(piece, Every) else self._keys).add(piece, one)
                for whole in _wholes(piece):
                    self._parts.add(whole, one)

    def conflicts(self, one: Taken, until: int) -> bool:
        """Whether an effect conflicts with one behind it, up to a time."""
        return any(self._met(piece, one, until) for key in one.footprint for piece in _pieces(key))

    def _met(self, piece: Hashable, one: Taken, until: int) -> bool:
        here = self._parts if isinstance(piece, Every) else self._keys
        return here.conflicts(piece, one, until) or any(
            self._wholes.conflicts(whole, one, until) for whole in _wholes(piece)
        )


def _pieces(key: Hashable) -> Iterable[Hashable]:
    """A range of words as blocks and words, each of which it holds whole; any other key as it is."""
    return _cut(key.start, key.stop, len(BLOCKS)) if isinstance(key, range) else (key,)


def _cut(first: int, end: int, level: int) -> Iterator[Hashable]:
    if not level:
        yield from range(first, end, WORD)
        return
    size = BLOCKS[level - 1]
    inside, behind = -(-first // size), end // size
    if inside >= behind:
        yield from _cut(first, end, level - 1)
        return
    yield from _cut(first, inside * size, level - 1)
    for block in range(inside, behind):
        yield Every(size, block)
    yield from _cut(behind * size, end, level - 1)


@lru_cache(maxsize=1 << 16)
def _wholes(piece: Hashable) -> tuple[Every, ...]:
    """What a word, a block or a name belongs to; a whole belongs to itself, too."""
    if isinstance(piece, int):
        return tuple(Every(size, piece // size) for size in BLOCKS)
    names = piece.names if isinstance(piece, Every) else piece
    if not isinstance(names, tuple):
        return ()
    if isinstance(names[0], int):
        size, block = names
        return tuple(Every(larger, size * block // larger) for larger in BLOCKS if larger >= size)
    return tuple(Every(*names[:length]) for length in range(len(names) + 1))
