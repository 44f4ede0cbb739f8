"""A finding is replayed: the same digest in a fork, in a fresh process, and on both executors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cosim.cli import main
from cosim.study.finding.replay import Replayed, on, replay
from cosim.study.pool import Pool
from tests.study.finding.systems import HELD, UNFLUSHED, found, written


def cosim(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


@pytest.mark.slow
def test_its_digest_is_the_same_in_a_fork_from_a_process_that_has_booted() -> None:
    point = found().point()
    with Pool(1) as pool:
        records = [record for _, record in pool.runs([replace(point, schedule=()), point, point])]
    assert [record.digest == found().digest for record in records] == [False, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_its_digest_is_the_same_in_a_fresh_process(tmp_path: Path, hash_seed: str) -> None:
    words = [sys.executable, "-m", "cosim", "replay", str(written(tmp_path)), "--json", "-q"]
    ended = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": hash_seed})
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["equal"]
    assert told["digest"] == {"found": found().digest, "replayed": found().digest}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_its_digest_is_the_same_on_both_executors(executor: str) -> None:
    point = found().point()
    assert point.topology.run.executor == "agenda"
    assert on(point, executor).topology.run.executor == executor
    replayed = replay(found(), executor=executor)
    assert replayed.equal
    assert replayed.shows


def test_the_same_is_an_equal_digest_and_the_violation_and_neither_alone() -> None:
    again = replay(found())
    assert (again.equal, again.shows, again.exit_code) == (True, True, 0)
    other = Replayed(replace(found(), digest="0123456789abcdef"), again.result)
    assert (other.equal, other.shows, other.exit_code) == (False, True, 1)
    unseen = Replayed(replace(found(), signature="stale-dma: other"), again.result)
    assert (unseen.equal, unseen.shows, unseen.exit_code) == (True, False, 1)
    assert [one.as_json()["equal"] for one in (again, other, unseen)] == [True, False, False]


def test_of_one_that_is_not_the_same_that_is_said_where_a_picture_was_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SimpleNamespace(same=False, exit_code=1)
    monkeypatch.setattr("cosim.study.finding.replay.replay", lambda *_, **__: other)
    monkeypatch.setattr("cosim.study.report.replayed.print_replayed", lambda replayed: click.echo(replayed is other))
    said = cosim("replay", str(written(tmp_path)), "-q", "--picture")
    assert (said.exit_code, said.stdout) == (1, "True\n")


@pytest.mark.slow
def test_one_that_is_the_same_again_is_exit_code_0_with_what_it_shows(tmp_path: Path) -> None:
    path = written(tmp_path)
    said = cosim("replay", str(path), "-q")
    assert said.exit_code == 0
    assert said.stdout.startswith(f"the same again, to the last of {found().events} events: {UNFLUSHED}"[:79])
    assert f"replay: cosim replay {path}" in said.stdout
    assert HELD[0] in said.stdout


@pytest.mark.slow
def test_one_that_is_not_the_same_is_exit_code_1_with_both_digests(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    replace(found(), schedule=()).write(path)
    said = cosim("replay", str(path), "-q")
    assert said.exit_code == 1
    assert said.stdout.startswith("not the same again")
    assert f"found {found().events} events, digest {found().digest}" in said.stdout
    assert "and the violation did not come" in said.stdout


@pytest.mark.slow
def test_a_trace_of_it_has_its_violation_s_unmap(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    assert cosim("replay", str(written(tmp_path)), "-q", "-t", str(trace)).exit_code == 0
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    returned = [event["time_ps"] for event in events if event["event"] == "Unmapped"]
    violation = found().violation
    assert violation
    assert violation.time_ps in returned


def test_what_is_no_finding_is_exit_code_2_and_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json", Path("quickstart")):
        said = cosim("replay", str(path))
        assert (said.exit_code, said.stdout) == (2, "")
        assert len(said.stderr.splitlines()) == 1
    trace = cosim("replay", str(written(tmp_path)), "-t", "trace.txt")
    assert (trace.exit_code, trace.stdout) == (2, "")
    assert "the suffix names the format" in trace.stderr


@pytest.mark.slow
def test_its_picture_is_printed_and_its_page_written(tmp_path: Path) -> None:
    page = tmp_path / "found.html"
    said = cosim("replay", str(written(tmp_path)), "-q", "--picture", "--html", str(page))
    assert said.exit_code == 0
    assert "+ clear PTE x:" in said.stdout
    assert "the same again" not in said.stdout
    assert page.read_text().startswith("<!doctype html>")
    alone = cosim("replay", str(written(tmp_path)), "-q", "--html", str(tmp_path))
    assert (alone.exit_code, "the same again" in alone.stdout) == (2, True)
    assert f"--html {tmp_path}: cannot be written" in alone.stderr


def test_two_forms_on_one_output_are_refused(tmp_path: Path) -> None:
    said = cosim("replay", str(written(tmp_path)), "--picture", "--json")
    assert said.exit_code == 2
    assert "name one of them" in said.stderr


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a finding is replayed with; `before` is done meanwhile, and what comes out is the same."""
    given: dict[str, Any] = {"before": lambda: None}

    def replayed(*_: Any, **how: Any) -> SimpleNamespace:
        given.update(how)
        given["before"]()
        return SimpleNamespace(same=True, exit_code=0, as_json=lambda: {"same": True})

    monkeypatch.setattr("cosim.study.finding.replay.replay", replayed)
    return given


def test_it_is_replayed_on_the_executor_that_is_asked_for_and_traced(tmp_path: Path, again: dict[str, Any]) -> None:
    words = ("--executor", "plain", "-t", str(tmp_path / "trace.jsonl"))
    assert json.loads(cosim("replay", str(written(tmp_path)), "--json", *words).stdout) == {"same": True}
    assert (again["executor"], bool(again["watchers"])) == ("plain", True)
    cosim("replay", str(written(tmp_path)), "--json")
    assert (again["executor"], bool(again["watchers"])) == (None, False)


def test_a_signal_or_a_lost_trace_goes_before_that_it_is_the_same(
    tmp_path: Path, again: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(written(tmp_path))
    (tmp_path / "trace.jsonl").symlink_to("/dev/full")
    lost = ("-t", str(tmp_path / "trace.jsonl"))
    monkeypatch.setattr("cosim.cli.replaying.what_failed", lambda _: "trace.jsonl: cannot be written")
    assert cosim("replay", path, "--json").exit_code == 2
    monkeypatch.setattr("cosim.cli.replaying.nothing_yet", lambda _: None)
    again["before"] = lambda: signal.raise_signal(signal.SIGTERM)
    assert cosim("replay", path, "--json", *lost).exit_code == 130
