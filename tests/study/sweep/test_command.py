"""`cosim sweep` as a shell sees it: tables, exit codes, what is kept when it is stopped, and studies as files."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cosim.cli import main
from cosim.study.results.results import Results
from tests.study.sweep.test_sweep import RANDOM, READ


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(RANDOM, encoding="utf-8")
    return tmp_path


def cosim(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def sweep(*words: str) -> Result:
    return cosim("sweep", "tiny.yaml", "-j", "1", *words)


SIZES = ("-x", "dev0.traffic.size=64 B,256 B")


def test_a_table_of_means_and_a_results_file_are_what_comes_out(folder: Path) -> None:
    found = sweep(*SIZES, "--reps", "2", "--csv", "all.csv")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0].split() == ["size", "runs", "dev0.read.mean", "ns"]
    assert lines[1].startswith("64 B")
    assert "±" in lines[1]
    assert lines[-1] == "4 of 4 runs were made now, in tiny.sqlite"
    rows = list(csv.DictReader((folder / "all.csv").read_text().splitlines()))
    assert {row["dev0.traffic.size"] for row in rows} == {"64 B", "256 B"}
    assert len([row for row in rows if row["metric"] == READ]) == 4
    again = sweep(*SIZES, "--reps", "2", "--json")
    points = json.loads(again.stdout)["points"]
    assert [point["runs"] for point in points] == [2, 2]
    assert points[0]["means"][READ]["half_ci95"] > 0
    assert "0 of 4 runs were made now" in sweep(*SIZES, "--reps", "2").stdout


def test_metrics_are_chosen_by_name_or_glob(folder: Path) -> None:
    found = sweep(*SIZES, "-m", "dev0.read.p99_ps", "-m", "dev0.*_gbps")
    assert found.stdout.splitlines()[0].split() == [
        *("size", "runs", "dev0.read.p99", "ns"),
        *("dev0.offered", "Gb/s", "dev0.read", "Gb/s", "dev0.written", "Gb/s"),
    ]


@pytest.mark.slow
def test_points_of_equal_configurations_have_a_row_each_and_count_each_run_once(folder: Path) -> None:
    equal = ("-x", "dev0.traffic.size=64 B,1 KiB,1024 B", "--reps", "2")
    found = sweep(*equal, "--csv", "all.csv")
    once = sweep("-x", "dev0.traffic.size=64 B,1 KiB", "--reps", "2", "-o", "once.sqlite").stdout.splitlines()
    lines = found.stdout.splitlines()
    assert [line.split() for line in lines[1:3]] == [line.split() for line in once[1:3]]
    assert lines[2].split()[2:] == lines[3].split()[2:]
    assert lines[3].startswith("1024 B")
    assert lines[-2:] == ["rows of equal configurations share their runs", "4 of 4 runs were made now, in tiny.sqlite"]
    rows = list(csv.DictReader((folder / "all.csv").read_text().splitlines()))
    ran = [(row["dev0.traffic.size"], row["seed"]) for row in rows if row["metric"] == READ]
    assert ran == [(size, seed) for size in ("64 B", "1 KiB", "1024 B") for seed in "01"]
    points = json.loads(sweep(*equal, "--json").stdout)["points"]
    assert [(point["settings"], point["runs"]) for point in points] == [
        ({"dev0.traffic.size": size}, 2) for size in ("64 B", "1 KiB", "1024 B")
    ]
    page = cosim("report", "tiny.sqlite", "-o", "page.html")
    assert page.exit_code == 0
    text = (folder / "page.html").read_text()
    assert "3 points of 3, 4 runs, 0 failed" in text
    assert "<td>1 KiB</td>" in text.replace(' class="text"', "")
    compared = json.loads(cosim("compare", "tiny.sqlite", "once.sqlite", "--json").stdout)
    assert [(point["settings"]["dev0.traffic.size"], point["runs"]) for point in compared["points"]] == [
        ("64 B", [2, 2]),
        ("1 KiB", [2, 2]),
    ]
    assert compared["only_first"] == [{"dev0.traffic.size": "1024 B"}]


@pytest.mark.slow
def test_a_sweep_has_the_runs_that_it_asks_for_whatever_else_is_in_its_file(folder: Path) -> None:
    asked = (*SIZES, "-q", "-m", READ)
    sweep(*asked, "--reps", "3")
    alone = sweep(*asked, "-o", "alone.sqlite", "--reps", "2", "--seed", "1").stdout.splitlines()
    found = sweep(*asked, "--reps", "2", "--seed", "1").stdout.splitlines()
    assert found[:-1] == alone[:-1]
    assert found[-1] == "0 of 4 runs were made now, in tiny.sqlite"
    with sqlite3.connect(folder / "tiny.sqlite") as file:
        counts = file.execute("SELECT sweep, place, count() FROM swept GROUP BY sweep, place").fetchall()
    file.close()
    assert counts == [(1, 0, 3), (1, 1, 3), (2, 0, 2), (2, 1, 2)]


def test_a_run_that_fails_makes_the_exit_code_5(folder: Path) -> None:
    found = sweep(*SIZES, "-s", "expect.scalars={dev0.reads: 1}")
    assert found.exit_code == 5
    assert "0 of 1" in found.stdout
    assert "failed: dev0.reads" in found.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "-x: name an axis: -x iommu0.geometry.walkers=1,2,4"),
        (
            ("-x", "dev0.traffic.sise=1"),
            "-x dev0.traffic.sise=1: parts.dev0.traffic.sise: unknown field; did you mean size?",
        ),
        (("-x", "nic*.traffic.size=64 B"), "matches no part"),
        (("-x", "dev0.traffic.size=64 B,12"), "-x dev0.traffic.size=12: "),
        (("-x", "dram0.latency=80 ns..40 ns"), "a range goes up"),
        (("-x", "dram0.latency=40 ns..80 ns"), "or draw from it: --sample lhs:64"),
        ((*SIZES, "--where", "sise > 1"), "sise is no axis; did you mean size?"),
        ((*SIZES, "--where", "size > 1 MiB"), "no point meets it"),
        ((*SIZES, "--zip", "size,latency"), "latency is no axis"),
        ((*SIZES, "--sample", "lhc:3"), "write lhs:64 or sobol:64"),
        ((*SIZES, "--ci", "2%"), "say with -m of which number"),
        ((*SIZES, "--ci", "two", "-m", READ), "write how narrow, such as 2%"),
        ((*SIZES, "-o", "."), "a folder, not a results file"),
        ((*SIZES, "-o", "tiny.yaml"), "no results file of cosim"),
        ((*SIZES, "--reuse", "none.sqlite"), "none.sqlite: no such file"),
        (
            ("-x", "dev0.traffic.size=64 B,128 B", "-x", "*.traffic.size=256 B"),
            "-x dev0.traffic.size=64 B: dev0.traffic.size: the axis *.traffic.size sets all of it again; put the",
        ),
        ((*SIZES, "-s", "dev*.traffic.size=1 KiB"), "-s dev*.traffic.size=1 KiB: dev*.traffic.size: the axis dev0."),
        ((*SIZES, "-s", "dev0.traffic.size=1 KiB"), "the axis dev0.traffic.size sets all of it again"),
        (("-x", "run.until=10 us,20 us", "--until", "5 us"), "run.until: --until 5 us sets all of it again"),
        (("-x", "parts.dev0.traffic.size=64 B", *SIZES), "the axis dev0.traffic.size sets all of it again"),
        (("-x", "run.seed=1,2"), "-x run.seed=1,2: a seed is no axis; --reps 3 makes three runs of each point"),
        (("-x", "seed=1,2"), "-x seed=1,2: a seed is no axis; "),
        (("-x", "driver=v2,mergd"), "--driver mergd: driver.variant: 'mergd' is not known; did you mean merged?"),
    ],
)
def test_what_is_asked_for_wrongly_is_answered_in_a_line_and_nothing_is_written(
    folder: Path, words: tuple[str, ...], said: str
) -> None:
    found = sweep(*words)
    assert found.exit_code == 2
    assert said in found.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.yaml"]


STUDY = """
topology: tiny.yaml
axes:
  dev0.traffic.size: [64 B, 256 B]
  dram0.latency: 40 ns..80 ns*2
