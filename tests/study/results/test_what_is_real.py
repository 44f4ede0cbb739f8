"""Which differences are real, to the number: pairs, degrees of freedom, how many were judged, and how they are told."""

from __future__ import annotations

import pytest

from cosim.study.results.comparison import compare
from cosim.study.results.tested import Change
from cosim.study.statistics.student import quantile
from tests.study.results.test_comparison import READ, study


def test_runs_are_paired_by_their_seeds_and_those_without_a_partner_are_left_out() -> None:
    """Seeds 0 to 3 and 2 to 5: 2 and 3 are in both."""
    early = study({"1": [{READ: value} for value in (900.0, 900.0, 10.0, 20.0)]})
    late = study({"1": [{READ: value} for value in (11.0, 22.0, 700.0, 700.0)]}, first_seed=2)
    for sides, means in (((early, late), (15.0, 16.5)), ((late, early), (16.5, 15.0))):
        (point,) = compare(*sides).points
        (change,) = point.changes
        assert (change.first, change.second) == means
        assert change.half == pytest.approx(quantile(0.975, 1) * 0.5), "of two pairs one degree of freedom is left"


def test_a_difference_is_held_against_all_numbers_that_were_judged_equal_ones_too() -> None:
    """By chance it comes once in a hundred times: that is no news of one number of fifty."""
    base = {f"n{at}": 1.0 for at in range(49)}
    first = [{READ: 0.0, **base} for _ in range(4)]
    second = [{READ: value, **base} for value in (4.0, 5.0, 6.0, 9.0)]
    alone = [[{READ: run[READ]} for run in runs] for runs in (first, second)]
    assert compare(study({"1": alone[0]}), study({"1": alone[1]})).real == 1
    among = compare(study({"1": first}), study({"1": second}))
    assert (among.tested, among.real) == (50, 0)


def test_a_difference_relative_to_nothing_or_to_what_is_negative_has_its_own_sign() -> None:
    assert Change("n", 0.0, -1.0, 0.0, True).relative == float("-inf")
    assert Change("n", 0.0, 1.0, 0.0, True).relative == float("inf")
    assert Change("n", -2.0, -1.0, 0.0, True).relative == 0.5
    first, second = ([{READ: base + at / 1000} for at in range(4)] for base in (-200.0, -100.0))
    (row,) = compare(study({"1": first}), study({"1": second})).summaries()
    assert row.middle == pytest.approx(0.5, abs=1e-3)


def test_a_number_that_differs_at_more_points_goes_before_one_that_differs_further() -> None:
    def runs(read: float, other: float) -> list[dict[str, float]]:
        return [{READ: read + at / 1000, "other": other + at / 1000} for at in range(4)]

    first = {str(point): runs(100.0, 100.0) for point in range(3)}
    second = {"0": runs(110.0, 900.0), "1": runs(110.0, 100.0), "2": runs(110.0, 100.0)}
    assert [row.name for row in compare(study(first), study(second)).summaries()] == [READ, "other"]


@pytest.mark.parametrize("sides", [(1.0, 0.0), (0.0, 1.0)])
def test_a_device_that_was_overloaded_on_either_side_has_no_mean_that_could_be_compared(
    sides: tuple[float, float],
) -> None:
    runs = [[{READ: 100.0 + 9 * side + at, "dev0.overloaded": side} for at in range(3)] for side in sides]
    (point,) = compare(study({"1": runs[0]}), study({"1": runs[1]})).points
    assert {change.name: change.overloaded for change in point.changes}[READ]
