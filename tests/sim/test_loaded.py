"""Values that come from memory: what is computed of them is an int's, and depends on what they came from."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from cosim.sim.loaded import Loaded, at_of

BINARY = [
    *(operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod),
    *(operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift),
]


@pytest.mark.parametrize("compute", BINARY)
def test_what_is_computed_of_two_values_depends_on_the_later_one(compute: Callable[[Any, Any], Any]) -> None:
    for first, second in ((3, 7), (7, 3), (5, 5)):
        result = compute(Loaded(29, first), Loaded(3, second))
        assert (type(result), result, result.at) == (Loaded, compute(29, 3), max(first, second))


@pytest.mark.parametrize("compute", BINARY)
def test_what_is_computed_of_a_value_and_a_plain_number_depends_on_the_value(
    compute: Callable[[Any, Any], Any],
) -> None:
    for result in (compute(Loaded(29, 7), 3), compute(29, Loaded(3, 7))):
        assert (type(result), result, result.at) == (Loaded, compute(29, 3), 7)


@pytest.mark.parametrize("compute", [operator.neg, operator.pos, operator.invert])
def test_what_is_computed_of_one_value_depends_on_it(compute: Callable[[Any], Any]) -> None:
    result = compute(Loaded(29, 7))
    assert (type(result), result, result.at) == (Loaded, compute(29), 7)


def test_what_an_int_cannot_be_computed_with_decides_itself() -> None:
    value: Any = Loaded(3, 7)
    assert value * 0.5 == 0.5 * value == 1.5
    assert value * [0] == [0] * value == [0, 0, 0]
    with pytest.raises(TypeError, match="unsupported operand"):
        value + "x"


def test_the_latest_of_several_values_is_that_of_those_that_came_from_memory() -> None:
    assert at_of(Loaded(1, 3), 9, Loaded(2, 7), Loaded(3, 5)) == 7
    assert at_of(9, None) == at_of() == -1


def test_a_value_is_a_number_otherwise_and_keeps_its_time_when_it_is_stored() -> None:
    value = Loaded(29, 7)
    assert value == 29
    assert type(int(value)) is int
    kept = pickle.loads(pickle.dumps(value))
    assert (type(kept), kept, kept.at) == (Loaded, 29, 7)