where: size < 256 B or latency > 40 ns
set: {run.until: 15 us}
reps: 2
metrics: [dev0.read.mean_ps]
"""


@pytest.mark.slow
def test_a_study_file_says_the_same_and_the_command_line_may_say_more(folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY)
    found = cosim("sweep", "study.yaml", "-j", "1")
    assert found.exit_code == 0
    assert [line.split()[:4] for line in found.stdout.splitlines()[1:4]] == [
        ["64", "B", "40", "ns"],
        ["64", "B", "80", "ns"],
        ["256", "B", "80", "ns"],
    ]
    assert "6 of 6 runs were made now, in study.sqlite" in found.stdout
    more = cosim("sweep", "study.yaml", "-j", "1", "--reps", "3")
    assert "3 of 9 runs were made now" in more.stdout


ZIPPED = """
topology: tiny.yaml
axes:
  dev0.traffic.size: [64 B, 256 B]
  dram0.latency: [40 ns, 80 ns]
  run.until: [1 us, 2 us]
zip: [[size, latency, until]]
"""


@pytest.mark.parametrize(
    ("words", "points"),
    [
        ((), [("64 B", "40 ns", "1 us"), ("256 B", "80 ns", "2 us")]),
        (("-s", "dram0.latency=60 ns"), [("64 B", "60 ns", "1 us"), ("256 B", "60 ns", "2 us")]),
        (
            ("-s", "parts.dram0.latency=60 ns", "--until", "3 us"),
            [("64 B", "60 ns", "3 us"), ("256 B", "60 ns", "3 us")],
        ),
        (("-x", "dram0.latency=50 ns,60 ns"), [("64 B", "50 ns", "1 us"), ("256 B", "60 ns", "2 us")]),
    ],
)
def test_an_axis_of_a_study_is_replaced_by_that_of_the_command_line(
    folder: Path, words: tuple[str, ...], points: list[tuple[str, ...]]
) -> None:
    (folder / "study.yaml").write_text(ZIPPED)
    found = cosim("sweep", "study.yaml", "-j", "1", "--json", "-s", "dev0.traffic.requests=1", *words)
    assert [tuple(point["settings"].values()) for point in json.loads(found.stdout)["points"]] == points


def test_what_is_wrong_with_a_replaced_axis_is_not_told_at_the_study_s_line(folder: Path) -> None:
    (folder / "study.yaml").write_text(ZIPPED)
    assert cosim("sweep", "study.yaml", "-s", "dram0.latency=60 Z").stderr.startswith("-x dram0.latency=60 Z: ")
    twice = cosim("sweep", "study.yaml", "-x", "dram0.latency=1 ns", "-x", "dram0.latency=2 ns")
    assert twice.stderr == "-x dram0.latency: this axis is there twice; write all its values with commas between them\n"
    other = cosim("sweep", "study.yaml", "-x", "dram0.latency=1 ns,2 ns", "-s", "dram0.latency=2 ns")
    assert "the axis dram0.latency sets all of it again" in other.stderr


WRONG = """
topology: tiny.yaml
axis: {}
axes:
  dev0.traffic.size: 256 B..64 B*2
  dram0.latency: [40 ns, 40 ns]
  dev0.lnk: 1 ns
  gpu*.link: 1 ns
