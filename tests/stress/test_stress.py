"""Random operations over small random systems: nothing raises, hangs, leaks or violates (`make stress`)."""

import pytest

from tests.stress.stress import many, run


@pytest.mark.parametrize("seed", range(4))
def test_a_few_operations_leave_a_system_in_order(seed):
    outcome = run(seed, operations=40)
    assert outcome.operations >= 40
    assert outcome.violations == 0


@pytest.mark.slow
def test_the_executors_agree_and_nothing_breaks_over_thousands_of_operations():
    assert many(4_000)["operations"] >= 4_000
