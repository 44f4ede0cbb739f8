"""Caches: what a set keeps and gives up, held against the plainest possible spelling of each policy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cosim.hw.iommu.options import GeometryOptions
from cosim.hw.iommu.translate.cache import Cache
from cosim.sim.stream import Stream

STREAM = Stream(0, "test")


class LruTwin:
    """A list, the entry used last at its end."""

    def __init__(self, ways: int) -> None:
        self.ways = ways
        self.keys: list[int] = []

    def touch(self, key: int) -> bool:
        if key not in self.keys:
            return False
        self.keys.remove(key)
        self.keys.append(key)
        return True

    def put(self, key: int) -> None:
        if not self.touch(key):
            self.keys = [*self.keys, key][-self.ways :]

    def discard(self, key: int) -> None:
        self.keys = [other for other in self.keys if other != key]


class PlruTwin:
    """A tree of halves: each node knows which of its two was used last, and the other one is given up."""

    def __init__(self, ways: int, free_first: bool) -> None:
        self.places: list[int | None] = [None] * ways
        self.last: dict[tuple[int, int], int] = {}
        self.free_first = free_first

    def use(self, place: int) -> None:
        first, size = 0, len(self.places)
        while size > 1:
            size //= 2
            half = int(place >= first + size)
            self.last[first, size] = half
            first += half * size

    def victim(self) -> int:
        first, size = 0, len(self.places)
        while size > 1:
            size //= 2
            first += size * (1 - self.last.get((first, size), 1))
        return first

    def touch(self, key: int) -> bool:
        if key not in self.places:
            return False
        self.use(self.places.index(key))
        return True

    def put(self, key: int) -> None:
        if not self.touch(key):
            free = self.free_first and None in self.places
            place = self.places.index(None) if free else self.victim()
            self.places[place] = key
            self.use(place)

    def discard(self, key: int) -> None:
        self.places = [None if other == key else other for other in self.places]

    @property
    def keys(self) -> list[int]:
        return [key for key in self.places if key is not None]


STEPS = st.lists(st.tuples(st.sampled_from(["touch", "put", "discard"]), st.integers(0, 11)), max_size=40)


def play(cache: Cache[int, str], twin: Any, steps: list[tuple[str, int]]) -> None:
    for what, key in steps:
        if what == "touch":
            assert (cache.touch(key) is not None) == twin.touch(key)
        elif what == "put":
            cache.put(key, f"value {key}")
            twin.put(key)
        else:
            cache.discard(key)
            twin.discard(key)
        assert sorted(key for key, _ in cache.items()) == sorted(twin.keys)
        assert all(value == f"value {key}" for key, value in cache.items())
        assert len(cache) == len(twin.keys)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.integers(1, 6), STEPS)
def test_lru_keeps_what_was_used_last(ways: int, steps: list[tuple[str, int]]) -> None:
    play(Cache(ways, stream=STREAM), LruTwin(ways), steps)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.sampled_from([1, 2, 4, 8]), st.booleans(), STEPS)
def test_tree_plru_gives_up_the_half_that_was_not_used_last(
    ways: int, free_first: bool, steps: list[tuple[str, int]]
) -> None:
    cache: Cache[int, str] = Cache(ways, 0, "plru", stream=STREAM, free_first=free_first)
    play(cache, PlruTwin(ways, free_first), steps)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.integers(1, 6), st.integers(0, 9), st.booleans(), STEPS)
def test_random_replacement_gives_up_one_entry_and_only_when_full(
    ways: int, seed: int, plru_free_first: bool, steps: list[tuple[str, int]]
) -> None:
    cache: Cache[int, str] = Cache(ways, 0, "random", stream=Stream(seed, "test"), free_first=plru_free_first)
    for what, key in steps:
        before = dict(cache.items())
        if what == "put":
            given_up = cache.put(key, "value")
            expected = {**before, key: "value"}
            if key not in before and len(before) == ways:
                assert given_up is not None
                assert given_up[0] in before
                del expected[given_up[0]]
            else:
                assert given_up is None
            assert dict(cache.items()) == expected
        elif what == "discard":
            cache.discard(key)
            assert dict(cache.items()) == {k: v for k, v in before.items() if k != key}


def test_random_replacement_draws_every_place_with_the_same_frequency() -> None:
    cache: Cache[int, int] = Cache(4, 0, "random", stream=Stream(1, "test"))
    given_up = [cache.put(key, key % 4) for key in range(4004)][4:]
    ages = [newer - older[0] for newer, older in enumerate(given_up, 4) if older is not None]
    assert 3.7 < sum(ages) / len(ages) < 4.3  # a geometric age with mean 4, not the constant 4 of LRU
    assert max(ages) > 20


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.sampled_from([(4, 2), (6, 2), (8, 4), (6, 3), (5, 1)]), STEPS)
def test_sets_are_caches_of_their_own(shape: tuple[int, int], steps: list[tuple[str, int]]) -> None:
    entries, ways = shape
    sets = entries // ways
    cache: Cache[int, str] = Cache(entries, ways, stream=STREAM, index=int)
    twins = [LruTwin(ways) for _ in range(sets)]
    for what, key in steps:
        twin = twins[key % sets]
        if what == "touch":
            assert (cache.touch(key) is not None) == twin.touch(key)
        elif what == "put":
            cache.put(key, "value")
            twin.put(key)
        else:
            cache.discard(key)
            twin.discard(key)
        assert sorted(key for key, _ in cache.items()) == sorted(key for twin in twins for key in twin.keys)


@pytest.mark.parametrize("name", ["lru", "plru", "random"])
def test_a_place_that_was_reserved_in_another_set_is_free_once_its_entry_is_filled(name: str) -> None:
    cache: Cache[int, int] = Cache(4, 2, name, stream=STREAM, index=int)
    place, _ = cache.reserve(0)
    assert place is not None
    cache.put_into(place, 1, 1)
    for key in (0, 2):
        cache.put(key, key)
    assert sorted(key for key, _ in cache.items()) == [0, 1, 2]


def test_without_entries_there_is_no_cache() -> None:
    cache: Cache[int, int] = Cache(0, 4, "plru", stream=STREAM)
    assert cache.put(1, 1) is None
    assert cache.get(1) is None
    assert (cache.fills, cache.hits, cache.misses, len(cache)) == (0, 0, 1, 0)


def test_a_peek_uses_nothing_and_counts_nothing() -> None:
    cache: Cache[int, int] = Cache(2, stream=STREAM)
    cache.put(1, 10)
    cache.put(2, 20)
    assert cache.peek(1) == 10
    assert cache.put(3, 30) == (1, 10)
    assert (cache.hits, cache.misses, cache.fills, cache.evictions) == (0, 0, 3, 1)


def test_dropping_what_matches_leaves_the_rest() -> None:
    cache: Cache[int, int] = Cache(8, stream=STREAM)
    for key in range(8):
        cache.put(key, key)
    dropped = cache.drop(lambda key, _: key % 2 == 1)
    assert [key for key, _ in dropped] == [1, 3, 5, 7]
    assert [key for key, _ in cache.items()] == [0, 2, 4, 6]
    assert cache.dropped == 4


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"iotlb_entries": 48, "iotlb_ways": 5}, "iotlb_entries: 48 entries .* sets of 5 ways; .* are 45 and 50"),
        ({"iotlb_entries": 2, "iotlb_ways": 4}, "iotlb_entries: 2 entries .* sets of 4 ways; .* are 4$"),
        ({"ddtc_replacement": "plru", "ddtc_entries": 12}, "ddtc_replacement: plru .* not 12; .* are 8 and 16"),
        ({"nonleaf_replacement": "plru", "nonleaf_entries": 5}, "nonleaf_replacement: plru .* not 5; .* are 4 and 8"),
    ],
)
def test_a_shape_that_cannot_be_built_is_refused_with_the_nearest_that_can(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text.replace("$", r"( \[|$)")):
        GeometryOptions(**fields)


def test_sets_of_a_power_of_two_need_not_be_a_power_of_two_themselves() -> None:
    assert GeometryOptions(iotlb_entries=12, iotlb_ways=4, iotlb_replacement="plru").iotlb_entries == 12


@pytest.mark.parametrize(("entries", "ways", "sets"), [(8, 4, 2), (12, 4, 3), (8, 1, 8)])
def test_sets_need_an_index_that_tells_them_apart(entries: int, ways: int, sets: int) -> None:
    with pytest.raises(ValueError, match=f"^{sets} sets need an index"):
        Cache[int, int](entries, ways, stream=STREAM)
    cache: Cache[int, int] = Cache(entries, ways, stream=STREAM, index=int)
    assert all(cache.put(key, key) is None for key in range(entries))


@pytest.mark.parametrize(("entries", "ways"), [(0, 0), (0, 4), (4, 0), (4, 4), (1, 1)])
def test_without_sets_or_with_one_there_is_nothing_to_tell_apart(entries: int, ways: int) -> None:
    cache: Cache[str, int] = Cache(entries, ways, stream=STREAM)
    for number in range(entries + 1):
        cache.put(f"key {number}", number)
    assert [value for _, value in cache.items()] == list(range(1, entries + 1))
