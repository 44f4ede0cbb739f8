"""Chance: the numbers that components draw come from the seed and their paths, and are the same everywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cosim.sim.chooser import Chooser
from cosim.sim.stream import Stream


def test_chance_comes_from_the_seed_and_the_path_alone() -> None:
    def drawn(seed: int, path: str) -> list[int]:
        stream = Chooser(seed).stream(path)
        return [stream.below(1000) for _ in range(5)]

    assert drawn(1, "nic0") == drawn(1, "nic0")
    assert len({tuple(drawn(seed, path)) for seed in (1, 2) for path in ("nic0", "nic1")}) == 4
    assert drawn(1, "nic0") == [970, 759, 549, 922, 979], "the same numbers in every version of Python"


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
def test_below_is_uniform(n: int) -> None:
    stream = Stream(0, "test")
    counts = [0] * n
    for _ in range(2000 * n):
        counts[stream.below(n)] += 1
    assert all(1850 < count < 2150 for count in counts)


def test_exponential_draws_have_the_mean_and_the_memory_of_an_exponential_distribution() -> None:
    stream = Stream(0, "test")
    draws = sorted(stream.exponential(10_000) for _ in range(20_000))
    assert 9_800 < sum(draws) / len(draws) < 10_200
    for quantile, expected in ((0.5, 6_931), (0.9, 23_026), (0.99, 46_052)):
        assert 0.95 * expected < draws[int(quantile * len(draws))] < 1.05 * expected
    assert Stream(0, "test").exponential(0) == 1


def test_components_that_are_handed_over_draw_from_the_next_ones_seed() -> None:
    """So that runs which share their boot have each its own chance behind it."""

    def drawn(first: int, then: int) -> int:
        chooser = Chooser(first)
        stream = chooser.stream("nic0")
        chooser.replaced_by(Chooser(then))
        return stream.below(1 << 60)

    assert drawn(1, 2) == drawn(2, 2) == Chooser(2).stream("nic0").below(1 << 60)
    assert drawn(1, 2) != drawn(1, 1)


@pytest.mark.parametrize(
    "draw",
    [lambda stream: stream.below(1), lambda stream: stream.random(), lambda stream: stream.exponential(5)],
    ids=["below", "random", "exponential"],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_who_was_handed_over_is_untouched_until_it_draws(draw: Callable[[Stream], float], seed: int) -> None:
    chooser, then = Chooser(1), Chooser(seed)
    drawing, _ = chooser.stream("nic0"), chooser.stream("nic1")
    chooser.replaced_by(then)
    assert then.untouched
    draw(drawing)
    assert not then.untouched


@pytest.mark.parametrize(("seed", "untouched"), [(1, False), (2, True)])
def test_what_was_drawn_before_is_forgotten_with_another_seed_alone(seed: int, untouched: bool) -> None:
    chooser, then = Chooser(1), Chooser(seed)
    chooser.stream("nic0").below(5)
    chooser.replaced_by(then)
    assert then.untouched == untouched


def test_a_run_is_untouched_by_chance_until_one_of_its_components_draws() -> None:
    """Whichever that is; from then on it would be another run with another seed."""
    for first in range(3):
        chooser = Chooser(1)
        streams = [chooser.stream(f"nic{number}") for number in range(3)]
        assert chooser.untouched
        streams[first].below(2)
        assert not chooser.untouched
        chooser.replaced_by(Chooser(2))
        assert chooser.untouched
