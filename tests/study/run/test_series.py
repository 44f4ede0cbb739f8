"""What a result holds when asked for: every latency, and numbers from step to step, of a run that stays the same."""

import json
from pathlib import Path

import pytest

import cosim
from cosim.study.run.result import Result
from cosim.study.run.samples import Samples

TINY = Path(__file__).parents[2] / "tiny.yaml"
SHORT = {"set": {"run.warmup": "5 us", "threads": []}, "until": "17 us", "seed": 3}


@pytest.fixture(scope="module")
def asked() -> Result:
    return cosim.run(TINY, samples=True, series="5 us", **SHORT)


@pytest.fixture(scope="module")
def plain() -> Result:
    return cosim.run(TINY, **SHORT)


def test_to_look_at_a_run_changes_nothing(asked: Result, plain: Result) -> None:
    assert asked.digest == plain.digest
    assert asked.scalars == plain.scalars
    assert asked.latencies == plain.latencies
    assert (plain.samples, plain.series.at_ps) == ({}, ())


def test_the_steps_divide_the_window_and_the_last_is_what_is_left(asked: Result) -> None:
    begin, end = asked.window_ps
    assert asked.series.at_ps == (begin + 5_000_000, begin + 10_000_000, end)
    assert end - begin == 12_000_000


@pytest.mark.parametrize("warmup", ["0 us", "28 us"])
@pytest.mark.parametrize("quick_s", [0.0, float("inf")], ids=["slow host", "fast host"])
def test_the_first_step_is_as_long_as_the_others_however_fast_the_host_is(
    monkeypatch: pytest.MonkeyPatch, warmup: str, quick_s: float
) -> None:
    """How far a run goes without a stop depends on how fast the host is; a window that opens in between ends that."""
    monkeypatch.setattr("cosim.study.run.run.QUICK_S", quick_s)
    monkeypatch.setattr("cosim.study.run.run.SLICES", 10)
    found = cosim.run(TINY, series="100 ns", until="31 us", set={"run.warmup": warmup, "threads": []})
    begin, end = found.window_ps
    assert found.series.at_ps == tuple(range(begin + 100_000, end + 1, 100_000))
    assert found.series.at_ps[-1] == end


def test_the_first_step_begins_with_the_window_where_boot_takes_longer_than_the_warm_up() -> None:
    asked = {"run.origin": "reset", "run.warmup": "1 us", "threads": []}
    found = cosim.run(TINY, series="5 us", until="100 us", set=asked)
    begin, end = found.window_ps
    assert begin == found.boot_ps > 10_000_000
    assert found.series.at_ps[0] == begin + 5_000_000 < end


@pytest.mark.parametrize("name", ["nic0.read_gbps", "nic0.in_flight_mean", "iommu0.places.utilisation"])
def test_the_numbers_of_the_steps_are_those_of_the_window_together(asked: Result, name: str) -> None:
    begin = asked.window_ps[0]
    weights = [end - start for start, end in zip((begin, *asked.series.at_ps), asked.series.at_ps, strict=False)]
    numbers = asked.series.values[name]
    whole = sum(weight * (number or 0) for weight, number in zip(weights, numbers, strict=True)) / sum(weights)
    assert whole == pytest.approx(asked.scalars[name], rel=1e-9)
    assert whole > 0


def test_hit_rates_are_between_0_and_1_and_none_where_nothing_was_looked_up(asked: Result) -> None:
    rates = asked.series.values["iommu0.iotlb.hit_rate"]
    assert all(rate is not None and 0 < rate <= 1 for rate in rates)
    nothing = cosim.run(TINY, series="5 us", set={"threads": [], "nic0.traffic": {"pattern": "none"}}, until="10 us")
    assert "iommu0.iotlb.hit_rate" not in nothing.series.values
    assert len(nothing.series.at_ps) == 2


def test_the_samples_are_what_the_distribution_counts(asked: Result) -> None:
    samples, latency = asked.samples["nic0.read"], asked.latencies["nic0.read"]
    assert len(samples) == latency.count == sum(latency.distribution.values())
    assert max(samples) == latency.max_ps
    deviation = (sum((sample - sum(samples) / len(samples)) ** 2 for sample in samples) / (len(samples) - 1)) ** 0.5
    assert latency.sd_ps == int(deviation)
    bounds = sorted(latency.distribution)
    for bound, following in zip(bounds, [*bounds[1:], 1 << 62], strict=True):
        assert sum(bound <= sample < following for sample in samples) == latency.distribution[bound]
    assert latency.ci95_ps is None
    assert latency.no_ci95 == f"too short: {len(samples)} samples, and 320 are needed"


def test_a_result_with_samples_is_json(asked: Result) -> None:
    read = json.loads(json.dumps(asked.as_json()))
    assert read["samples"]["nic0.read"] == list(asked.samples["nic0.read"])
    assert read["series"]["values"]["nic0.read_gbps"] == list(asked.series.values["nic0.read_gbps"])


def test_samples_that_were_folded_say_the_same_as_those_that_were_kept() -> None:
    folded, kept = Samples(exact=1000), Samples()
    for at in range(20 * 320):
        for samples in (folded, kept):
            samples.add(1_000_000 + 7919 * at % 100_000)
    assert folded.relative_error
    assert folded.deviation == kept.deviation
    assert folded.distribution() == kept.distribution()
    assert folded.interval() == kept.interval()
    assert len(kept.all()) == 20 * 320


@pytest.mark.parametrize("until", ["2 ms", "threads + 2 ms"])
def test_a_step_of_which_there_were_too_many_is_refused_before_the_run(until: str) -> None:
    threads = {"run.limit": "1 ms", "threads": [{"on": "cpu0", "does": "map", "domain": "nic0", "buffer": "x"}]}
    with pytest.raises(cosim.TopologyError, match=r"--series: a step of 10 ns makes more than 100,000 of . ms; take"):
        cosim.run(TINY, series="10 ns", until=until, set=threads if until != "2 ms" else {"threads": []})
