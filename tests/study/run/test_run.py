"""A run is a pure function of its point: what it measures, how it ends, and that it repeats."""

import gc
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import cosim
from cosim.events import BootDone, WalkDone
from cosim.study.report.report import print_report
from cosim.study.run.judged import refused
from cosim.study.run.kernel_lines import LogLine
from cosim.study.run.run import Point, UnderWay, run
from cosim.study.run.stop import Stop

TINY = Path(__file__).parents[2] / "tiny.yaml"


@pytest.fixture(scope="module")
def tiny():
    return cosim.load(TINY)


@pytest.fixture(scope="module")
def result(tiny):
    return cosim.run(tiny)


def at_its_end(topology, look, follows=None):
    """What `look` sees of a run that has come to its end, as that of `follows` from the end of its boot on."""

    def watch(sim):
        sim.probe(BootDone).watch(lambda _: begun.follow(follows) if follows else None)

    begun = UnderWay(Point(topology), [watch])
    begun.advance()
    found = look(begun)
    begun.close()
    return found


def test_the_smallest_system_runs_clean(result):
    assert result.outcome == "ok"
    assert result.exit_code == 0
    assert not result.violations
    assert not result.faults
    assert result.simulated_ps == result.boot_ps + 30_000_000


def test_the_parts_of_every_mean_add_up_to_it(result):
    assert {"nic0.read", "cpu0.map-unmap.map", "cpu0.map-unmap.unmap"} <= result.latencies.keys()
    for name, latency in result.latencies.items():
        assert sum(latency.parts.values()) == latency.mean_ps, name


def test_unloaded_latency_is_the_sum_of_its_parts_to_the_picosecond(tiny):
    alone = cosim.run(
        tiny, set={"nic0.traffic.outstanding": 1, "threads.0.start": "1 ms", "iommu0.timing.fill": "3 ns"}
    )
    read = alone.latencies["nic0.read"]
    hop, lookup, link, dram, start, step, fill = (1000 * ns for ns in (50, 2, 10, 80, 1, 1, 3))
    assert read.p50_ps == 2 * hop + lookup + 2 * link + dram
    directory, table = 3, 5  # levels: 3LVL, Sv57
    cold = 2 * start + (directory + table) * (2 * link + dram + step) + fill
    assert read.max_ps == read.p50_ps + cold


def test_both_executors_give_the_same_run(tiny, result):
    plain = cosim.run(tiny, set={"run.executor": "plain"})
    assert plain.digest == result.digest
    assert plain.latencies == result.latencies
    assert plain.scalars == result.scalars


def test_another_seed_is_another_run_where_chance_is_drawn(tiny, result):
    assert cosim.run(tiny, seed=1).digest != result.digest
    regular = {"nic0.traffic.pattern": "sequential", "run.until": "10 us"}
    assert cosim.run(tiny, seed=1, set=regular).digest == cosim.run(tiny, seed=2, set=regular).digest


def test_points_and_results_can_be_pickled(tiny, result):
    point = pickle.loads(pickle.dumps(Point(tiny, "tiny")))
    again = pickle.loads(pickle.dumps(run(point)))
    assert again.digest == result.digest
    assert again.latencies == result.latencies


@pytest.mark.slow
def test_the_digest_is_the_same_in_processes_that_hash_differently(result):
    code = f"import cosim; print(cosim.run({str(TINY)!r}).digest)"
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == result.digest


def test_the_resolved_topology_of_a_result_runs_again_by_itself(tmp_path, tiny):
    changed = cosim.run(tiny, set={"nic0.traffic.size": "128 B"}, seed=3)
    file = tmp_path / "resolved.yaml"
    file.write_text(changed.resolved)
    assert cosim.run(file).digest == changed.digest


def test_a_run_that_ends_before_boot_says_that_it_measured_nothing(tiny):
    early = cosim.run(tiny, set={"run.boot_limit": "20 us"})
    assert early.outcome == "failed"
    assert early.failures == ("nothing was measured: boot had not ended at 20 us; raise run.boot_limit",)
    assert (early.boot_ps, early.simulated_ps) == (-1, 20_000_000)


def test_a_warm_up_hides_what_came_before(tiny, result):
    late = cosim.run(tiny, set={"run.warmup": "25 us"})
    assert late.window_ps == (late.boot_ps + 25_000_000, late.boot_ps + 30_000_000)
    assert 0 < late.latencies["nic0.read"].count < result.latencies["nic0.read"].count


