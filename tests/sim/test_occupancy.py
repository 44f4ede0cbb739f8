"""Little's law holds for every set of visits and every window, and fails if a visit is miscounted."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cosim.sim.occupancy import Occupancy

VISITS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)), max_size=12)


def told(visits: list[tuple[int, int]], opened: int, closed: int, lie_ps: int = 0) -> Occupancy:
    """An occupancy that was told of `visits` (since, for how long) in order; the first to leave lies about it."""
    occupancy = Occupancy()
    happenings = [(since, 1, since) for since, _ in visits]
    happenings += [(since + stay, 2, since) for since, stay in visits]
    happenings += [(opened, 0, 0)]
    for time, what, since in sorted(happenings):
        if time > closed:
            break
        if what == 0:
            occupancy.open(time)
        elif what == 1:
            occupancy.enter(time)
        else:
            occupancy.leave(time, since, time - since + lie_ps)
            lie_ps = 0
    return occupancy


def inside_at(visits: list[tuple[int, int]], time: int) -> int:
    """Brute force: how many are inside from `time` to `time` + 1."""
    return sum(since <= time < since + stay for since, stay in visits)


@settings(derandomize=True, deadline=None)
@given(VISITS, st.integers(0, 40), st.integers(0, 30))
def test_both_sides_equal_the_sum_over_every_tick(visits: list[tuple[int, int]], opened: int, length: int) -> None:
    closed = opened + length
    expected = sum(inside_at(visits, time) for time in range(opened, closed))
    assert told(visits, opened, closed).law(closed) == (expected, expected)


def test_the_most_of_a_window_includes_those_who_were_inside_when_it_opened_and_none_before() -> None:
    visits = [(0, 5), (0, 30), (10, 20), (40, 5)]
    assert [told(visits, opened, 60).most for opened in (0, 7, 15, 35)] == [2, 2, 2, 1]
    assert told([(0, 5), (0, 5), (0, 30)], 20, 60).most == 1
    assert told([], 0, 60).most == Occupancy().most == 0, "of a window that was never opened as well"


@settings(derandomize=True, deadline=None)
@given(VISITS, st.integers(1, 9))
def test_a_residence_that_is_wrong_by_a_tick_breaks_the_law(visits: list[tuple[int, int]], lie_ps: int) -> None:
    assume(visits)
    integral, residence = told(visits, 0, 60, lie_ps).law(60)
    assert residence - integral == lie_ps


def test_the_mean_is_the_integral_over_the_window() -> None:
    occupancy = told([(0, 10), (5, 10)], 0, 20)
    assert occupancy.mean(20) == 1.0
    assert occupancy.most == 2
    assert Occupancy().mean(0) == 0.0
