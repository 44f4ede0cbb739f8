"""Latency distributions: exact quantiles, and parts that add up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.study.gather.latencies import GROUPS, Latencies
from cosim.study.run.latency import share_out

PARTS = st.dictionaries(st.sampled_from(["walk", "link", "memory", "queue"]), st.integers(0, 10**12), min_size=1)


@settings(max_examples=40)
@given(st.lists(PARTS, min_size=1, max_size=50))
def test_the_parts_of_the_mean_and_of_the_tail_add_up(samples):
    latencies = Latencies()
    for parts in samples:
        latencies.add(sum(parts.values()), parts)
    found = latencies.summary()
    assert sum(found.parts.values()) == found.mean_ps
    totals = sorted(sum(parts.values()) for parts in samples)
    assert abs(found.mean_ps * len(totals) - sum(totals)) * 2 <= len(totals)
    tail = [total for total in totals if total >= found.p99_ps]
    assert abs(sum(found.tail.values()) * len(tail) - sum(tail)) * 2 <= len(tail)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_quantiles_are_values_that_were_seen_at_their_rank(totals):
    latencies = Latencies()
    for total in totals:
        latencies.add(total, {"memory": total})
    found = latencies.summary()
    for quantile, q in ((found.p50_ps, 0.5), (found.p95_ps, 0.95), (found.p99_ps, 0.99), (found.p999_ps, 0.999)):
        assert quantile in totals
        below = sum(total < quantile for total in totals)
        upto = sum(total <= quantile for total in totals)
        assert below < q * len(totals) + 1e-9
        assert upto >= q * len(totals) - 1e-9
    assert found.max_ps == max(totals)


def test_a_share_is_of_the_samples_that_took_as_long_or_longer():
    latencies = Latencies()
    for total in (30, 10, 20, 10):
        latencies.add(total, {"memory": total})
    assert latencies.summary().shares() == {10: 1.0, 20: 0.5, 30: 0.25}


def test_the_tail_is_made_of_the_slow_samples_alone():
    latencies = Latencies()
    for _ in range(99):
        latencies.add(10, {"memory": 10})
    latencies.add(1000, {"memory": 10, "walker_wait": 990})
    latencies.add(1000, {"memory": 10, "walker_wait": 990})
    assert latencies.summary().tail == {"memory": 10, "walker_wait": 990}


def test_the_tail_of_many_different_latencies_begins_a_little_early_at_most():
    latencies, totals = Latencies(), [1_000_003 + 7919 * n % 1_000_000 for n in range(20 * GROUPS)]
    for total in totals:
        latencies.add(total, {"memory": 1000, "walker_wait": total - 1000})
    found = latencies.summary()
    assert sum(found.parts.values()) == found.mean_ps
    early = [total for total in totals if total >= found.p99_ps * (1 - 2**-6)]
    late = [total for total in totals if total >= found.p99_ps]
    mean = sum(found.tail.values())
    assert sum(early) / len(early) <= mean <= sum(late) / len(late) + 1
    assert found.tail["memory"] == 1000


def test_a_sample_whose_parts_do_not_add_up_is_refused():
    with pytest.raises(ValueError, match="a latency of 11 ps has parts of 10 ps"):
        Latencies().add(11, {"memory": 10})


def test_the_largest_remainders_get_the_missing_picoseconds():
    assert share_out({"a": 5, "b": 4, "c": 0}, 2) == (5, {"a": 3, "b": 2})


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=80))
def test_samples_that_are_alike_count_as_often_as_they_came(samples):
    latencies, totals = Latencies(), {}
    for walk, link in samples:
        latencies.add(walk + link, {"walk": walk, "link": link})
        for part, ps in (("walk", walk), ("link", link)):
            totals[part] = totals.get(part, 0) + ps
    assert latencies.summary().parts == share_out(totals, len(samples))[1]
    assert latencies.summary().parts == share_out(totals, len(samples))[1], "also when it is asked again"


def test_however_many_latencies_there_are_few_are_kept_apart():
    latencies = Latencies()
    for total in range(3 * GROUPS):
        for _ in range(2):
            latencies.add(total, {"walk": total})
    assert len(latencies._last) <= GROUPS
    assert latencies.summary().parts == {"walk": latencies.summary().mean_ps}
    assert latencies.summary().count == 6 * GROUPS
