"""Time by latency part: lists by the parts' numbers, and the same by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.sim.server import Server
from cosim.sim.spent import NAMES, OF_REQUESTS, Parts, part_number, spent_in
from cosim.sim.transport import CountsFor
from cosim.units.latency_parts import LatencyPart


def test_a_part_has_the_number_of_its_place_in_the_list() -> None:
    assert [part.number for part in LatencyPart] == list(range(len(LatencyPart)))
    assert [part_number(part) for part in LatencyPart] == [part.number for part in LatencyPart]
    assert NAMES[OF_REQUESTS - 1] == "order"


def test_a_part_that_is_not_in_the_list_is_refused_by_whoever_counts_for_it() -> None:
    with pytest.raises(ValueError, match=r"^'walks' is no latency part; there are: slot, link, "):
        Server(1, "walks")


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, ("walk", "walk", "walk")),
        ({"hop_part": "link"}, ("walk", "link", "walk")),
        ({"wait_part": "queue"}, ("walk", "walk", "queue")),
        ({"hop_part": "link", "wait_part": "queue"}, ("walk", "link", "queue")),
    ],
)
def test_the_hops_and_the_waiting_of_an_access_count_for_its_part_unless_they_have_their_own(
    named: dict[str, str], expected: tuple[str, ...]
) -> None:
    counts = CountsFor("walk", **named)
    assert (counts.name, *(NAMES[number] for number in (counts.part, counts.hop, counts.wait))) == ("walk", *expected)


@given(st.lists(st.integers(0, 3), min_size=OF_REQUESTS, max_size=OF_REQUESTS))
def test_by_name_there_are_the_parts_in_which_time_was_spent(spent: list[int]) -> None:
    parts, expected = Parts(spent), {name: ps for name, ps in zip(NAMES, spent, strict=False) if ps}
    assert parts == expected
    assert list(parts.items()) == list(expected.items())
    assert len(parts) == len(expected)
    assert [parts.get(name, -1) for name in NAMES] == [expected.get(name, -1) for name in NAMES]
    assert repr(parts) == repr(expected)


def test_what_is_told_by_name_is_numbered_again() -> None:
    spent = [0] * OF_REQUESTS
    spent[LatencyPart.WALK.number] = 7
    assert spent_in(Parts(spent)) is spent
    assert spent_in({"walk": 7, "sleep": 2}) == [{"walk": 7, "sleep": 2}.get(name, 0) for name in NAMES]
