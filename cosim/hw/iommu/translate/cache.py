"""Set-associative storage: what every cache of an IOMMU is made of."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from cosim.hw.iommu.options import Replacement, check_shape
from cosim.hw.iommu.translate.replacement import REPLACEMENT, Ways
from cosim.sim.stream import Stream

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Place(NamedTuple, Generic[K, V]):
    """A reserved place of a set, by its number there."""

    ways: Ways[K, V]
    number: int


class Cache(Generic[K, V]):
    """`entries` entries in sets of `ways` (0: one set); no entries is no cache.

    An entry is allocated when it is put, or before that: a place that is reserved has given up its entry already.
    `index` gives the number from which the set of a key follows. Counters: `hits`, `misses`, `fills`, `evictions`
    (for want of room), `dropped` (by invalidations).
    """

    def __init__(
        self,
        entries: int,
        ways: int = 0,
        replacement: Replacement = "lru",
        *,
        stream: Stream,
        index: Callable[[K], int] | None = None,
        free_first: bool = True,
    ) -> None:
        check_shape("cache", entries, ways, replacement)
        ways = ways or entries
        self.entries = entries
        self.hits = self.misses = self.fills = self.evictions = self.dropped = 0
        count = entries // ways if entries else 0
        if count > 1 and index is None:
            raise ValueError(f"{count} sets need an index that tells them apart")
        make = REPLACEMENT[replacement]
        self._sets = [make(ways, stream, free_first) for _ in range(count)]
        self._only = self._sets[0] if count == 1 else None
        self._index = index

    def _set(self, key: K) -> Ways[K, V]:
        if self._only is not None:
            return self._only
        assert self._index is not None
        return self._sets[self._index(key) % len(self._sets)]

    def touch(self, key: K) -> V | None:
        """The value of `key`, which counts as used; not counted as a look-up."""
        if self._only is not None:
            return self._only.touch(key)
        return self._set(key).touch(key) if self.entries else None

    def get(self, key: K) -> V | None:
        """The value of `key`, which counts as used; counted as a hit or a miss."""
        value = self.touch(key)
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
        return value

    def peek(self, key: K) -> V | None:
        """The value of `key`; nothing changes by this."""
        return self._set(key).peek(key) if self.entries else None

    def put(self, key: K, value: V) -> tuple[K, V] | None:
        """Add or replace an entry, and return the one that had to go: itself, if all of its set are reserved."""
        if not self.entries:
            return None
        self.fills += 1
        given_up = self._set(key).put(key, value)
        if given_up is not None:
            self.evictions += 1
        return given_up

    def reserve(self, key: K) -> tuple[Place[K, V] | None, tuple[K, V] | None]:
        """Reserve a place in the set of `key`: that, None if all are reserved, and the entry that had to go for it."""
        ways = self._set(key)
        found = ways.reserve()
        if found is None:
            return None, None
        number, given_up = found
        if given_up is not None:
            self.evictions += 1
        return Place(ways, number), given_up

    def put_into(self, place: Place[K, V], key: K, value: V) -> tuple[K, V] | None:
        """As `put`, in a reserved place if that is one of the key's set; it is reserved no longer."""
        if place.ways is not self._set(key):
            place.ways.unreserve(place.number)
            return self.put(key, value)
        self.fills += 1
        return place.ways.put(key, value, place.number)

    def discard(self, key: K) -> V | None:
        """Drop the entry of `key`, if there is one, and return its value."""
        value = self._set(key).discard(key) if self.entries else None
        if value is not None:
            self.dropped += 1
        return value

    def drop(self, doomed: Callable[[K, V], bool]) -> list[tuple[K, V]]:
        """Drop every entry that `doomed` says, and return them."""
        found = [(key, value) for key, value in self.items() if doomed(key, value)]
        for key, _ in found:
            self.discard(key)
        return found

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries."""
        for one in self._sets:
            yield from one.items()

    def __len__(self) -> int:
        return sum(map(len, self._sets))
