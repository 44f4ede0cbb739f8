"""The digest tells runs apart, and is the same number wherever the run is made."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cosim.sim.digest import Digest, number_of

ENTRIES = st.lists(st.tuples(*[st.integers(0, 1 << 50)] * 4), min_size=1, max_size=6)


def digest(entries: list[tuple[int, int, int, int]]) -> int:
    made = Digest()
    for entry in entries:
        made.add(*entry)
    return made.value


def test_the_number_is_fixed() -> None:
    """A change of this number makes every stored digest worthless."""
    made = Digest()
    made.add(1, 2, 3_000, number_of("nic0"))
    assert number_of("nic0") == 0x84ED3BAA52EAC401
    assert str(made) == "1930b2064b0627b6"


@settings(derandomize=True, deadline=None, max_examples=40)
@given(ENTRIES, ENTRIES)
def test_other_entries_give_another_digest(
    one: list[tuple[int, int, int, int]], two: list[tuple[int, int, int, int]]
) -> None:
    assume(one != two)
    assert digest(one) != digest(two)


@settings(derandomize=True, deadline=None)
@given(ENTRIES)
def test_equal_entries_give_equal_digests_of_64_bits(entries: list[tuple[int, int, int, int]]) -> None:
    assert digest(entries) == digest(list(entries)) < 1 << 64


def test_the_order_counts() -> None:
    assert digest([(0, 0, 5, 0), (1, 0, 5, 0)]) != digest([(1, 0, 5, 0), (0, 0, 5, 0)])
