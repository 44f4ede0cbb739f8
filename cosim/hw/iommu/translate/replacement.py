"""Which entry of a full set is given up: one class for each policy, and the table by which an option names it.

Another policy is a class and a row of `REPLACEMENT` here, and its name in `options.Replacement`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from cosim.sim.stream import Stream

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Ways(Generic[K, V]):
    """The entries of one set, which compete for its places."""

    def touch(self, key: K) -> V | None:
        """The value of `key`, which was used by this; None if it is not here."""
        raise NotImplementedError

    def peek(self, key: K) -> V | None:
        """The value of `key`, which was not used by this."""
        raise NotImplementedError

    def put(self, key: K, value: V, place: int | None = None) -> tuple[K, V] | None:
        """Add or replace an entry, in `place` if that was reserved for it; returns the one that was given up for it.

        That is the new one itself where all places are reserved for others.
        """
        raise NotImplementedError

    def reserve(self) -> tuple[int, tuple[K, V] | None] | None:
        """Reserve a place, and give up what is there, which comes with it; None if all are reserved."""
        raise NotImplementedError

    def unreserve(self, place: int) -> None:
        """A reserved place is free again."""
        raise NotImplementedError

    def discard(self, key: K) -> V | None:
        """Drop an entry, if it is here, and return its value."""
        raise NotImplementedError

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


class Lru(Ways[K, V]):
    """Gives up the entry that was used least recently."""

    def __init__(self, ways: int, stream: Stream, free_first: bool) -> None:
        self._ways = ways
        """How many entries there may be beside the reserved places."""
        self._entries: OrderedDict[K, V] = OrderedDict()

    def touch(self, key: K) -> V | None:
        entries = self._entries
        value = entries.get(key)
        if value is not None:
            entries.move_to_end(key)
        return value

    def peek(self, key: K) -> V | None:
        return self._entries.get(key)

    def put(self, key: K, value: V, place: int | None = None) -> tuple[K, V] | None:
        entries = self._entries
        if place is not None:
            self.unreserve(place)
        given_up = None
        if key not in entries and len(entries) >= self._ways:
            if not self._ways:
                return key, value
            given_up = entries.popitem(last=False)
        entries[key] = value
        entries.move_to_end(key)
        return given_up

    def reserve(self) -> tuple[int, tuple[K, V] | None] | None:
        if not self._ways:
            return None
        given_up = self._entries.popitem(last=False) if len(self._entries) == self._ways else None
        self._ways -= 1
        return 0, given_up

    def unreserve(self, place: int) -> None:
        self._ways += 1

    def discard(self, key: K) -> V | None:
        return self._entries.pop(key, None)

    def items(self) -> Iterator[tuple[K, V]]:
        return iter(self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)


class _Slots(Ways[K, V]):
    """Entries in numbered places; the policy says which place is given up."""

    def __init__(self, ways: int, free_first: bool) -> None:
        self._keys: list[K | None] = [None] * ways
        self._where: dict[K, int] = {}
        self._values: dict[K, V] = {}
        self._reserved: set[int] = set()
        self._free_first = free_first

    def used(self, place: int) -> None:
        """The entry at `place` was used or put."""

    def victim(self) -> int:
        """The place to give up; there is one that is not reserved."""
        raise NotImplementedError

    def touch(self, key: K) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self.used(self._where[key])
        return value

    def peek(self, key: K) -> V | None:
        return self._values.get(key)

    def put(self, key: K, value: V, place: int | None = None) -> tuple[K, V] | None:
        given_up = None
        if place is not None:
            self.unreserve(place)
        where = self._where.get(key)
        if where is None:
            if place is not None:
                where = place
            else:
                if len(self._reserved) == len(self._keys):
                    return key, value
                where, given_up = self._vacated()
            self._keys[where] = key
            self._where[key] = where
        self._values[key] = value
        self.used(where)
        return given_up

    def reserve(self) -> tuple[int, tuple[K, V] | None] | None:
        if len(self._reserved) == len(self._keys):
            return None
        place, given_up = self._vacated()
        self._reserved.add(place)
        self.used(place)
        return place, given_up

    def unreserve(self, place: int) -> None:
        self._reserved.remove(place)

    def _vacated(self) -> tuple[int, tuple[K, V] | None]:
        """A place that is neither taken nor reserved, and the entry that was given up for that."""
        if self._free_first and len(self._where) + len(self._reserved) < len(self._keys):
            if not self._reserved:
                return self._keys.index(None), None
            return next(n for n, key in enumerate(self._keys) if key is None and n not in self._reserved), None
        place = self.victim()
        old = self._keys[place]
        if old is None:
            return place, None
        self._keys[place] = None
        del self._where[old]
        return place, (old, self._values.pop(old))

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

    def __init__(self, ways: int, stream: Stream, free_first: bool) -> None:
        super().__init__(ways, free_first=True)
        self._stream = stream

    def victim(self) -> int:
        while (place := self._stream.below(len(self._keys))) in self._reserved:
            pass
        return place


class TreePlru(_Slots[K, V]):
    """Gives up the entry that a binary tree points to; each use turns the pointers on its way to the other side.

    Without `free_first` a free place is taken only when the tree points to it, as some hardware does. A reserved place
    is passed over for the next one.
    """

    def __init__(self, ways: int, stream: Stream, free_first: bool) -> None:
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
        place = node - (1 << self._levels)
        while place in self._reserved:
            place = (place + 1) % len(self._keys)
        return place


REPLACEMENT: Mapping[str, Callable[[int, Stream, bool], Ways[Any, Any]]] = {
    "lru": Lru,
    "plru": TreePlru,
    "random": Random,
}
"""What makes a set, from its ways, the random numbers of its cache, and whether plru takes free places first."""
