"""What `cosim sweep` asks for: every option, alone and on top of a study, which says the same."""

from __future__ import annotations

import csv
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cosim.cli import main
from cosim.study.results.results import Results
from cosim.study.sweep.axes import Axis
from cosim.study.sweep.plan import Plan
from cosim.study.sweep.request import Request
from cosim.study.sweep.samples import Sample
from cosim.study.sweep.study import read
from cosim.study.sweep.sweep import Sweep
from tests.study.pool.systems import TINY

READ = "dev0.read.mean_ps"
SIZES = ("-x", "dev0.traffic.size=64 B,256 B")
STUDY = """
topology: tiny.yaml
axes:
  driver: [v2, merged]
  dev0.traffic.size: [64 B, 256 B]
  dram0.latency: [40 ns, 80 ns]
zip: [[size, latency]]
where: size < 1 MiB
sample: lhs:9
seed: 3
overlays: [short.yaml]
reps: 2
ci: 2%
metrics: [dev0.read.mean_ps]
independent: true
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "short.yaml").write_text("run: {until: 1 us}\n", encoding="utf-8")
    return tmp_path


def cosim(*words: str) -> Result:
    return CliRunner().invoke(main, ["sweep", *words], catch_exceptions=False)


@pytest.fixture
def planned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """What would be swept."""
    plans: list[Plan] = []

    def sweep(plan: Plan, *_: Any, **__: Any) -> None:
        plans.append(plan)
        raise click.exceptions.Exit(0)

    monkeypatch.setattr(Plan, "sweep", sweep)

    def plan(*words: str) -> Plan:
        assert cosim(*words).exit_code == 0
        return plans[-1]

    return plan


def test_every_option_is_heard(planned: Callable[..., Plan]) -> None:
    words = ("--reps", "4", "--ci", "3%", "--max-reps", "9", "-m", READ, "--independent", "--retry", "-j", "3")
    plan = planned("tiny.yaml", *SIZES, *words, "--host-limit", "7", "--cluster", "tcp://h:1", "--seed", "5")
    assert plan.request == Request(
        reps=4,
        ci=0.03,
        most_reps=9,
        metrics=(READ,),
        independent=True,
        jobs=3,
        cluster="tcp://h:1",
        host_limit=7.0,
        retry=True,
    )
    assert plan.subject.seed == 5
    assert planned("tiny.yaml", *SIZES).request == Request()


def test_a_study_is_swept_as_it_is_where_nothing_is_said(planned: Callable[..., Plan]) -> None:
    plan, said = planned("study.yaml"), read("study.yaml")
    assert replace(plan, zips=tuple(map(tuple, plan.zips)), places={}) == replace(said, places={})
    assert (said.subject.seed, said.subject.overlays) == (3, ("short.yaml",))
    assert (said.where, said.sample) == ("size < 1 MiB", Sample("lhs", 9))
    assert said.request == Request(reps=2, ci=0.02, metrics=(READ,), independent=True)


def test_what_the_command_line_says_goes_before_what_a_study_says(planned: Callable[..., Plan]) -> None:
    plan = planned(
        *("study.yaml", "--seed", "0", "--where", "size < 65 B", "--sample", "sobol:4", "--ci", "5%", "--reps", "7"),
        *("-m", "events", "-f", "over.yaml", "--driver", "current"),
    )
    assert (plan.subject.seed, plan.where, plan.sample) == (0, "size < 65 B", Sample("sobol", 4))
    assert plan.request == Request(reps=7, ci=0.05, metrics=("events",), independent=True)
    assert plan.subject.overlays == ("short.yaml", "over.yaml"), "the last one lies on top"
    assert (plan.subject.driver, [axis.path for axis in plan.axes]) == ("current", [*AXES])


AXES = ("dev0.traffic.size", "dram0.latency")


def test_several_drivers_are_an_axis_and_a_single_one_is_if_there_is_no_other(planned: Callable[..., Plan]) -> None:
    two = planned("tiny.yaml", *SIZES, "--driver", "v2", "--driver", "merged,v2")
    assert two.subject.driver is None
    assert [axis.path for axis in two.axes] == ["dev0.traffic.size", "driver"]
    assert two.axes[1].values == ("v2", "merged")
    assert planned("tiny.yaml", "--driver", "v2").axes == (Axis.of("driver", ["v2"]),)
    one = planned("study.yaml", "--driver", "latest,current")
    assert [axis.values for axis in one.axes if axis.path == "driver"] == [("latest", "current")]


def test_a_file_of_rows_has_the_runs_of_this_sweep_and_of_no_other_in_the_results(folder: Path) -> None:
    cosim("tiny.yaml", *SIZES, "-q", "-j", "1")
    cosim("tiny.yaml", "-x", "dev0.traffic.size=256 B", "-q", "-j", "1", "--csv", "all.csv", "--parquet", "all.parquet")
    rows = list(csv.DictReader((folder / "all.csv").read_text().splitlines()))
    assert {row["dev0.traffic.size"] for row in rows} == {"256 B"}
    frame = pytest.importorskip("pandas").read_parquet("all.parquet")
    assert set(frame["dev0.traffic.size"]) == {"256 B"}
    assert len(frame) == len(rows)


def test_a_metric_that_no_run_has_goes_before_runs_that_failed(folder: Path) -> None:
    failing = ("-s", "expect.scalars={dev0.reads: 2}", "-x", "dev0.traffic.requests=2,3", "-m", "cpu0.*.zzz_ps")
    found = cosim("tiny.yaml", "-q", "-j", "1", *failing)
    assert (found.exit_code, "-m cpu0.*.zzz_ps: " in found.stderr) == (2, True)


def test_an_interrupted_sweep_says_how_many_runs_are_missing_and_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has failed among those that were made."""
    monkeypatch.setattr(sys, "argv", ["cosim", "sweep", "tiny.yaml", *SIZES])
    kept = Sweep._kept

    def stops(sweep: Sweep, *given: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return kept(sweep, *given)

    monkeypatch.setattr(Sweep, "_kept", stops)
    found = cosim("tiny.yaml", *SIZES, "-q", "-j", "1", "-s", "expect.scalars={dev0.reads: 1}")
    assert found.exit_code == 130
    assert found.stdout.endswith(" of 2 runs were made now, in tiny.sqlite; 1 are missing\n")
    assert "go on with: cosim sweep tiny.yaml -x 'dev0.traffic.size=64 B,256 B'" in found.stderr


def test_a_run_that_came_to_no_end_is_made_again_if_that_is_asked_for(folder: Path) -> None:
    words = ("tiny.yaml", "-x", "dram0.latency=40 ns", "-q", "-j", "1", "-o", "s.sqlite")

    def made(*more: str) -> str:
        return cosim(*words, *more).stdout.splitlines()[-1].partition(" ")[0]

    assert made() == "1"
    with Results("s.sqlite", write=True) as results:
        (run,) = results.runs()
        results._file.execute("DELETE FROM runs")
        results.add(replace(run, outcome="late", numbers={}, reason="in words"))
    assert (made(), made("--retry"), made("--retry")) == ("0", "1", "0")
    with Results("s.sqlite") as results:
        assert [each.outcome for each in results.runs()] == ["ok"]


def test_of_what_is_needed_for_parquet_it_is_told_before_anything_is_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    found = cosim("tiny.yaml", *SIZES, "-q", "--parquet", "all.parquet")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "--parquet all.parquet" in found.stderr
    assert not (folder / "tiny.sqlite").exists()
