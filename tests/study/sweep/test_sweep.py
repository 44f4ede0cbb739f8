"""Sweeps: what is missing is run, once; what is wrong stops nobody; points share their random numbers."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cosim
from cosim.cli import main
from cosim.config.problems import TopologyError
from cosim.study.results.results import Results
from cosim.study.sweep.request import Request
from cosim.units.quantities import US
from tests.study.pool.systems import TINY

READ = "dev0.read.mean_ps"
RANDOM = TINY.replace(
    "requests: 2", "requests: 40, pattern: random, interval: 100 ns, arrivals: poisson, outstanding: 2"
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(RANDOM, encoding="utf-8")
    return path


SLOW = Path(__file__).parents[2] / "tiny.yaml"
OWN_POLICY = """
import sys
sys.path.insert(0, {folder!r})

from dataclasses import dataclass

import beside_it
from cosim.sim.operations import Work
from cosim.sw.driver.policies.invalidate import PerIommu


@dataclass(frozen=True)
class Slow(PerIommu):
    async def range(self, driver, domain, start, end):
        await Work(beside_it.WAIT_PS)
        return await super().range(driver, domain, start, end)


sys.path.remove({folder!r})
"""
"""A policy whose number is in another file."""

AXES = {"dev0.traffic.size": ["64 B", "256 B"], "dram0.latency": "40 ns..80 ns*2"}


def test_every_point_is_run_with_every_replication_and_runs_are_those_of_cosim_run(tiny: Path) -> None:
    study = cosim.sweep(tiny, AXES, reps=2, jobs=1)
    assert [(*run.settings.values(), run.replication) for run in study.runs] == [
        (size, latency, replication)
        for size in ("64 B", "256 B")
        for latency in ("40 ns", "80 ns")
        for replication in (0, 1)
    ]
    last = study.runs[-1]
    alone = cosim.run(tiny, set={"dev0.traffic.size": "256 B", "dram0.latency": "80 ns"}, seed=1)
    assert (last.digest, last.seed, last.outcome) == (alone.digest, 1, "ok")
    assert last.numbers[READ] == alone.latencies["dev0.read"].mean_ps
    assert last.numbers["dev0.read.parts.memory"] == alone.latencies["dev0.read"].parts["memory"]
    assert last.numbers["dev0.read_gbps"] == pytest.approx(alone.scalars["dev0.read_gbps"], rel=1e-11)
    with pytest.raises(KeyError, match=r"did you mean dev0\.read\.mean_ps"):
        last.numbers["dev0.read.men_ps"]


def test_what_is_there_is_not_run_again_and_replications_and_axes_are_added(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.sqlite"

    def made(axes: dict[str, object], reps: int) -> tuple[int, int]:
        study = cosim.sweep(tiny, axes, reps=reps, jobs=1, file=file)
        runs = len(study.runs)
        return study.made, runs

    one = {"dev0.traffic.size": ["64 B", "256 B"]}
    assert made(one, 1) == (2, 2)
    assert made(one, 1) == (0, 2)
    assert made(one, 3) == (4, 6)
    assert made({"dev0.traffic.size": ["256 B", "512 B"]}, 3) == (3, 6)
    with Results(file) as results:
        ids = [run.id for run in results.runs()]
        assert len(ids) == len(set(ids)) == 9
        assert len(results.sweeps()) == 4


def test_points_of_equal_configurations_share_their_runs_and_are_told_apart(tiny: Path) -> None:
    """The second is met while the run of the first is under way, or after it."""
    study = cosim.sweep(tiny, {"dev0.traffic.size": ["1 KiB", "1024 B", "64 B"]}, reps=2, jobs=1)
    assert sorted((run.settings["dev0.traffic.size"], run.seed) for run in study) == [
        *(("1 KiB", 0), ("1 KiB", 1), ("1024 B", 0), ("1024 B", 1), ("64 B", 0), ("64 B", 1)),
    ]
    assert study.made == 4
    first, second, third = study.points
    assert (first.settings, second.settings) == ({"dev0.traffic.size": "1 KiB"}, {"dev0.traffic.size": "1024 B"})
    assert first.means == second.means
    assert first.point == second.point != third.point
    assert [point.replications for point in study.points] == [2, 2, 2]
    assert str(study).endswith("rows of equal configurations share their runs")


def test_runs_are_those_of_the_seeds_that_are_asked_for(tiny: Path, tmp_path: Path) -> None:
    """Whatever else the file has."""
    file, axes = tmp_path / "study.sqlite", {"dram0.latency": ["40 ns"]}
    assert [run.seed for run in cosim.sweep(tiny, axes, reps=3, jobs=1, file=file).runs] == [0, 1, 2]
    later = cosim.sweep(tiny, axes, reps=2, seed=2, jobs=1, file=file)
    assert (later.made, sorted(run.seed for run in later.runs)) == (1, [2, 3])
    assert [run.seed for run in cosim.sweep(tiny, axes, jobs=1, file=file).runs] == [0]


def test_another_file_takes_over_what_it_shares(tiny: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.sqlite", tmp_path / "second.sqlite"
    assert cosim.sweep(tiny, {"dev0.traffic.size": ["64 B", "256 B"]}, jobs=1, file=first).made == 2
    study = cosim.sweep(tiny, {"dev0.traffic.size": ["256 B", "512 B"]}, jobs=1, file=second, reuse=[first])
    assert study.made == 1
    assert [run.settings["dev0.traffic.size"] for run in study.runs] == ["256 B", "512 B"]
    with Results(second) as results:
        assert all(results.resolved(run.point) for run in results.runs())
        assert all(results.histograms(run.id) for run in results.runs())


def test_another_model_is_another_run(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "study.sqlite"
    assert cosim.sweep(tiny, {"dev0.traffic.size": ["64 B"]}, jobs=1, file=file).made == 1
    for module in ("cosim.study.sweep.points", "cosim.study.sweep.plan", "cosim.study.results.results"):
        monkeypatch.setattr(f"{module}.model_version", lambda: "another")
    study = cosim.sweep(tiny, {"dev0.traffic.size": ["64 B"]}, jobs=1, file=file)
    assert (study.made, len(study.runs)) == (1, 1)


def test_points_share_their_random_numbers_unless_they_are_to_be_independent(tiny: Path) -> None:
    axes = {"dram0.latency": ["40 ns", "41 ns"]}
    shared, apart = (cosim.sweep(tiny, axes, reps=2, jobs=1, independent=one).runs for one in (False, True))
    assert [run.seed for run in shared] == [0, 1, 0, 1]
    assert len({run.seed for run in apart}) == 4
    differences = [
        after.numbers[READ] - before.numbers[READ] for before, after in zip(shared, shared[2:], strict=False)
    ]
    assert all(0 < difference < 10_000 for difference in differences)


def test_a_point_that_cannot_be_is_noted_and_stops_nobody(tiny: Path) -> None:
    axes = {"run.warmup": ["0 ns", "30 us"], "run.until": ["20 us", "40 us"]}
    study = cosim.sweep(tiny, axes, jobs=1)
    assert [run.outcome for run in study.runs] == ["ok", "ok", "invalid", "ok"]
    assert "must end before `until`" in study.runs[2].reason
    assert [point.failed for point in study.points] == [0, 0, 1, 0]
    assert "invalid:" in str(study)


def test_as_many_runs_are_told_to_come_as_there_are_to_make() -> None:
    """Of a point that cannot be there is one, however many were asked for."""
    sweep = cosim.sweep(SLOW, {"run.warmup": ["0 ns", "3 us"], "run.until": ["2 us", "4 us"]}, reps=2)._sweep
    sweep.row = sweep.results.begin(sweep.row)
    sweep.missing = 2 * len(sweep.points)
    assert (len(list(sweep._first(2))), sweep.missing) == (7, 7)


def test_as_many_replications_are_made_at_first_as_are_asked_for_and_enough_for_an_interval() -> None:
    assert [Request(reps, ci).at_first for reps, ci in ((1, 0.0), (1, 0.02), (5, 0.02))] == [1, 3, 5]


def test_overlays_of_a_study_lie_beside_it(tiny: Path) -> None:
    folder = tiny.parent / "studies"
    folder.mkdir()
    (folder / "short.yaml").write_text("run: {until: 1 us}\n")
    (folder / "study.yaml").write_text(
        f"topology: {tiny}\naxes: {{dram0.latency: 40 ns}}\noverlays: [short.yaml]\n", encoding="utf-8"
    )
    (run,) = cosim.sweep(folder / "study.yaml", jobs=1).runs
    assert run.numbers["simulated_ps"] - run.numbers.get("boot_ps", 0) < 10 * US


def test_a_run_that_fails_is_told_with_its_reason(tiny: Path) -> None:
    study = cosim.sweep(tiny, {"dram0.latency": ["40 ns"]}, set={"expect.scalars": {"dev0.reads": 1}}, jobs=1)
    (run,) = study.runs
    assert (run.outcome, bool(run.numbers)) == ("failed", True)
    assert "dev0.reads" in run.reason
    assert "0 of 1" in str(study)


def test_an_axis_that_matches_nothing_is_answered_with_the_nearest_and_nothing_is_written(
    tiny: Path, tmp_path: Path
) -> None:
    file = tmp_path / "study.sqlite"
    with pytest.raises(TopologyError) as error:
        cosim.sweep(tiny, {"dev0.traffic.sise": [1, 2], "dram0.latency": ["1", "2 ns"]}, file=file)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("-x dev0.traffic.sise=1: ")
    assert lines[0].endswith("did you mean size?")
    assert any(line.startswith("-x dram0.latency=1: ") and "has no unit" in line for line in lines)
    assert len(lines) == 2
    assert not file.exists()


@pytest.mark.slow
def test_replications_are_added_until_the_interval_is_narrow(tiny: Path) -> None:
    study = cosim.sweep(tiny, {"dram0.latency": ["40 ns"]}, ci="8%", metrics=[READ], jobs=1)
    (point,) = study.points
    assert point.means[READ].relative <= 0.08
    few = cosim.sweep(tiny, {"dram0.latency": ["40 ns"]}, reps=point.replications // 2, metrics=[READ], jobs=1)
    assert few.points[0].means[READ].relative > 0.08
    with pytest.raises(TypeError, match="ci needs metrics"):
        cosim.sweep(tiny, {"dram0.latency": ["40 ns"]}, ci="2%")


def replicated(tiny: Path, *words: str) -> dict[str, Any]:
    """The one point of a sweep whose interval is never narrow enough."""
    few = ("--ci", "0.01%", "-m", READ, "--max-reps", "4", "--until", "2 us")
    where = ("-j", "1", "-q", "--json", "-o", str(tiny.with_suffix(".sqlite")))
    found = CliRunner().invoke(main, ["sweep", str(tiny), "-x", "dram0.latency=40 ns", *few, *where, *words])
    (point,) = json.loads(found.stdout)["points"]
    return dict(point)


def test_no_more_replications_are_made_than_are_allowed(tiny: Path) -> None:
    assert replicated(tiny)["runs"] == 4


def test_a_point_of_which_a_run_has_failed_is_not_replicated_further(tiny: Path) -> None:
    """Of its first three runs one has more reads than are expected."""
    point = replicated(tiny, "-s", "expect.scalars={dev0.reads: {max: 17}}")
    assert (point["runs"], point["failed"]) == (3, 1)


def test_before_it_is_known_how_narrow_an_interval_is_there_are_three_runs_at_least() -> None:
    asked = [Request(), Request(reps=5), Request(ci=0.1), Request(reps=2, ci=0.1), Request(reps=5, ci=0.1)]
    assert [request.at_first for request in asked] == [1, 5, 3, 3, 5]


def test_what_is_searched_in_a_topology_is_no_part_of_a_run(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.sqlite"

    def made(explore: str) -> int:
        tiny.write_text(f"{RANDOM}\nexplore: {{{explore}}}\n", encoding="utf-8")
        return cosim.sweep(tiny, {"dram0.latency": ["40 ns"]}, jobs=1, until="1 us", file=file).made

    assert [made("deviations: 1"), made("deviations: 2"), made("holds: [1 us]")] == [1, 0, 0]


def test_drivers_are_an_axis(tiny: Path) -> None:
    study = cosim.sweep(tiny, drivers=["v2", "merged"], jobs=1)
    assert [run.settings for run in study.runs] == [{"driver": "v2"}, {"driver": "merged"}]


def test_a_study_s_axes_and_drivers_are_replaced_from_python_too(tiny: Path) -> None:
    study = tiny.with_name("study.yaml")
    study.write_text("topology: tiny.yaml\naxes: {driver: [v2, merged], dram0.latency: [40 ns, 80 ns]}\nuntil: 1 us\n")
    runs = cosim.sweep(study, {"dram0.latency": "60 ns"}, driver="current", jobs=1).runs
    assert [run.settings for run in runs] == [{"driver": "current", "dram0.latency": "60 ns"}]
    runs = cosim.sweep(study, set={"dram0.latency": "60 ns"}, drivers=["ideal"], jobs=1).runs
    assert [run.settings for run in runs] == [{"driver": "ideal", "dram0.latency": "60 ns"}]


def test_arguments_of_python_are_read_as_they_are_meant_or_refused_in_words(tiny: Path) -> None:
    (tiny.parent / "study.yaml").write_text("topology: tiny.yaml\naxes: {dram0.latency: 40 ns}\nreps: 3\nuntil: 1 us\n")
    assert [len(cosim.sweep(tiny.parent / "study.yaml", reps=reps, jobs=1).runs) for reps in (None, 1)] == [3, 1]
    many = {"dram0.latency": ["40 ns", "80 ns"], "dev0.traffic.size": ["64 B", "256 B"]}
    for zips in ("latency,size", ["latency,size"], [["latency", "size"]]):
        assert len(cosim.sweep(tiny, many, zip=zips, until="1 us", jobs=1).runs) == 2
    assert cosim.sweep(tiny, many, ci=0.02, metrics=READ)._sweep.request.ci == 0.02
    for given, error, said in (
        (
            {"axes": ["dram0.latency"]},
            TypeError,
            r"sweep\(\) axes: a list maps no paths to values; write \{'iommu0.geom",
        ),
        ({"jobs": 0}, TypeError, r"^sweep\(\) jobs: 0 is no number of processes; there is 1 at least$"),
        ({"reps": 0}, TypeError, r"sweep\(\) reps: 0 is no number of runs"),
        ({"ci": 2, "metrics": READ}, TopologyError, "--ci 2: write how narrow, such as 2%"),
    ):
        with pytest.raises(error, match=said):
            cosim.sweep(tiny, **{"axes": many, **given})  # type: ignore[arg-type]


def test_runs_come_as_they_end_and_can_be_asked_for_again(tiny: Path) -> None:
    study = cosim.sweep(tiny, AXES, jobs=1)
    coming = iter(study)
    first = next(coming)
    assert first.outcome == "ok"
    assert (study._sweep.total, study._sweep.missing) == (4, 3), "as it would be if it were stopped here"
    assert len([first, *coming]) == 4 == len(list(study))


def test_what_is_missing_after_a_break_is_made_when_it_is_asked_for(tiny: Path, tmp_path: Path) -> None:
    for file in (None, tmp_path / "study.sqlite"):
        study = cosim.sweep(tiny, {"dram0.latency": "40 ns,80 ns"}, jobs=1, file=file)
        for run in study:
            assert run.ok
            break
        assert len(study.points) == len(study.runs) == study.made == 2


def test_all_points_of_a_sweep_are_known_in_its_file_from_the_beginning(tiny: Path) -> None:
    study = cosim.sweep(tiny, {"dram0.latency": "40 ns..99 ns:1 ns"}, jobs=1)
    next(iter(study))
    places = list(study._sweep.results.places())
    assert (len(places), places[59][1:]) == (60, (59, "", {"dram0.latency": "99 ns"}))


def test_a_value_that_is_right_only_with_an_axis_can_be_set(tiny: Path, tmp_path: Path) -> None:
    """And what is written down as the topology runs by itself all the same."""
    file, sets = tmp_path / "study.sqlite", {"dev0.traffic.burst_off": "1 us"}
    study = cosim.sweep(tiny, {"dev0.traffic.burst_on": ["300 ns", "2 us"]}, set=sets, jobs=1, file=file)
    assert [run.outcome for run in study.runs] == ["ok", "ok"]
    with Results(file) as results:
        base = results.sweeps()[0].base
    assert base.startswith("# with the axes as at the first point")
    alone = tmp_path / "base.yaml"
    alone.write_text(base, encoding="utf-8")
    assert cosim.run(alone).digest == study.runs[0].digest
    with pytest.raises(TopologyError, match=r"^-x dev0.traffic.burst_on=0 ns: "):
        cosim.sweep(tiny, {"dev0.traffic.burst_on": ["0 ns"]}, set=sets)


@pytest.mark.slow
def test_a_frame_has_a_row_for_each_run_and_number(tiny: Path) -> None:
    pytest.importorskip("pandas")
    frame = cosim.sweep(tiny, {"dev0.traffic.size": ["64 B"], "dev0.traffic.outstanding": [1, 2]}, jobs=1).to_frame()
    assert list(frame.columns) == [
        *("run", "replication", "seed", "outcome"),
        *("dev0.traffic.size", "dev0.traffic.outstanding", "metric", "value"),
    ]
    reads = frame[frame.metric == READ]
    assert list(reads["dev0.traffic.outstanding"]) == [1, 2]
    assert (reads.value > 0).all()


@pytest.mark.slow
def test_points_are_drawn_from_spans_and_lists(tiny: Path) -> None:
    pytest.importorskip("scipy")
    axes = {"dram0.latency": "40 ns..80 ns", "dev0.traffic.outstanding": "1..4", "dev0.traffic.size": ["64 B", "256 B"]}
    for sample in ("lhs:8", "sobol:8"):
        runs = cosim.sweep(tiny, axes, sample=sample, jobs=1, until="1 us").runs
        assert 4 <= len(runs) <= 8
        assert {run.settings["dev0.traffic.size"] for run in runs} == {"64 B", "256 B"}
        again = cosim.sweep(tiny, axes, sample=sample, jobs=1, until="1 us").runs
        assert [run.id for run in again] == [run.id for run in runs]


@pytest.mark.slow
def test_a_sweep_from_a_process_that_has_threads_gives_the_same(tiny: Path, tmp_path: Path) -> None:
    """As a notebook has."""
    alone = cosim.sweep(tiny, AXES, reps=2, jobs=2).runs
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    try:
        beside = cosim.sweep(tiny, AXES, reps=2, jobs=2, file=tmp_path / "s.sqlite").runs
    finally:
        end.set()
        other.join()
    assert [run.digest for run in beside] == [run.digest for run in alone]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.sqlite", "tiny.yaml"]


def test_what_a_driver_file_imports_from_beside_it_is_a_part_of_what_is_run(tmp_path: Path) -> None:
    """In one process, too: what was changed is imported anew, so that the runs are those that they are stored as."""
    policy, beside, file = tmp_path / "own_policy.py", tmp_path / "beside_it.py", tmp_path / "study.sqlite"
    policy.write_text(OWN_POLICY.format(folder=str(tmp_path)), encoding="utf-8")

    def swept(wait: str) -> tuple[int, float]:
        beside.write_text(f"WAIT_PS = {wait}\n", encoding="utf-8")
        sets = {"driver.invalidate": f"{policy}:Slow"}
        study = cosim.sweep(SLOW, {"dram0.latency": ["40 ns"]}, jobs=1, file=file, until="8 us", set=sets)
        return study.made, study.runs[0].numbers["cpu0.map-unmap.unmap.mean_ps"]

    made, quick = swept("1_000")
    assert made == 1
    made, slow = swept("2_000_000")
    assert made == 1
    assert slow > quick + 1_900_000
    assert swept("1_000") == (0, quick)


def test_a_recording_that_has_changed_is_run_again(tmp_path: Path) -> None:
    """Whatever its name: the id of a run goes by what is in the files that its topology names."""
    recorded, path, file = tmp_path / "requests.csv", tmp_path / "tiny.yaml", tmp_path / "study.sqlite"
    head, line = "time_ps,device,iova,size,access\n", "0,dev0,0x1000,64,read\n"
    path.write_text(TINY.replace("requests: 2", f"pattern: replay, file: {recorded}"), encoding="utf-8")

    def made() -> int:
        return cosim.sweep(path, {"dram0.latency": ["40 ns"]}, jobs=1, file=file).made

    recorded.write_text(head + line, encoding="utf-8")
    assert (made(), made()) == (1, 0)
    recorded.write_text(head + 2 * line, encoding="utf-8")
    assert (made(), made()) == (1, 0)
    recorded.write_text(head + line, encoding="utf-8")
    assert made() == 0, "the first one is there still"
