"""Zipf's law in integers: its weights are those of the formula, and draws follow them."""

from __future__ import annotations

import math

import pytest

from cosim.hw.dma.zipf import ONE, Zipf, weights
from cosim.sim.chooser import Chooser

CRITICAL = 3.3
"""Standard deviations: a right distribution passes at a fixed seed, and a wrong one by far does not."""


def deviation(counts: list[int], shares: list[float]) -> float:
    """By how many standard deviations chi squared is above its mean."""
    drawn = sum(counts)
    chi = sum((count - drawn * share) ** 2 / (drawn * share) for count, share in zip(counts, shares, strict=True))
    freedom = len(counts) - 1
    return (chi - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 0.99, 1.0, 2.5])
def test_weights_are_those_of_the_formula_to_the_last_digits_of_a_float(exponent: float) -> None:
    sums = weights(300, exponent)
    for rank in range(1, 301):
        weight = (sums[rank - 1] - (sums[rank - 2] if rank > 1 else 0)) / ONE
        assert weight == pytest.approx(rank**-exponent, rel=1e-9)


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.2])
def test_draws_follow_the_law_and_no_other(exponent: float) -> None:
    zipf, stream, counts = Zipf(20, exponent), Chooser(1).stream("test"), [0] * 20
    for _ in range(8000):
        counts[zipf.draw(stream)] += 1

    def law(other: float) -> list[float]:
        each = [(rank + 1) ** -other for rank in range(20)]
        return [weight / sum(each) for weight in each]

    assert deviation(counts, law(exponent)) < CRITICAL
    assert deviation(counts, law(exponent + 0.15)) > 2 * CRITICAL


def test_one_rank_is_all_there_is() -> None:
    assert Zipf(1, 1.0).draw(Chooser(0).stream("test")) == 0
