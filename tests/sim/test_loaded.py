"""Values that come from memory: what is computed from them remembers the newest state that it came from."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from cosim.sim.loaded import Loaded, at_of

OLDER, NEWER = Loaded(6, 3), Loaded(10, 7)
OPERATORS = [
    *(operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod),
    *(operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift),
]


def test_of_several_values_the_newest_state_counts_and_plain_ones_come_from_none() -> None:
    assert at_of(OLDER, NEWER) == at_of(NEWER, 9, OLDER) == 7
    assert at_of(9, OLDER) == 3
    assert at_of(9, 10) == at_of() == -1


@pytest.mark.parametrize("compute", OPERATORS)
def test_what_is_computed_of_two_values_is_as_new_as_the_newer_one(compute: Callable[[Any, Any], Any]) -> None:
    for left, right, at in ((OLDER, NEWER, 7), (NEWER, OLDER, 7), (OLDER, 4, 3), (100, OLDER, 3)):
        result = compute(left, right)
        assert (result, at_of(result)) == (compute(int(left), int(right)), at)


@pytest.mark.parametrize("compute", [operator.neg, operator.pos, operator.invert])
def test_what_is_computed_of_one_value_is_as_new_as_that(compute: Callable[[Any], Any]) -> None:
    assert (compute(OLDER), at_of(compute(OLDER))) == (compute(6), 3)


def test_a_copy_is_as_new_and_an_int_of_it_comes_from_nowhere() -> None:
    copy = pickle.loads(pickle.dumps(OLDER))
    assert (copy, at_of(copy)) == (6, 3)
    assert (int(OLDER), at_of(int(OLDER))) == (6, -1)
    assert OLDER / 4 == 1.5