reps: none
where: size <
zip: [[lnk, nolink]]
set: {dev1.link: 3 ns}
ci: lots
"""


def test_everything_that_is_wrong_with_a_study_is_told_with_its_line(folder: Path) -> None:
    (folder / "study.yaml").write_text(WRONG)
    found = cosim("sweep", "study.yaml")
    assert found.exit_code == 2
    lines = found.stderr.splitlines()
    for said in (
        "study.yaml:3:1: axis: unknown field; did you mean axes?",
        "study.yaml:5:",
        "study.yaml:6:",
        "study.yaml:7:13: axes.dev0.lnk: 1 ns: parts.dev0.lnk: unknown field; did you mean link?",
        "study.yaml:8:14: axes.gpu*.link: 1 ns: parts.gpu*: matches no part; ",
        "study.yaml:9:7: reps: ",
        "study.yaml:11:7: zip.0: nolink is no axis; ",
        "study.yaml:12:18: set.dev1.link: 3 ns: parts.dev1: matches no part; did you mean dev0?",
        "study.yaml:13:5: ci: write how narrow, such as 2%",
    ):
        assert any(line.startswith(said) for line in lines), (said, lines)
    assert any("a range goes up" in line for line in lines)
    assert any("40 ns is there twice" in line for line in lines)
    assert not (folder / "study.sqlite").exists()


def test_a_study_that_cannot_be_read_is_told_so_by_every_verb(folder: Path) -> None:
    (folder / "study.yaml").write_text("topology: tiny.yaml\naxes:\n  dev0.link: [1 ns, 2 ns\nreps: 2\n")
    for verb in ("sweep", "check", "run"):
        found = cosim(verb, "study.yaml")
        assert found.exit_code == 2
        assert found.stderr == "study.yaml:4:5: a ',' or ']' is missing before this; its bracket opens in line 3\n"


def test_a_study_is_checked_as_one_and_is_nothing_to_run(folder: Path) -> None:
    (folder / "study.yaml").write_text(ZIPPED)
    assert cosim("check", "study.yaml").stdout == "study.yaml: ok\n"
    assert "which is checked as it is" in cosim("check", "study.yaml", "--seed", "3").stderr
    for verb in ("run", "show", "report"):
        found = cosim(verb, "study.yaml")
        assert found.exit_code == 2
        assert found.stderr == "study.yaml: a study is no topology; run it: cosim sweep study.yaml\n"
    assert cosim("run", "nic").stderr == "nic: a study is no topology; run it: cosim sweep nic\n"
    (folder / "study.yaml").write_text(f"{ZIPPED}where: size <\noverlays: [tyni.yaml]\n")
    lines = cosim("check", "study.yaml").stderr.splitlines()
    assert [line.partition("; ")[0] for line in lines] == [
        "study.yaml:8:8: where: not a condition (invalid syntax)",
        "study.yaml:9:12: overlays.0: tyni.yaml: no such file",
    ]
    (folder / "study.yaml").write_text(ZIPPED.replace("80 ns", "80 Z"))
    assert cosim("check", "study.yaml").stderr.startswith("study.yaml:5:3: axes.dram0.latency: 80 Z: ")


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (
            "topology: tinny\naxes: {dev0.link: 1 ns}\n",
            "study.yaml:1:11: topology: tinny: no such file, and no topology of that name comes with cosim; ",
        ),
        (
            "topology: tiny.yaml\naxes:\n  dev0.link: [1 ns, 2 Z]\n  driver: [merged, mergd]\n",
            "study.yaml:3:3: axes.dev0.link: 2 Z: parts.dev0.link: 2 Z: unknown unit Z; ",
        ),
        (
            "topology: tiny.yaml\naxes:\n  dev0.link: [1 ns, 2 Z]\n  driver: [merged, mergd]\n",
            "study.yaml:4:3: axes.driver: mergd: driver.variant: 'mergd' is not known; did you mean merged?",
        ),
    ],
)
def test_so_is_a_topology_that_there_is_none_of_and_a_value_that_is_not_the_first(
    folder: Path, study: str, said: str
) -> None:
    (folder / "study.yaml").write_text(study)
    found = cosim("sweep", "study.yaml")
    assert found.exit_code == 2
    assert any(line.startswith(said) for line in found.stderr.splitlines()), found.stderr


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A sweep of runs that take long enough to be met; its results file is made when this returns."""
    command = [sys.executable, "-m", "cosim", "sweep", "tiny.yaml", "-o", "s.sqlite", "-j", "2", *words]
    command += ["-x", "dram0.latency=40 ns..63 ns:1 ns", "-s", "dev0.traffic.requests=3000", "--until", "400 us"]
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while kept(folder) < 2:
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    return child


