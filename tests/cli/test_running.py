"""What `cosim run` does where a signal comes, a time is over, or what it writes is lost."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cosim.cli import main
from cosim.cli.running import nothing_yet
from cosim.study.run.run import Point, run
from cosim.study.run.stop import Stop
from tests.study.pool.systems import TINY


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yml").write_text(TINY, encoding="utf-8")
    return "tiny.yml"


FAILS = ("-s", "expect.scalars={dev0.reads: 1}")


def cosim(*words: str) -> Result:
    return CliRunner().invoke(main, [*words], catch_exceptions=False)


def test_samples_may_go_to_a_folder_alone(tiny: str, tmp_path: Path) -> None:
    assert cosim("run", tiny, "-q", "--samples", "-o", "out").exit_code == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["topology"], len(result["samples"]["dev0.read"])) == ("tiny", 2)


def test_the_command_of_a_run_makes_the_same_run(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[Point] = []

    def made(point: Point, **how: Any) -> Any:
        points.append(point)
        return run(point, **how)

    monkeypatch.setattr("cosim.study.run.run.run", made)
    words = ["run", tiny, "-q", "--seed", "3", "--schedule", "dev0.read#0:1,dev0.read#1:2", "-s", "dram0.latency=4 ns"]
    assert cosim(*words).exit_code == 0
    assert cosim(*shlex.split(points[0].command)[1:]).exit_code == 0
    assert points[0] == points[1]
    assert points[0].schedule == ("dev0.read#0:1", "dev0.read#1:2")


def no_run(*_: Any, **__: Any) -> None:
    raise AssertionError("it was run")


def test_a_folder_that_cannot_be_written_to_is_told_before_the_run(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosim.study.run.run.run", no_run)
    (tmp_path / "out").touch()
    found = cosim("run", tiny, "-o", "out")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "out" in found.stderr


def lost(*_: Any) -> None:
    from cosim.config.problems import Position, Problem, TopologyError

    raise TopologyError([Problem(Position("out"), (), "the disk is full")])


@pytest.mark.parametrize("failing", [(), FAILS])
def test_what_cannot_be_written_is_exit_code_2_beside_a_result_that_is_printed(
    tiny: str, monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...]
) -> None:
    """Whatever the run has come to."""
    monkeypatch.setattr("cosim.study.report.report.write_results", lost)
    found = cosim("run", tiny, "-q", "--json", "-o", "out", *failing)
    assert (found.exit_code, found.stderr) == (2, "out: the disk is full\n")
    assert json.loads(found.stdout)["outcome"] == ("failed" if failing else "ok")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_trace_that_is_lost_is_told_though_the_result_is_kept(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").symlink_to("/dev/full")
    found = cosim("run", tiny, "-q", "-t", "trace.jsonl", "-o", "out")
    assert found.exit_code == 2
    assert "No space left" in found.stderr
    assert (tmp_path / "out" / "result.json").exists()


@pytest.mark.parametrize("failing", [(), FAILS])
def test_a_signal_behind_the_run_is_exit_code_130_with_its_result(
    tiny: str, monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...]
) -> None:
    monkeypatch.setattr("cosim.study.report.report.print_report", lambda _: signal.raise_signal(signal.SIGTERM))
    assert cosim("run", tiny, "-q", *failing).exit_code == 130


def test_the_time_of_the_host_is_limited_where_that_is_asked(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float | None] = []
    listening = Stop.listening

    def listens(stop: Stop, signals: Any, limit_s: float | None = None) -> Any:
        limits.append(limit_s)
        return listening(stop, signals)

    monkeypatch.setattr(Stop, "listening", listens)
    for words in ((), ("--host-limit", "7")):
        assert cosim("run", tiny, "-q", *words).exit_code == 0
    assert limits == [None, 7.0]


@pytest.mark.parametrize(
    ("change", "ended"),
    [
        ({"signals": 1, "interrupted": True}, (130, "interrupted")),
        ({"limit_s": 2.0, "limited": True}, (4, "the host's time limit of 2 s was reached")),
    ],
)
def test_what_ends_it_before_there_is_anything_to_keep_is_told(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], ended: tuple[int, str]
) -> None:
    told: list[tuple[int, str]] = []
    monkeypatch.setattr("cosim.cli.running.leave", lambda code, why: told.append((code, why)))
    stop = Stop()
    for name, value in change.items():
        setattr(stop, name, value)
    nothing_yet(stop)
    assert told == [ended]


def test_an_interruption_that_python_raises_is_exit_code_130(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cosim.system.load.load", interrupted)
    found = cosim("show", tiny)
    assert (found.exit_code, found.stderr) == (130, "interrupted\n")


def test_a_topology_is_checked_as_it_is_changed(tiny: str) -> None:
    found = cosim("check", tiny, "-s", "dev0.traffic.sise=1")
    assert (found.exit_code, "did you mean size?" in found.stderr) == (2, True)


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What vectors are replayed with."""
    given: dict[str, Any] = {}

    def conform(files: Any, **how: Any) -> int:
        given.update(how, files=files)
        return 0

    monkeypatch.setattr("cosim.study.conform.conform.conform", conform)
    return given


def test_vectors_are_replayed_as_is_asked(replayed: dict[str, Any]) -> None:
    words = ("conform", "a.jsonl", "b.jsonl", "--executor", "plain", "--seed", "7", "-v")
    assert cosim(*words).exit_code == 0
    asked = {name: replayed[name] for name in ("files", "executor", "seed", "verbose")}
    assert asked == {"files": ("a.jsonl", "b.jsonl"), "executor": "plain", "seed": 7, "verbose": True}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing argument 'FILE...'."),
        (("--driver", "merged"), "--driver and --against go together"),
        (("a.jsonl", "--against", "merged"), "--driver and --against go together"),
    ],
)
def test_what_conform_has_nothing_to_compare_of_is_wrong_usage(
    replayed: dict[str, Any], words: tuple[str, ...], said: str
) -> None:
    found = cosim("conform", *words)
    assert (found.exit_code, said in found.output, replayed) == (2, True, {})


@pytest.mark.parametrize(
    ("words", "ran"), [(("--on", "b.yaml", "-j", "3"), [("b.yaml", 3)]), ((), [("", None)]), (("--no-costs",), [])]
)
def test_cells_are_run_where_is_asked_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], ran: list[Any]
) -> None:
    made: list[Any] = []

    def costs(_first: str, _second: str, _pairs: Any, on: str, *, jobs: int | None, progress: Any) -> list[Any]:
        made.append((on, jobs))
        return []

    monkeypatch.setattr("cosim.study.compare.cost.costs", costs)
    assert cosim("diff-driver", "v2", "merged", "-q", "--json", *words).exit_code == 0
    assert made == ran


@pytest.mark.parametrize(("last", "code"), [("v2", 130), ("merged", 0)])
def test_a_comparison_that_has_not_come_to_the_second_driver_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, last: str, code: int
) -> None:
    from cosim.study.compare.cost import Cost

    found = [Cost("tiny", driver, (), "cosim run", {}) for driver in ("v2", last)]
    monkeypatch.setattr("cosim.study.compare.cost.costs", lambda *_, **__: found)
    assert cosim("diff-driver", "v2", "merged", "-q", "--json").exit_code == code
