"""Means over replications, with their intervals, and how many more it takes to make one narrow."""

from math import inf, sqrt

import pytest

from cosim.study.report.page import Page
from cosim.study.report.sweep_table import heading, short, spelled, table
from cosim.study.results.estimate import (
    Estimate,
    Mean,
    chosen,
    estimates,
    mean_of,
    unknown_metrics,
    wanted_replications,
)
from tests.study.results.made import READ, stored

WALK = "nic0.read.parts.walk"


def test_a_mean_has_student_s_interval() -> None:
    mean = mean_of([1.0, 2.0, 3.0, 4.0])
    assert (mean.value, mean.count) == (2.5, 4)
    assert mean.half == pytest.approx(3.18245 * sqrt(5 / 3) / 2, rel=1e-5)
    assert mean_of([7.0]) == Mean(7.0, inf, 1)
    assert Mean(-4.0, 1.0, 2).relative == Mean(4.0, 1.0, 2).relative == 0.25


def test_points_are_told_apart_and_what_failed_is_counted_and_left_out() -> None:
    runs = [stored("a", 0, read=1), stored("a", 1, read=3), stored("a", 2, "failed", read=99), stored("b", 0, "lost")]
    first, second = estimates(runs, [READ])
    assert (first.point, first.replications, first.failed, first.means[READ].value) == ("a", 3, 1, 2)
    assert first.reason == "failed: in words"
    assert (second.replications, second.failed, dict(second.means)) == (1, 1, {})


def test_a_metric_that_no_run_has_is_told_with_the_nearest() -> None:
    """What a run that failed lacks is nobody's mistake, and neither is a part that nothing waited for."""
    runs = [stored("a", 0, read=1), stored("a", 1, "failed")]
    assert unknown_metrics(runs, [READ, "nic0.*", WALK]) == []
    told = unknown_metrics(runs, ["nic0.reed.mean_ps", "gone.*"])
    assert told == [
        "nic0.reed.mean_ps: no run has such a number; did you mean nic0.read.mean_ps?",
        "gone.*: no run has such a number; cosim list scalars has their names",
    ]
    assert unknown_metrics(runs[1:], ["nic0.reed.mean_ps"]) == []


def test_a_part_that_a_run_lacks_is_0_there() -> None:
    runs = [stored("a", 0, read=1, **{WALK: 4.0}), stored("a", 1, read=1)]
    (estimate,) = estimates(runs, ["*.parts.*"])
    assert estimate.means[WALK].value == 2.0


@pytest.mark.parametrize(
    ("name", "grows"),
    [
        (READ, True),
        ("nic0.read.p999_ps", True),
        ("nic0.status.max_ps", True),
        ("nic0.read.parts.slot", True),
        ("nic0.backlog_max", True),
        (WALK, False),
        ("nic0.read.count", False),
        ("nic1.read.mean_ps", False),
        ("cpu0.read.unmap.mean_ps", False),
    ],
)
def test_what_grows_with_the_run_has_no_interval_and_is_marked(name: str, grows: bool) -> None:
    """One run of a point in which the device was overloaded is enough."""
    runs = [stored("a", at, read=1.0, **{name: 4000.0 + at, "nic0.overloaded": at}) for at in range(2)]
    (estimate,) = estimates(runs, [name])
    mean = estimate.means[name]
    assert (mean.overloaded, mean.half == inf) == (grows, grows)
    assert spelled(name, mean).endswith(" ^") == grows
    assert (wanted_replications(estimate, 1e-9) == 2) == grows, "more runs would not make it known"
    lines = [line.plain for line in table([estimate], Page(80), [name])]
    assert ("^ overloaded: it grows with run.until, so that there is no mean of it" in lines) == grows