def test_an_expectation_that_does_not_hold_fails_the_run(tiny):
    expect = {"expect": {"scalars": {"iommu0.commands.total": 3, "nic0.reads": {"min": 1}, "kernel.pages.raed": 1}}}
    failed = cosim.run(tiny, set=expect)
    assert failed.outcome == "failed"
    wrong, unknown = failed.failures
    assert wrong.startswith("iommu0.commands.total: ")
    assert wrong.endswith(", expected 3")
    assert unknown.startswith("kernel.pages.raed: no run has such a number; ")


@pytest.mark.parametrize("least", [1, 1_000_000])
def test_a_run_of_which_only_the_verdict_is_asked_for_has_the_same_one(tiny, least):
    """Numbers that something is expected of are looked up for that, and no others."""
    for expect in ({"scalars": {"nic0.reads": {"min": least}}}, {"scalars": {"nic0.read.max_ps": {"min": least}}}, {}):
        topology = cosim.load(tiny, set={"expect": expect, "run.until": "5 us"})
        judged, whole = at_its_end(topology, UnderWay.judge), cosim.run(topology)
        assert (judged.outcome, judged.failures) == (whole.outcome, whole.failures)
        assert bool(judged.scalars) == bool(expect)
        assert bool(judged.latencies) == ("nic0.read.max_ps" in str(expect))


LATER = [
    ({"run.warmup": "5 us"}, ()),
    ({"run.hold": "3 us", "expect.violations": 3}, ("cpu0.map-unmap.st#7:2",)),
    ({"stalls": [{"part": "iommu0.commands", "at": "1 us", "for": "7 us"}]}, ()),
]


@pytest.mark.parametrize(("changes", "schedule"), LATER)
def test_at_the_end_of_boot_a_run_may_become_that_of_another_point(tiny, changes, schedule):
    point = Point(cosim.load(tiny, set={"run.until": "10 us", **changes}), "other", schedule)
    alone = run(point)
    assert at_its_end(tiny, UnderWay.result, point) == alone
    assert not alone.unasked


def test_the_hosts_time_limit_ends_a_run_and_keeps_what_was_measured(tiny):
    stop = Stop()
    with stop.listening((), 0.0):
        limited = run(Point(tiny), stop=stop)
    assert limited.outcome == "stuck"
    assert limited.exit_code == 4
    assert "time limit" in limited.failures[0]


def test_a_schedule_perturbs_the_run_that_it_names_and_no_other(tiny, result):
    held = cosim.run(tiny, schedule=["cpu0.map-unmap.st#7:2"])
    assert held.digest != result.digest
    assert held.schedule == ("cpu0.map-unmap.st#7:2",)
    assert not held.unasked
    assert cosim.run(tiny, schedule=["cpu0.map-unmap.st#100000:2"]).digest == result.digest


def test_a_choice_that_a_run_never_comes_to_is_told(tiny):
    """It is a slip of the pen, or the run took another way."""
    result = cosim.run(tiny, schedule=["nic0.fil#1:2", "cpu0.map-unmap.st#7:2", "nobody#1:0"])
    assert result.unasked == ("nic0.fil#1:2",)
    assert result.as_json()["unasked"] == ["nic0.fil#1:2"]


def test_a_step_that_was_taken_out_and_never_come_to_is_told(tiny, result):
    """Without it the driver is the same, and an `ok` says nothing of what the step is worth."""
    without = {"driver.invalidate.without": "fence", "driver.tables.without": "flush-of-replaced"}
    less = cosim.run(tiny, set=without, until="10 us")
    assert less.idle_steps == ("tables: flush-of-replaced",)
    assert less.as_json()["idle_steps"] == ["tables: flush-of-replaced"]
    report = io.StringIO()
    print_report(less, report)
    text = " ".join(report.getvalue().split())
    assert "? tables: flush-of-replaced was taken out, and the run never came to it" in text
    assert not result.idle_steps


def test_an_action_that_asks_again_is_answered_by_its_own_number_and_how_often_it_was_held(tiny):
    once = cosim.run(tiny, schedule=["cpu0.map-unmap.st#7:2"])
    twice = cosim.run(tiny, schedule=["cpu0.map-unmap.st#7:2", "cpu0.map-unmap.st#7.1:2"])
    assert twice.digest != once.digest
    assert not twice.unasked
    assert cosim.run(tiny, schedule=["cpu0.map-unmap.st#7.1:2"]).unasked == ("cpu0.map-unmap.st#7.1:2",)


