"""The conflict rule and partial orders, held against their definitions on random runs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.sim.actions import Taken
from cosim.sim.footprints import Every, Footprint, conflict
from cosim.study.explore.conflicts import in_conflict
from cosim.study.explore.orders import order_of

KEYS: list[Footprint] = [
    (0x1000,),
    (0x1008,),
    (range(0x1000, 0x1010, 8),),
    (("iommu0", "cqt"),),
    (("iommu0", "iotlb", 3),),
    (("iommu0", "iotlb", 4),),
    (Every("iommu0", "iotlb"),),
    (Every("iommu0"),),
    (0x1000, ("iommu0", "cqt")),
]
BLOCKS: list[Footprint] = [
    (0x1000,),
    (range(0x0FF8, 0x1090, 8),),
    (range(0x1040, 0x1080, 8),),
    (0x1078,),
    (range(0x1000, 0x3008, 8),),
    (0x3000,),
    (range(0x1FFFC0, 0x600008, 8),),
    (range(0x400000, 0x401000, 8),),
    (0x5FFFF8,),
    (0x1000, range(0x1078, 0x1088, 8)),
]
"""Ranges that begin and end inside of lines, pages and megapages, and at their ends."""
HOLD = 50


def effect(time: int, number: int, owner: str, footprint: Footprint, changes: bool, asks: bool = True) -> Taken:
    return Taken(time, f"{owner}.a#{number}", owner, footprint, changes, 8, "", time, 0, asks)


@st.composite
def runs(draw: st.DrawFn, keys: Sequence[Footprint] = KEYS) -> list[Taken]:
    each = st.tuples(
        st.integers(0, 30), st.sampled_from("ABC"), st.sampled_from(keys), st.booleans(), st.integers(0, 4)
    )
    found, time = [], 0
    for number, (later, owner, footprint, changes, asks) in enumerate(draw(st.lists(each, max_size=24))):
        time += later
        found.append(effect(time, number, owner, footprint, changes, bool(asks)))
    return found


@settings(max_examples=80)
@given(st.sampled_from([KEYS, BLOCKS]).flatmap(runs))
def test_what_may_be_held_is_what_the_definition_says(taken: list[Taken]) -> None:
    by_definition = [
        one
        for at, one in enumerate(taken)
        if one.asks and any(conflict(one, other) and other.time <= one.time + HOLD for other in taken[at + 1 :])
    ]
    assert in_conflict(taken, HOLD) == by_definition


@pytest.mark.parametrize(("later", "may"), [(HOLD, True), (HOLD + 1, False)])
def test_who_conflicts_at_the_very_end_of_a_hold_is_in_conflict_still(later: int, may: bool) -> None:
    first, last = (effect(time, 0, owner, KEYS[0], True) for time, owner in ((7, "A"), (7 + later, "B")))
    assert in_conflict([first, last], HOLD) == [first] * may


def pairs(taken: list[Taken]) -> set[tuple[str, str]]:
    """The definition of a partial order: which of two conflicting effects came first, and each owner's own order."""
    return {
        (one.name, other.name)
        for one, other in combinations(taken, 2)
        if one.owner == other.owner or conflict(one, other)
    }


@settings(max_examples=40)
@given(runs(), st.randoms(use_true_random=False))
def test_runs_have_one_order_exactly_if_their_conflicting_effects_come_in_one_order(
    taken: list[Taken], chance: random.Random
) -> None:
    """Neighbours are exchanged, now and then, as they come: with a conflict between them the order is another one."""
    other = list(taken)
    for _ in range(2 * len(other)):
        at = chance.randrange(len(other) - 1) if len(other) > 1 else 0
        one, two = (*other[at : at + 2], None)[:2] if len(other) > 1 else (None, None)
        if one and two and one.owner != two.owner and (not conflict(one, two) or chance.random() < 0.1):
            other[at : at + 2] = [two, one]
    assert (order_of(taken) == order_of(other)) == (pairs(taken) == pairs(other))


@pytest.mark.parametrize("word", [0x1000, 0x1008, 0x1010])
def test_who_comes_before_a_range_or_behind_it_is_in_its_order_by_any_of_its_words(word: int) -> None:
    one, other = effect(0, 0, "A", (range(0x1000, 0x1018, 8),), True), effect(0, 0, "B", (word,), True)
    assert order_of([one, other]) != order_of([other, one])
    beside = effect(0, 0, "B", (0x1018,), True)
    assert order_of([one, beside]) == order_of([beside, one])


def interleaved(one: list[Taken], other: list[Taken]) -> Iterator[list[Taken]]:
    """All runs in which the effects of two owners come, each owner's own in order."""
    count = len(one) + len(other)
    for places in combinations(range(count), len(one)):
        ones, others = iter(one), iter(other)
        yield [next(ones if at in places else others) for at in range(count)]


@pytest.mark.parametrize("changes", [True, False])
def test_two_owners_have_as_many_orders_as_the_definition_says_whichever_way_their_keys_come(changes: bool) -> None:
    """Of an owner the last effect that conflicts counts, be it of the same key, of a wider or of a narrower one."""
    wide, entry, beside = KEYS[7], KEYS[4], KEYS[3]
    for mine, theirs in product(permutations([wide, entry, beside]), repeat=2):
        one = [effect(0, number, "A", footprint, True) for number, footprint in enumerate(mine)]
        other = [effect(0, number, "B", footprint, changes) for number, footprint in enumerate(theirs)]
        found = {(order_of(taken), frozenset(pairs(taken))) for taken in interleaved(one, other)}
        assert len({order for order, _ in found}) == len({held for _, held in found}) == len(found) > 1
