"""The program that looks for what no page lists: it sees what is not listed, and takes what is listed for known."""

import json
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from cosim.study.pool import Record
from cosim.study.run.run import Point
from cosim.system.load import load
from tests.stress import unlisted
from tests.stress.unlisted import DRIVERS, FINDINGS, Seen, judged, listed, main, other_latencies
from tests.topologies.running import RUN

SIGNATURE = "flush-promises: unmap returned, invalidated but not fenced"


def test_a_signature_is_listed_in_backquotes_also_over_two_lines() -> None:
    text = "see `flush-promises: unmap returned,\n  invalidated but not fenced` and `cqh`\n```\n`x: y`\n```\n"
    assert listed(text) == {SIGNATURE}
    assert SIGNATURE in listed(FINDINGS.read_text())


def test_what_the_review_finds_in_the_four_drivers_is_listed() -> None:
    rows = json.loads(FINDINGS.with_name("review.json").read_text(encoding="utf-8"))["rows"]
    found = {row["found"]["signature"] for row in rows if row["found"] and row["driver"] in DRIVERS}
    assert len(found) > 10
    assert found <= listed(FINDINGS.read_text(encoding="utf-8"))


def test_topologies_that_show_something_by_themselves_are_not_judged() -> None:
    assert judged("two_iommus")
    assert not judged("stale_fill")
    assert not judged("zero_day_rtl")


@pytest.mark.slow
def test_a_violation_that_is_not_listed_is_told_with_its_command_and_not_looked_for_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = ["--latencies", "0", "--schedules", "30", "-j", "1", "-o", str(tmp_path)]
    assert main(["concurrent_attach", "--drivers", "merged", *rest]) == 0
    capsys.readouterr()
    assert main(["concurrent_attach", "--drivers", "v2", *rest]) == 1
    told = capsys.readouterr().out
    assert "cosim run concurrent_attach --driver v2" in told
    monkeypatch.setattr(unlisted, "one", None)
    assert main(["concurrent_attach", "--drivers", "v2", *rest]) == 1
    assert capsys.readouterr().out == told


def test_what_is_noted_is_not_run_again_by_the_same_model_as_long_as_its_topology_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, few = tmp_path / "noted.json", ("--schedules", "3", "--latencies", "2", "--drivers", "merged,ideal")
    monkeypatch.setattr(unlisted, "NOTED", noted)
    where = ["n4_directory_before_its_zeroes", *few, "-j", "1", "-o", str(tmp_path / "kept")]
    ran = list[tuple[str, str]]()
    monkeypatch.setattr(unlisted, "one", lambda name, driver, *_: ran.append((name, driver)) or Seen(6, seconds=1.23))
    assert main(where) == 0
    told = capsys.readouterr().out
    assert ran == [("n4_directory_before_its_zeroes", driver) for driver in ("merged", "ideal")]
    assert main([*where, "--note"]) == 0
    elsewhere = [*where[:-1], str(tmp_path / "elsewhere")]
    assert main(elsewhere) == 0
    assert capsys.readouterr().out == told
    assert len(ran) == 2
    known = json.loads(noted.read_text())["cells"]
    for other in (
        {"model": "0" * 16},
        {"schedules": 4},
        {"cells": {cell: {**seen, "topology": "0" * 16} for cell, seen in known.items()}},
    ):
        before = noted.read_text()
        noted.write_text(json.dumps({**json.loads(before), **other}))
        assert main([*where[:-1], str(tmp_path / str(len(ran)))]) == 0
        noted.write_text(before)
    assert len(ran) == 8


def test_what_is_noted_shows_nothing_that_is_not_listed() -> None:
    noted = json.loads(unlisted.NOTED.read_text(encoding="utf-8"))
    assert (noted["schedules"], noted["latencies"]) == (1000, 500)
    assert {tuple(cell.split()) for cell in noted["cells"]} <= {(name, driver) for name in RUN for driver in DRIVERS}
    assert not any(seen["unlisted"] for seen in noted["cells"].values())


def test_a_point_with_other_latencies_has_them_and_the_command_that_makes_it() -> None:
    (point,) = other_latencies("two_iommus", "merged", 1)
    words = shlex.split(point.command)
    sets = [value for option, value in pairwise(words) if option == "-s"]
    assert load("two_iommus", driver="merged", sets=sets) == point.topology


def test_what_is_expected_of_a_run_has_to_hold_in_a_perturbed_one() -> None:
    point = Point(load("two_iommus"), command="cosim run two_iommus")
    failed = Record("failed", ("threads: cpu0.map-unmap has not finished",))
    seen = Seen()
    seen.take(point, failed, frozenset(), expected=False)
    assert not seen.unlisted
    seen.take(point, failed, frozenset(), expected=True)
    assert seen.first == {failed.failures[0]: "cosim run two_iommus"}