def test_a_call_may_take_longer_by_every_hold_of_a_schedule(tiny):
    """Without any hold 180 s are too long, twice the time-out of a fence; so 290 s are with a single one of 100 s."""
    held = ["cpu0.map-unmap.ld#30:2", "cpu0.map-unmap.ld#30.1:2", "cpu0.map-unmap.ld#30.2:2"]
    quiet = {"nic0.traffic.pattern": "none", "threads.0.count": 1, "run.hold": "100 s"}
    result = cosim.run(tiny, set={**quiet, "run.until": "290 s"}, schedule=held)
    assert list(result.unfinished) == ["cpu0.map-unmap.unmap"]
    assert not result.violations


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (["nic0.fill"], "--schedule: 'nic0.fill' is not NAME:ANSWER, such as cpu0.map.st#7:1"),
        (["cpu0.t.st#7.0:1"], "--schedule: 'cpu0.t.st#7.0:1' is not NAME:ANSWER, such as cpu0.map.st#7:1"),
        (["cpu0.t.st#7.1.past:1"], "--schedule: 'cpu0.t.st#7.1.past:1' is not NAME:ANSWER"),
        (["cpu0.t.st#7:1", "cpu0.t.st#7:2"], "--schedule: cpu0.t.st#7 is answered 2 times"),
        (
            ["a#0:1;b#7.past:1; c#0.1:2"],
            "--schedule: 'a#0:1;b#7.past:1; c#0.1:2' is one text; separate choices with a "
            "comma: a#0:1,b#7.past:1,c#0.1:2",
        ),
        (["a#0:1 b#0:1"], "--schedule: 'a#0:1 b#0:1' is one text; separate choices with a comma: a#0:1,b#0:1"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule, said):
    with pytest.raises(cosim.TopologyError) as error:
        cosim.run(TINY, schedule=schedule)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("executor", ["plain", "agenda"])
def test_an_answer_that_a_choice_does_not_have_is_an_error_of_whoever_gives_it(executor):
    for name in ("cpu0.map-unmap.st#7", "nic0.walk#1"):
        with pytest.raises(cosim.TopologyError) as error:
            cosim.run(TINY, set={"run.executor": executor}, schedule=[f"{name}:3"])
        assert str(error.value) == f"--schedule: {name}:3: this choice has the answers 0 to 2"


def test_a_result_names_the_command_that_repeats_it(tiny):
    changed = cosim.run(TINY, set={"nic0.traffic.size": "128 B"}, seed=3, schedule=["nic0.walk#1:2"])
    assert changed.replay == (f"cosim run {TINY} -s 'nic0.traffic.size=128 B' --seed 3 --schedule 'nic0.walk#1:2'")


def test_the_deepest_queue_of_the_window_is_kept(result):
    assert result.scalars["iommu0.cq.depth_max"] >= 1
    assert 0 < result.scalars["iommu0.cq.depth_mean"] < result.scalars["iommu0.cq.depth_max"]


def test_what_is_given_up_when_a_run_is_over_is_no_event_of_it():
    """A trace is closed by then."""
    heard = []
    topology = cosim.load(
        TINY, set={"run.until": "5 us", "iommu0.geometry.iotlb_entries": 0, "nic0.traffic.outstanding": 16}
    )
    run(Point(topology), watchers=[lambda sim: sim.probe(WalkDone).watch(heard.append)])
    until_then = len(heard)
    gc.collect()
    assert len(heard) == until_then > 0


def test_an_iommu_that_boot_cannot_take_into_service_fails_the_run(tiny):
    without = cosim.run(tiny, set={"dram0.size": "72 KiB"})
    assert without.outcome == "failed"
    says = "the kernel log says: probe failed: -ENOMEM: no page for queue"
    assert f"iommu0 was not taken into service; {says}" in without.failures


def test_of_a_part_that_is_not_in_service_the_first_error_that_names_it_is_quoted():
    """The IOMMU may have named itself in what it says, or another part it; iommu10 is another one."""
    lines = [
        LogLine(1, "iommu1", "warning", "a hint"),
        LogLine(2, "kernel", "error", "iommu10: no queue"),
        LogLine(3, "kernel", "error", "iommu1: no queue"),
        LogLine(4, "iommu1", "error", "probe failed"),
    ]
    says = "was not taken into service; the kernel log says"
    assert refused(lines, "iommu1") == f"{says}: no queue"
    assert refused(lines[3:], "iommu1") == f"{says}: probe failed"
    assert refused(lines[:2], "iommu1") == f"{says} why"
