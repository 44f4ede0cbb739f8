"""Replacement policies: every one that can be named replaces, and every one that is written can be named."""

from typing import get_args

import pytest

from cosim.hw.iommu.options import Replacement
from cosim.hw.iommu.translate import replacement
from cosim.hw.iommu.translate.cache import Cache
from cosim.sim.stream import Stream
from tests.hw.iommu.harness import DATA, System

NAMES = get_args(Replacement.__value__ if hasattr(Replacement, "__value__") else Replacement)


def classes() -> set[type]:
    module = replacement.__name__
    kinds = [kind for kind in vars(replacement).values() if isinstance(kind, type) and kind.__module__ == module]
    sets = {kind for kind in kinds if hasattr(kind, "put") and hasattr(kind, "touch")}
    return {kind for kind in sets if kind is not replacement.Ways and not kind.__name__.startswith("_")}


def made(name: str) -> Cache:
    return Cache(4, 4, name, stream=Stream(1, "test"))


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_keeps_as_many_entries_as_there_are_and_gives_one_up_for_a_new_one(name):
    found = made(name)
    for key in range(5):
        found.put(key, key)
    assert found.evictions == 1
    assert found.touch(4) == 4, "what was put last is there"


@pytest.mark.parametrize("name", NAMES)
def test_where_all_places_are_reserved_nothing_is_given_up_and_what_is_put_is_not_kept(name: Replacement) -> None:
    found = made(name)
    for key in range(4):
        found.put(key, key)
    places = [place for key in range(5, 9) if (place := found.reserve(key)[0])]
    assert found.evictions == 4
    assert found.reserve(9) == (None, None)
    assert found.put(9, 9) == (9, 9)
    assert (len(found), found.touch(9)) == (0, None)
    for key, place in zip(range(5, 9), places, strict=True):
        assert found.put_into(place, key, key) is None
    assert sorted(found.items()) == [(key, key) for key in range(5, 9)]


def test_the_classes_are_found():
    assert {replacement.Lru, replacement.TreePlru, replacement.Random} <= classes()


def test_every_class_that_replaces_can_be_named_in_a_topology():
    named = {type(made(name)._sets[0]) for name in NAMES}
    forgotten = {kind.__name__ for kind in classes() - named}
    assert not forgotten, (
        f"{forgotten}: name them in Replacement (cosim/hw/iommu/options.py) and in REPLACEMENT beside them"
    )


def test_the_table_and_the_option_have_the_same_names():
    forgotten = set(replacement.REPLACEMENT) ^ set(NAMES)
    assert not forgotten, f"{forgotten}: in only one of REPLACEMENT and Replacement (cosim/hw/iommu/options.py)"


def test_lru_gives_up_what_was_used_longest_ago_whenever_it_was_put() -> None:
    ways: replacement.Lru[str, int] = replacement.Lru(2, Stream(0, "test"), free_first=True)
    ways.put("first", 1)
    ways.put("second", 2)
    assert ways.touch("first") == 1
    assert ways.peek("second") == 2, "a look that does not count"
    assert ways.put("third", 3) == ("second", 2)


def test_an_entry_that_is_put_once_more_counts_as_used() -> None:
    ways: replacement.Lru[str, int] = replacement.Lru(2, Stream(0, "test"), free_first=True)
    for key in ("first", "second", "first"):
        ways.put(key, 1)
    assert ways.put("third", 3) == ("second", 1)


def full_tree() -> replacement.TreePlru[str, int]:
    """Four entries, put into their places one after the other."""
    ways: replacement.TreePlru[str, int] = replacement.TreePlru(4, Stream(0, "test"), free_first=True)
    for place, key in enumerate("abcd"):
        ways.put(key, place)
    return ways


def test_a_place_that_is_reserved_counts_as_used_to_plru() -> None:
    ways = full_tree()
    assert [ways.reserve() for _ in range(4)] == [(0, ("a", 0)), (2, ("c", 2)), (1, ("b", 1)), (3, ("d", 3))]


def test_plru_passes_over_a_reserved_place_for_the_next_one() -> None:
    ways = full_tree()
    assert ways.reserve() == (0, ("a", 0))
    for key in ("b", "d"):
        ways.touch(key)  # the tree points to the reserved place again
    assert ways.put("e", 4) == ("b", 1)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_there_already_takes_no_second_place_though_one_was_reserved_for_it(name: Replacement) -> None:
    found: Cache[str, int] = Cache(2, 2, name, stream=Stream(1, "test"))
    found.put("old", 1)
    place, _ = found.reserve("old")
    assert place is not None
    assert found.put_into(place, "old", 2) is None
    assert found.put("new", 3) is None
    assert sorted(found.items()) == [("new", 3), ("old", 2)]


@pytest.mark.parametrize("free_first", [True, False])
@pytest.mark.parametrize("cache", ["iotlb", "ddtc", "nonleaf1"])
def test_every_cache_of_an_iommu_takes_a_free_place_first_only_if_the_options_say_so(
    cache: str, free_first: bool
) -> None:
    """Four entries, and four devices with a page each: the tree comes back to a place that is taken."""
    kinds = dict.fromkeys(("iotlb_replacement", "ddtc_replacement", "nonleaf_replacement"), "plru")
    sizes = {"iotlb_entries": 4 if cache == "iotlb" else 0, "ddtc_entries": 4, "nonleaf_entries": 4}
    system = System(geometry={**kinds, **sizes, "plru_free_first": free_first})
    space = system.space()
    for device in range(1, 5):
        system.context(device, system.dc(space))
        space.map(device << 21, DATA)
    for device in (1, 2, 2, 3, 2, 4):
        system.translate(device << 21, device)
    assert system.count(f"{cache}.evictions") == (0 if free_first else 1,)
