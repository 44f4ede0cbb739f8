"""Student's t, against the tables of textbooks and against forms that are closed."""

from math import atan, inf, pi

import numpy as np
import pytest

from cosim.study.statistics.student import quantile, tails, two_sided


@pytest.mark.parametrize(
    ("freedom", "value"), [(1, 12.7062), (2, 4.30265), (9, 2.26216), (15, 2.13145), (30, 2.04227), (1000, 1.96234)]
)
def test_the_quantiles_are_those_of_the_tables(freedom: int, value: float) -> None:
    assert quantile(0.975, freedom) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("t", [0.1, 1.0, 2.5, 40.0])
def test_the_tails_of_one_and_of_two_degrees_of_freedom_have_a_closed_form(t: float) -> None:
    assert two_sided(t, 1) == pytest.approx(1 - 2 * atan(t) / pi, rel=1e-12)
    assert two_sided(t, 2) == pytest.approx(1 - t / (2 + t * t) ** 0.5, rel=1e-11)


def test_nothing_is_as_far_as_the_end_and_everything_as_far_as_the_middle() -> None:
    assert two_sided(inf, 3.5) == 0
    assert two_sided(0, 3.5) == 1


def test_a_fraction_of_a_degree_stands_between_its_neighbours() -> None:
    assert quantile(0.975, 4) < quantile(0.975, 3.5) < quantile(0.975, 3)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 8, 30, 101])
def test_many_at_once_are_what_each_is_alone(freedom: int) -> None:
    values = np.array([0.0, 0.3, 1.0, 2.5, 7.0, inf])
    assert tails(values, freedom) == pytest.approx([two_sided(t, freedom) for t in values.tolist()], abs=1e-12)