def test_a_run_in_which_no_request_ended_has_none_of_them_and_no_latency_and_no_part_of_one() -> None:
    """So a mean over fewer runs says of how many it is, with the interval of that run if it is one."""
    count, own = "nic0.read.count", {"nic0.read.ci95_from_ps": 60.0, "nic0.read.ci95_to_ps": 120.0}
    runs = [stored("a", 0, other=1), stored("a", 1, read=90, **{count: 3.0, WALK: 4.0}, **own)]
    (estimate,) = estimates([*runs, stored("a", 2, "failed")], [count, READ, WALK])
    assert (estimate.good, estimate.means[count].value, estimate.means[count].count) == (2, 1.5, 2)
    assert estimate.means[READ] == Mean(90.0, 30.0, 1)
    assert (estimate.means[WALK].value, estimate.means[WALK].count) == (4.0, 1)
    assert spelled(READ, estimate.means[READ], estimate.good) == "0.090 ± 0.030 (1 run)"
    assert spelled(READ, Mean(90.0, inf, 2), 3) == "0.0900 (2 runs)"
    assert spelled(READ, Mean(90.0, inf, 2), 2) == "0.0900"


def test_a_single_run_has_the_interval_that_it_found_itself() -> None:
    own = {"nic0.read.ci95_from_ps": 90.0, "nic0.read.ci95_to_ps": 130.0}
    (estimate,) = estimates([stored("a", 0, read=100, **own)], [READ])
    assert estimate.means[READ] == Mean(100.0, 30.0, 1)


@pytest.mark.parametrize(
    ("half", "count", "wanted"), [(1.0, 10, 10), (2.0, 10, 10), (3.0, 10, 20), (2.2, 10, 13), (inf, 1, 2)]
)
def test_as_many_replications_are_added_as_may_be_enough_and_never_more_than_twice(
    half: float, count: int, wanted: int
) -> None:
    estimate = Estimate("a", {}, count, 0, {READ: Mean(100.0, half, count)})
    assert wanted_replications(estimate, 0.02) == wanted


def test_numbers_are_chosen_by_name_glob_or_as_the_mean_latencies_of_devices() -> None:
    names = ["gpu0.read.mean_ps", "gpu0.read.p99_ps", "cpu0.map.mean_ps", "iommu0.iotlb.hit_rate"]
    assert chosen(names, []) == ["gpu0.read.mean_ps"]
    assert chosen(names, ["*.hit_rate", "gpu0.*"]) == ["iommu0.iotlb.hit_rate", *names[:2]]


@pytest.mark.parametrize(
    ("name", "mean", "told"),
    [
        (READ, Mean(312_490.0, 4_012.0, 3), "312.5 ± 4.0"),
        (READ, Mean(1_312_490.0, 41_012.0, 3), "1,312 ± 41"),
        ("iommu0.iotlb.hit_rate", Mean(0.4962, inf, 1), "49.62"),
        ("nic0.reads", Mean(1234567.0, inf, 1), "1,234,567"),
        (READ, None, "-"),
        (READ, Mean(0.0, 0.0, 3), "0.0 ± 0.0"),
    ],
)
def test_a_mean_is_told_with_the_digits_that_its_interval_leaves_it(name: str, mean: Mean | None, told: str) -> None:
    assert spelled(name, mean) == told


def test_axes_are_called_by_as_much_of_their_path_as_tells_them_apart() -> None:
    assert short(["a.b.size", "a.c.size", "d.walkers"]) == ["b.size", "c.size", "walkers"]
    assert heading("gpu0.read.p99_ps") == "gpu0.read.p99 ns"
    assert heading("nic0.read_gbps") == "nic0.read Gb/s"


def test_a_part_of_a_latency_is_in_the_unit_of_the_latency() -> None:
    assert heading(WALK) == "nic0.read.parts.walk ns"
    assert spelled(WALK, Mean(146_009.0, inf, 1)) == spelled(READ, Mean(146_009.0, inf, 1)) == "146.0"


def test_why_a_point_failed_is_told_of_its_first_run_that_did() -> None:
    runs = [stored("a", 0, read=1), stored("a", 1, "failed"), stored("a", 2, "lost")]
    (point,) = estimates(runs, [READ])
    assert (point.failed, point.reason) == (2, "failed: in words")
