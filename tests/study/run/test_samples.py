"""Samples: exact while they are few, and within the stated error of the exact answer when they are many."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.study.gather.latencies import COARSEST, Latencies, group_of
from cosim.study.run.samples import RELATIVE_ERROR, Samples, bucket_of, middle, rank
from cosim.study.statistics.interval import BLOCKS, Interval
from cosim.system.number_names import QUANTILES

TOTALS = st.lists(st.one_of(st.integers(0, 3000), st.integers(0, 1 << 40), st.integers(0, (1 << 62))), min_size=1)


def taken(totals: list[int], exact: int) -> Samples:
    samples = Samples(exact)
    for total in totals:
        samples.add(total)
    return samples


@settings(derandomize=True, deadline=None)
@given(TOTALS)
def test_few_samples_are_answered_as_a_sorted_list_answers(totals: list[int]) -> None:
    samples, ordered = taken(totals, len(totals)), sorted(totals)
    assert samples.relative_error == 0
    assert samples.quantiles(QUANTILES) == {name: ordered[rank(q, len(totals))] for name, q in QUANTILES.items()}
    assert (len(samples), samples.largest) == (len(totals), ordered[-1])


@settings(derandomize=True, deadline=None)
@given(TOTALS, st.integers(0, 5))
def test_many_samples_are_answered_within_the_stated_error(totals: list[int], exact: int) -> None:
    samples, ordered = taken(totals, exact), sorted(totals)
    assert samples.relative_error == (RELATIVE_ERROR if len(totals) > exact else 0)
    for name, found in samples.quantiles(QUANTILES).items():
        real = ordered[rank(QUANTILES[name], len(totals))]
        assert abs(found - real) <= real * samples.relative_error
        assert found <= ordered[-1]
    assert (len(samples), samples.largest) == (len(totals), ordered[-1])


def test_the_stated_error_is_less_than_a_thousandth() -> None:
    assert 0 < RELATIVE_ERROR < 0.001


def test_one_sample_more_than_are_kept_makes_all_of_them_a_histogram() -> None:
    totals = list(range(100_000, 200_000, 1000))
    assert taken(totals, 100).quantiles(QUANTILES)["p50_ps"] == 149_000
    samples = taken([*totals, 149_000], 100)
    assert samples.relative_error
    assert samples.quantiles(QUANTILES)["p50_ps"] != 149_000
    samples.add(10**9)
    assert samples.largest == 10**9
    assert len(samples) == 102


def test_an_interval_leaves_out_the_oldest_samples_where_they_are_no_whole_blocks() -> None:
    samples = taken([10**9] * 5 + [1000] * 2 * BLOCKS, 10_000)
    assert samples.interval() == Interval(1000, 1000)


def test_an_interval_that_is_asked_for_changes_nothing() -> None:
    """Of samples that are folded, and of some that have come since."""
    chance = Random(1)
    samples = taken([chance.randrange(1000) for _ in range(10 * BLOCKS)], 5 * BLOCKS)
    assert len(samples.new) == 5 * BLOCKS - 1
    first = samples.interval()
    assert isinstance(first, Interval)
    assert samples.interval() == first


@settings(derandomize=True, deadline=None)
@given(st.integers(0, (1 << 62)))
def test_buckets_follow_one_another_and_each_holds_its_middle(sample: int) -> None:
    bucket, after = (int(found) for found in bucket_of(np.array([sample, sample + 1], dtype=np.int64)))
    assert after - bucket in (0, 1)
    assert int(bucket_of(np.array([middle(bucket)], dtype=np.int64))[0]) == bucket
    assert all(group_of(sample + 1, fine) - group_of(sample, fine) in (0, 1) for fine in range(COARSEST, 13))


PARTS = st.dictionaries(st.sampled_from(["walk", "link", "memory", "queue"]), st.integers(0, 10**12), min_size=1)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(PARTS, min_size=1, max_size=50))
def test_means_and_parts_stay_exact_in_a_histogram(samples: list[dict[str, int]]) -> None:
    exact, rough = Latencies(), Latencies(exact=0)
    for parts in samples:
        exact.add(sum(parts.values()), parts)
        rough.add(sum(parts.values()), parts)
    one, other = exact.summary(), rough.summary()
    assert (one.relative_error, other.relative_error) == (0, RELATIVE_ERROR)
    assert (one.count, one.mean_ps, one.max_ps, one.parts) == (other.count, other.mean_ps, other.max_ps, other.parts)


@pytest.mark.slow
def test_a_million_samples_are_exact_and_one_more_are_not() -> None:
    samples = taken(list(range(1_000_000)), 1_000_000)
    assert samples.quantiles({"p99": Fraction(99, 100)}) == {"p99": 989_999}
    samples.add(5)
    found = samples.quantiles({"p99": Fraction(99, 100)})["p99"]
    assert 0 < abs(found - 989_999) < 989_999 * 0.001
