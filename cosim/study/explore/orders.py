"""The partial order of a run: in which order its conflicting effects took hold, whatever the times were.

Two runs with equal partial orders show the same of every property that no time decides (Mazurkiewicz traces).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence

from cosim.sim.actions import Taken
from cosim.sim.footprints import WORD, Every

_BYTES = 8


def order_of(taken: Sequence[Taken]) -> int:
    """A number that is equal for equal partial orders.

    Of each effect it takes in, for every other owner, the last earlier effect that conflicts: what is before that one
    is in that owner's own order.
    """
    accesses, changes = _Last(), _Last()
    mixed = 0
    for each in taken:
        before: dict[str, tuple[int, str]] = {}
        for key in _keys(each):
            for last in (accesses if each.changes else changes).touching(key):
                for owner, found in last.items():
                    if owner != each.owner and found > before.get(owner, (-1, "")):
                        before[owner] = found
        for key in _keys(each):
            accesses.note(key, each)
            if each.changes:
                changes.note(key, each)
        told = repr((each.name, sorted(name for _, name in before.values())))
        mixed ^= int.from_bytes(hashlib.blake2b(told.encode(), digest_size=_BYTES).digest(), "big")
    return mixed


def _keys(taken: Taken) -> Iterator[Hashable]:
    for key in taken.footprint:
        yield from (range(key.start, key.stop, WORD) if isinstance(key, range) else (key,))


class _Last:
    """By key and owner, which effect was the last one, with how many there had been."""

    def __init__(self) -> None:
        self._by_key: defaultdict[Hashable, dict[str, tuple[int, str]]] = defaultdict(dict)
        self._every: list[Every] = []
        self._count = 0

    def touching(self, key: Hashable) -> Iterable[dict[str, tuple[int, str]]]:
        """What has touched `key`, or something that it is part of, or is part of it."""
        if isinstance(key, Every):
            return [last for other, last in self._by_key.items() if _meets(key, other)]
        wider = [self._by_key[every] for every in self._every if every.covers(key)]
        return [self._by_key[key], *wider] if key in self._by_key else wider

    def note(self, key: Hashable, taken: Taken) -> None:
        if isinstance(key, Every) and key not in self._by_key:
            self._every.append(key)
        self._count += 1
        self._by_key[key][taken.owner] = (self._count, taken.name)


def _meets(every: Every, other: Hashable) -> bool:
    return every.covers(other) or (isinstance(other, Every) and other.covers(every))
