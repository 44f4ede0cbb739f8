"""Set-associative storage with its replacement: what every cache of an IOMMU is made of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, Protocol, TypeVar

from cosim.hw.iommu.options import Replacement, check_shape
from cosim.sim.stream import Stream

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Set(Protocol[K, V]):
    """Some entries that compete for the same places."""

    def touch(self, key: K) -> V | None:
        """The value of `key`, which was used by this; None if it is not here."""

    def peek(self, key: K) -> V | None:
        """The value of `key`, which was not used by this."""

    def put(self, key: K, value: V) -> tuple[K, V] | None:
        """Add or replace an entry; returns the one that was given up for it."""

    def discard(self, key: K) -> V | None:
        """Drop an entry, if it is here, and return its value."""

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries."""

    def __len__(self) -> int: ...


class Lru(Generic[K, V]):
    """Gives up the entry that was used least recently."""

    def __init__(self, ways: int) -> None:
        self._ways = ways
        self._entries: OrderedDict[K, V] = OrderedDict()

    def touch(self, key: K) -> V | None:
        entries = self._entries
        value = entries.get(key)
        if value is not None:
            entries.move_to_end(key)
        return value

    def peek(self, key: K) -> V | None:
        return self._entries.get(key)

    def put(self, key: K, value: V) -> tuple[K, V] | None:
        entries = self._entries
        given_up = None
        if key not in entries and len(entries) >= self._ways:
            given_up = entries.popitem(last=False)
        entries[key] = value
        entries.move_to_end(key)
        return given_up

    def discard(self, key: K) -> V | None:
        return self._entries.pop(key, None)

    def items(self) -> Iterator[tuple[K, V]]:
        return iter(self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)


class _Slots(Generic[K, V]):
    """Entries in numbered places; the policy says which place is given up."""

    def __init__(self, ways: int, free_first: bool) -> None:
        self._keys: list[K | None] = [None] * ways
        self._where: dict[K, int] = {}
        self._values: dict[K, V] = {}
        self._free_first = free_first

    def used(self, place: int) -> None:
        """The entry at `place` was used or put."""

    def victim(self) -> int:
        """The place to give up."""
        raise NotImplementedError

    def touch(self, key: K) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self.used(self._where[key])
        return value

    def peek(self, key: K) -> V | None:
        return self._values.get(key)

    def put(self, key: K, value: V) -> tuple[K, V] | None:
        given_up = None
        place = self._where.get(key)
        if place is None:
            if self._free_first and len(self._where) < len(self._keys):
                place = self._keys.index(None)
            else:
                place = self.victim()
                old = self._keys[place]
                if old is not None:
                    del self._where[old]
                    given_up = (old, self._values.pop(old))
            self._keys[place] = key
            self._where[key] = place
        self._values[key] = value
        self.used(place)
        return given_up

    def discard(self, key: K) -> V | None:
        place = self._where.pop(key, None)
        if place is None:
            return None
        self._keys[place] = None
        return self._values.pop(key)

    def items(self) -> Iterator[tuple[K, V]]:
        return iter(self._values.items())

    def __len__(self) -> int:
        return len(self._values)


class Random(_Slots[K, V]):
    """Gives up any entry, each with the same probability; a free place comes first."""

    def __init__(self, ways: int, stream: Stream) -> None:
        super().__init__(ways, free_first=True)
        self._stream = stream

    def victim(self) -> int:
        return self._stream.below(len(self._keys))


class TreePlru(_Slots[K, V]):
    """Gives up the entry that a binary tree points to; each use turns the pointers on its way to the other side.

    Without `free_first` a free place is taken only when the tree points to it, as some hardware does.
    """

    def __init__(self, ways: int, free_first: bool = True) -> None:
        super().__init__(ways, free_first)
        self._points_right = [False] * ways  # of node n, from 1; its children are 2n and 2n + 1
        self._levels = ways.bit_length() - 1

    def used(self, place: int) -> None:
        node = 1
        for level in reversed(range(self._levels)):
            right = place >> level & 1
            self._points_right[node] = not right
            node = 2 * node + right

    def victim(self) -> int:
        node = 1
        for _ in range(self._levels):
            node = 2 * node + self._points_right[node]
        return node - (1 << self._levels)


class Cache(Generic[K, V]):
    """`entries` entries in sets of `ways` (0: one set); no entries is no cache. An entry is allocated when it is put.

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
        make: dict[Replacement, Callable[[], Set[K, V]]] = {
            "lru": lambda: Lru(ways),
            "plru": lambda: TreePlru(ways, free_first),
            "random": lambda: Random(ways, stream),
        }
        self._sets = [make[replacement]() for _ in range(count)]
        self._only = self._sets[0] if count == 1 else None
        self._index = index
        self.touch: Callable[[K], V | None] = self._touch if self._only is None else self._only.touch
        """The value of a key, which counts as used; not counted as a look-up."""

    def _set(self, key: K) -> Set[K, V]:
        if self._only is not None:
            return self._only
        assert self._index is not None
        return self._sets[self._index(key) % len(self._sets)]

    def _touch(self, key: K) -> V | None:
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
        """Add or replace an entry, and return the one that had to go."""
        if not self.entries:
            return None
        self.fills += 1
        given_up = self._set(key).put(key, value)
        if given_up is not None:
            self.evictions += 1
        return given_up

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
