"""Replacement policies: every one that can be named replaces, and every one that is written can be named."""

from typing import get_args

import pytest

from cosim.hw.iommu.options import Replacement
from cosim.hw.iommu.translate import cache
from cosim.sim.stream import Stream

NAMES = get_args(Replacement.__value__ if hasattr(Replacement, "__value__") else Replacement)


def classes() -> set[type]:
    kinds = [kind for kind in vars(cache).values() if isinstance(kind, type) and kind.__module__ == cache.__name__]
    sets = {kind for kind in kinds if hasattr(kind, "put") and hasattr(kind, "touch")}
    return {kind for kind in sets if kind not in (cache.Set, cache.Cache) and not kind.__name__.startswith("_")}


def made(name: str) -> cache.Cache:
    return cache.Cache(4, 4, name, stream=Stream(1, "test"))


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_keeps_as_many_entries_as_there_are_and_gives_one_up_for_a_new_one(name):
    found = made(name)
    for key in range(5):
        found.put(key, key)
    assert found.evictions == 1
    assert found.touch(4) == 4, "what was put last is there"


def test_the_classes_are_found():
    assert {cache.Lru, cache.TreePlru, cache.Random} <= classes()


def test_every_class_that_replaces_can_be_named_in_a_topology():
    named = {type(made(name)._sets[0]) for name in NAMES}
    forgotten = {kind.__name__ for kind in classes() - named}
    assert not forgotten, "name them in Replacement (cosim/hw/iommu/options.py) and in the table of Cache"