def kept(folder: Path) -> int:
    try:
        with sqlite3.connect(f"file:{folder / 's.sqlite'}?mode=ro", uri=True) as file:
            return int(file.execute("SELECT count(*) FROM runs").fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_has_ended_is_kept_whatever_stops_it_and_the_same_command_goes_on(folder: Path, number: int) -> None:
    child = started(folder)
    os.kill(child.pid, number)
    out, err = child.communicate(timeout=60)
    before = kept(folder)
    assert 2 <= before < 24
    if number == signal.SIGINT:
        assert child.returncode == 130
        assert "interrupted; what has ended is in s.sqlite; go on with: cosim sweep tiny.yaml" in err
        assert out.endswith(f"{before} of 24 runs were made now, in s.sqlite; {24 - before} are missing\n")
    else:
        assert child.returncode == -signal.SIGKILL
    words = ["-x", "dram0.latency=40 ns..63 ns:1 ns", "-s", "dev0.traffic.requests=3000", "--until", "400 us"]
    found = sweep(*words, "-o", "s.sqlite")
    assert f"{24 - before} of 24 runs were made now" in found.stdout
    with Results(folder / "s.sqlite") as results:
        ids = [run.id for run in results.runs()]
    assert len(ids) == len(set(ids)) == 24


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_run_a_second_try_and_nothing_else(folder: Path) -> None:
    child = started(folder)
    workers = [int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()]
    os.kill(workers[0], signal.SIGKILL)
    child.communicate(timeout=120)
    assert child.returncode == 0
    with Results(folder / "s.sqlite") as results:
        assert [run.outcome for run in results.runs()] == ["ok"] * 24
