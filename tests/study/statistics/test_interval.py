"""Confidence intervals are true: as often as they say, the mean that is known is in them."""

from math import sin, sqrt
from random import Random

import pytest

from cosim.study.statistics.interval import BLOCKS, FEW, MANY, Interval, correlation, interval, mser, of_batches
from cosim.study.statistics.student import quantile
from tests.study.statistics.queues import Service, blocks, mean

QUEUES: list[tuple[Service, float]] = [
    ("exponential", 0.5),
    ("exponential", 0.9),
    ("constant", 0.5),
    ("constant", 0.9),
]


def found(service: Service, load: float, runs: int, customers: int) -> tuple[float, float]:
    """How many of those intervals that were given hold the mean, and how many were refused."""
    exact = mean(service, load)
    intervals = [interval(run.tolist()) for run in blocks(service, load, runs=runs, customers=customers, of=BLOCKS)]
    given = [one for one in intervals if isinstance(one, Interval)]
    assert given
    return sum(one.low <= exact <= one.high for one in given) / len(given), 1 - len(given) / runs


@pytest.mark.slow
@pytest.mark.parametrize(("service", "load"), QUEUES)
def test_of_a_thousand_intervals_93_to_97_percent_hold_the_mean(service: Service, load: float) -> None:
    right, refused = found(service, load, 1000, 20_000)
    assert 0.93 <= right <= 0.97
    assert refused < (0.02 if load < 0.9 else 0.12)


def test_of_a_hundred_intervals_most_hold_the_mean() -> None:
    right, refused = found("exponential", 0.5, 100, 1_280)
    assert 0.90 <= right <= 0.99
    assert refused <= 0.1


def test_a_busy_queue_watched_for_a_short_time_is_refused_and_told_why() -> None:
    runs = blocks("exponential", 0.95, runs=20, customers=1_280, of=BLOCKS)
    told = [interval(run.tolist()) for run in runs]
    refused = [one for one in told if isinstance(one, str)]
    assert len(refused) >= 18
    assert any(one.startswith("too short: worth ") for one in refused)


def test_a_beginning_that_differs_is_no_part_of_a_steady_state() -> None:
    steady = [10 + sin(7919.0 * at) for at in range(BLOCKS)]
    assert isinstance(interval(steady), Interval)
    cold = [value + 5 * 0.9**at for at, value in enumerate(steady)]
    told = interval(cold)
    assert isinstance(told, str)
    assert told.startswith("not warm: the first ")
    assert told.endswith(" % differ from the rest; raise run.warmup")


@pytest.mark.parametrize(
    ("cold", "off", "told"),
    [(1, 7.0, False), (1, 14.0, False), (1, 30.0, True), (32, 2.0, True), (32, 0.2, False), (200, 2.0, False)],
)
def test_a_beginning_is_told_if_it_differs_for_sure_and_would_move_the_mean(cold: int, off: float, told: bool) -> None:
    """In standard deviations of a block: the fewer blocks it is, the farther off it has to be, for both.

    Of more than half of a run nobody knows whether they or the rest are the steady state.
    """
    chance = Random(1)
    blocks = [chance.gauss(100, 1) + (off if at < cold else 0) for at in range(BLOCKS)]
    assert mser(blocks) <= BLOCKS // 2
    assert str(interval(blocks)).startswith("not warm") == told


def test_what_does_not_vary_is_known_exactly() -> None:
    assert interval([202.0] * BLOCKS) == Interval(202.0, 202.0)


def test_neighbours_that_are_alike_make_an_interval_wider() -> None:
    chance = Random(1)
    apart = [chance.random() for _ in range(BLOCKS)]
    alike = [apart[at // 4 * 4] for at in range(BLOCKS)]
    narrow, wide = interval(apart), interval(alike)
    assert isinstance(narrow, Interval)
    assert isinstance(wide, Interval)
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)


def test_blocks_that_are_much_alike_are_known_as_well_as_the_worse_of_few_and_many_batches_says() -> None:
    """In some of these runs the few say less, and in some the many; skewness would widen it as well."""
    worse = set()
    for seed in range(12):
        chance, blocks = Random(seed), [100.0]
        while len(blocks) < BLOCKS + 100:
            blocks.append(100 + 0.7 * (blocks[-1] - 100) + chance.gauss(0, 1))
        told, few, many = interval(blocks[100:]), of_batches(blocks[100:], FEW), of_batches(blocks[100:], MANY)
        assert isinstance(told, Interval)
        if abs(few.skewness) > 0.4:
            continue
        half = quantile(0.975, FEW - 1) * sqrt(max(few.variance, many.variance))
        assert (told.high - told.low) / 2 == pytest.approx(half, rel=0.03)
        if not 0.8 < few.variance / many.variance < 1.25:
            worse.add(few.variance > many.variance)
    assert worse == {False, True}


def test_batches_that_are_still_alike_say_less_than_their_number() -> None:
    alike, apart = ([float(at // 16 // 4) for at in range(BLOCKS)], [float(at // 16 % 5) for at in range(BLOCKS)])
    assert sorted(alike) == sorted(apart)
    assert of_batches(alike, 20).variance > 3 * of_batches(apart, 20).variance


def test_an_interval_leans_to_where_the_rare_long_ones_are() -> None:
    rare = [100.0 if at % 61 == 7 else 1.0 for at in range(BLOCKS)]
    told = interval(rare)
    assert isinstance(told, Interval)
    middle = sum(rare) / BLOCKS
    assert told.high - middle > middle - told.low


def test_mser_cuts_where_the_beginning_ends() -> None:
    steady = [sin(7919.0 * at) for at in range(BLOCKS)]
    assert mser(steady) < 12
    assert 20 <= mser([value + (50 if at < 20 else 0) for at, value in enumerate(steady)]) < 32
    assert mser([value + at for at, value in enumerate(steady)]) <= BLOCKS // 2


def test_the_correlation_of_neighbours_is_told_from_one_end_to_the_other() -> None:
    assert correlation([1.0, 1.0, 1.0]) == 0
    assert correlation([float(at % 2) for at in range(100)]) == -0.5
    assert correlation([float(at) for at in range(1000)]) == 0.99


def test_few_values_that_have_nothing_to_do_with_one_another_are_not_found_to_differ() -> None:
    """As they are by one part in so many if their own mean is taken for the true one."""
    chance = Random(1)
    found = [correlation([chance.random() for _ in range(16)]) for _ in range(2000)]
    assert abs(sum(found) / len(found)) < 0.02
