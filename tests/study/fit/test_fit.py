"""`cosim fit`: a topology is calibrated by measurements of itself, and predicts what it was not told."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

import cosim
from cosim.cli import main
from cosim.study.fit.parameter import Parameter
from cosim.study.results.results import Results
from cosim.units.quantities import parse_rate
from tests.study.pool.systems import TINY

READ = "dev0.read.mean_ps"
SYSTEM = TINY.replace("requests: 2", "requests: 40").replace("16 MiB}", "16 MiB, bandwidth: 1 GB/s}")
LATENCY_NS, LINK_NS = 123, 31
"""What the measured system has."""
SIZES = (64, 128, 256, 512)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SYSTEM, encoding="utf-8")
    lines = ["host,bytes,avg_ns"]
    for size in SIZES:
        sets = {"dram0.latency": f"{LATENCY_NS} ns", "dev0.link": f"{LINK_NS} ns", "dev0.traffic.size": f"{size} B"}
        mean = cosim.run("tiny.yaml", set=sets).latencies["dev0.read"].mean_ps / 1000
        lines += [f"this,{size},{mean}", f"other,{size},{2 * mean}"]
    Path("data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


DATA = ("--data", "data.csv", "--value", f"{READ}=avg_ns ns", "--at", "dev0.traffic.size=bytes B")
LATENCY = ("-p", "dram0.latency=20 ns..400 ns")
BOTH = (*LATENCY, "-p", "dram0.bandwidth=0.2 GB/s..4 GB/s")
THIS, ON = ("--rows", "host=this"), ("--on", "bytes=64,512")
LINK = ("-s", f"dev0.link={LINK_NS} ns")


def test_a_number_of_things_is_a_whole_one() -> None:
    assert Parameter.of("iommu0.geometry.walkers", "2..9").at(0.1) == "3"
    assert Parameter.of("dram0.latency", "2 ns..9 ns").at(0.1) == "2.7 ns"


def test_a_value_is_at_either_bound_or_at_none() -> None:
    for parameter, inside in (("dram0.latency", "100 ns..400 ns"), ("iommu0.geometry.walkers", "1..400")):
        bounds = Parameter.of(parameter, inside)
        assert [bounds.bound(at) for at in (0.0, 0.0012, 0.01, 0.5, 0.99, 0.9988, 1.0)] == [
            *("lower", "lower", "", "", "", "upper", "upper")
        ]


def fit(*words: str) -> Result:
    return CliRunner().invoke(main, ["fit", "tiny.yaml", "-j", "1", *words], catch_exceptions=False)


@pytest.mark.slow
def test_what_the_measured_system_has_is_found_and_what_was_held_out_is_predicted(folder: Path) -> None:
    found = json.loads(fit(*DATA, *BOTH, *THIS, *ON, *LINK, "--json").stdout)
    latency = found["values"]["dram0.latency"]
    assert float(latency.removesuffix(" ns")) == pytest.approx(LATENCY_NS, rel=0.005)
    assert parse_rate(found["values"]["dram0.bandwidth"]) == pytest.approx(8e9, rel=0.01)
    assert [point["held_out"] for point in found["points"]] == [False, True, True, False]
    assert found["worst_held_out"] < 0.003
    assert found["at_bound"] == {}


@pytest.mark.slow
def test_a_fit_goes_on_where_it_was_and_makes_no_run_twice(folder: Path) -> None:
    first = json.loads(fit(*DATA, *LATENCY, *THIS, *LINK, "--json").stdout)
    again = json.loads(fit(*DATA, *LATENCY, *THIS, *LINK, "--json").stdout)
    assert first["runs"] == len(list(Results("tiny.sqlite").runs())) > 4
    assert again == {**first, "runs": 0}
    assert first["rms"] < 1e-4
    assert first["worst_held_out"] is None


@pytest.mark.slow
def test_a_parameter_at_its_bound_is_said_and_one_that_changes_nothing_too(folder: Path) -> None:
    said = fit(
        *(*DATA, *THIS, *ON, *LINK),
        *("-p", "dram0.latency=100 ns..120 ns", "-p", "cpu0.timing.load=1 ns..9 ns"),
    ).stdout
    assert re.search(r"(119\.9\d* ns|120 ns) +at its upper bound", said)
    assert "changes nothing near this value" in said
    assert "the worst of the 2 held" in said


@pytest.mark.slow
def test_whole_things_are_whole_in_the_end(folder: Path) -> None:
    lines = ["slots,gbps"]
    for slots in (3, 5):
        sets = {"dev0.traffic.outstanding": 6, "dram0.latency": f"{50 * slots} ns"}
        lines.append(f"{50 * slots},{cosim.run('tiny.yaml', set=sets).scalars['dev0.read_gbps']}")
    Path("slots.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = cosim.fit(
        "tiny.yaml",
        "slots.csv",
        value={"dev0.read_gbps": "gbps Gb/s"},
        at={"dram0.latency": "slots ns"},
        parameters={"dev0.traffic.outstanding": "1..12"},
        jobs=1,
    )
    assert found.values == {"dev0.traffic.outstanding": "6"}
    assert found.rms < 1e-9
    assert "nothing was held out" in str(found)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            (*DATA, "-p", "dram0.latncy=1 ns..2 ns"),
            "-p dram0.latncy=1 ns..2 ns: parts.dram0.latncy: unknown field; did",
        ),
        ((*DATA, "-p", "dram0.latency=1 ns"), "-p: dram0.latency=1 ns: write the bounds as LOW..HIGH"),
        ((*DATA, "-p", "dram0.latency=9 ns..2 ns"), "a range goes up; write 2 ns..9 ns"),
        ((*DATA, "-p", "dram0.latency=9..2 ns"), "dram0.latency=9..2 ns: a range goes up; write 2 ns..9 ns"),
        ((*DATA, "-p", "dram0.latency=2 ns..9"), "dram0.latency=2 ns..9: 9 is no time, and 2 ns is; times have a unit"),
        ((*DATA, "-p", "dram0.latency=2 ns..9 KiB"), "9 KiB is no time, and 2 ns is"),
        ((*DATA, "-p", "dev0.traffic.outstanding=0..99999"), "outstanding: 0 is out of bounds: it must be at least 1"),
        ((*DATA, "-p", "dev0.traffic.outstanding=0..99999"), "outstanding: 99999 is out of bounds: it must be at most"),
        ((*DATA, "-p", "dram0.latency=2 ns..2 ns"), "between equal bounds there is nothing to find"),
        ((*DATA, *LATENCY, *LATENCY), "this parameter is there twice"),
        ((*DATA, "-p", "dev0.traffic.size=64 B..128 B"), "the data say what this is at each point"),
        ((*DATA, *BOTH, *THIS, "--on", "bytes=64"), "1 points to fit on cannot tell 2 parameters"),
        ((*DATA, *LATENCY, "--rows", "hst=this"), "data.csv:1:1: no column hst; did you mean host?"),
        ((*DATA, *LATENCY, "--rows", "host=that"), "data.csv: no row meets --rows host=that"),
        ((*DATA, *LATENCY, "--rows", "host"), "--rows, --on: host: write COLUMN=VALUE"),
        ((*DATA, *LATENCY, "--start", "dram0.latency=500 ns"), "not within 20 ns..400 ns"),
        ((*DATA, *LATENCY, "--rough", "soon"), "--rough soon: run.until: soon is not a time; write one such as 80 ns"),
        (
            ("--data", "data.csv", "--value", f"{READ}=host ns", "--at", "dev0.traffic.size=bytes B", *LATENCY),
            "data.csv:2:1: host: this is no number",
        ),
        (
            ("--data", "data.csv", "--value", f"{READ}=avg_ns nm", "--at", "dev0.traffic.size=bytes B", *LATENCY),
            f"--value: {READ}=avg_ns nm: ",
        ),
        (
            ("--data", "data.csv", "--value", f"{READ}=avg_ns ns", "--at", "dev0.traffic.sise=bytes B", *LATENCY),
            "line 2 of --data: parts.dev0.traffic.sise: unknown field; did you mean size?",
        ),
        (("--data", "none.csv", *DATA[2:], *LATENCY), "none.csv: cannot be read: No such file"),
        (("--data", "short.csv", *DATA[2:], *LATENCY), "short.csv:3:1: fewer values than there are columns"),
    ],
)
def test_what_cannot_be_is_answered_in_a_line_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SYSTEM, encoding="utf-8")
    Path("data.csv").write_text("host,bytes,avg_ns\nthis,64,1\nthis,128,2\n", encoding="utf-8")
    Path("short.csv").write_text("host,bytes,avg_ns\nthis,64,1\nthis,128\n", encoding="utf-8")
    found = fit(*words)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr
    assert not Path("tiny.sqlite").exists()


def test_a_number_that_no_run_has_is_answered_with_the_nearest(folder: Path) -> None:
    found = fit(*DATA[:2], "--value", "dev0.read.men_ps=avg_ns ns", *DATA[4:], *LATENCY)
    assert found.exit_code == 2
    assert "--value dev0.read.men_ps: no such number; did you mean dev0.read.mean_ps?" in found.stderr


def test_a_run_that_fails_ends_the_fit_and_says_why(folder: Path) -> None:
    found = fit(*DATA, *LATENCY, "-s", "expect.scalars={dev0.reads: 1}")
    assert found.exit_code == 2
    assert "dev0.reads" in found.stderr


def test_without_scipy_a_sentence_says_where_it_comes_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy.optimize", None)
    found = fit(*DATA, *LATENCY)
    assert found.exit_code == 2
    assert "cosim fit: needs scipy, which is not installed; it comes with an extra: pip install 'cosim[fit]'" in (
        found.stderr
    )


def test_shorter_runs_show_what_a_parameter_does_and_whole_ones_what_is_measured(folder: Path) -> None:
    found = fit(*DATA, *LATENCY, *THIS, *ON, *LINK, "--rough", "2 us", "--start", "dram0.latency=120 ns")
    assert found.exit_code == 0
    with Results("tiny.sqlite") as results:
        ends = Counter(yaml.safe_load(results.resolved(run.point))["run"]["until"] for run in results.runs())
    assert set(ends) == {"2 us", yaml.safe_load(SYSTEM)["run"]["until"]}


@pytest.mark.slow
def test_shorter_runs_and_a_start_save_steps(folder: Path) -> None:
    words = (*DATA, *LATENCY, *THIS, *ON, *LINK, "--json")
    whole = json.loads(fit(*words).stdout)
    rough = json.loads(fit(*words, "--rough", "10 us", "--start", "dram0.latency=120 ns", "-o", "rough.sqlite").stdout)
    assert max(whole["rms"], rough["rms"]) < 1e-3
    assert rough["runs"] < whole["runs"]


@pytest.mark.slow
def test_what_is_held_out_has_no_part_in_the_fit_however_wrong_it_is(folder: Path) -> None:
    """Of the other host twice as much was measured."""
    near = ("--start", "dram0.latency=120 ns")
    words = ("--rows", "bytes=64", "--on", "host=this")
    found = json.loads(fit(*DATA, *LATENCY, *words, *LINK, *near, "--json").stdout)
    assert found["rms"] < 1e-3
    assert found["worst_held_out"] == pytest.approx(0.5, abs=0.01)
