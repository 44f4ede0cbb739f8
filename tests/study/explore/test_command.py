"""`cosim explore` as a shell sees it: what it asks of a search, and what it prints of several."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cosim.cli import main
from cosim.study.explore.request import Request
from cosim.study.explore.row import Row


class Searches:
    """In place of those that would be made: what was asked, and a clean row for each topology."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.given: dict[str, Any] = {}
        self.interrupted = False

    def __call__(self, topologies: tuple[str, ...], request: Request, **given: Any) -> Iterator[Row]:
        self.asked.append(request)
        self.given = given
        for name in topologies:
            row = Row(name, "merged", runs=9, complete=1, actions=(20, 20), conflicts=(4, 4))
            row.stopped = "interrupted" if self.interrupted else ""
            yield row


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    made = Searches()
    monkeypatch.setattr("cosim.study.explore.explore.explorations", made)
    return made


def explored(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["explore", *words, "-q", "-o", str(folder)], catch_exceptions=False)


def test_what_is_not_given_is_what_each_topology_says(searches: Searches, tmp_path: Path) -> None:
    explored(tmp_path, "one")
    explored(tmp_path, "one", "--holds", "7 us", "--starts", "cpu1.attach=0,1us", "-k", "2")
    left, given = searches.asked
    assert (left.holds, left.starts, left.deviations) == (None, None, None)
    assert (given.holds, given.starts, given.deviations) == ((7_000_000,), {"cpu1.attach": (0, 1_000_000)}, 2)
    assert left == Request()


def test_every_option_is_heard(searches: Searches, tmp_path: Path) -> None:
    switches = ("--one-cell", "--skip-equal", "--allocations", "--go-on", "--mutants", "--no-shrink", "--resume")
    numbers = ("--seed", "5", "--schedules", "6", "--time", "7", "-j", "3", "--host-limit", "8", "-k", "0")
    names = ("--strategy", "pct", "--driver", "v2", "--driver", "latest", "--cluster", "tcp://h:1")
    explored(tmp_path, "one", *switches, *numbers, *names, "-s", "a=1", "-f", "b.yaml", "--until", "9 us")
    assert searches.asked == [
        Request(
            strategy="pct",
            deviations=0,
            schedules=6,
            seconds=7.0,
            jobs=3,
            cluster="tcp://h:1",
            first_cell=True,
            skip_equal=True,
            allocations=True,
            seed=5,
            go_on=True,
            host_limit=8.0,
            mutants=True,
            shrink=False,
            drivers=("v2", "latest"),
        )
    ]
    changes = {"sets": ("a=1",), "overlays": ("b.yaml",), "seed": 5, "until": "9 us"}
    assert searches.given.items() >= {"folder": tmp_path, "resume": True, **changes}.items()


@pytest.mark.parametrize("as_json", [False, True])
def test_each_topology_is_told_of_once(searches: Searches, tmp_path: Path, as_json: bool) -> None:
    """And with --json as one object, which stays in the folder as well."""
    names = ["heron", "otter", "plover"]
    found = explored(tmp_path, *names, *["--json"] * as_json)
    kept = json.loads((tmp_path / "outcome.json").read_text())
    assert [row["topology"] for row in kept["rows"]] == names
    if as_json:
        assert json.loads(found.stdout) == kept
    else:
        assert [found.stdout.count(name) for name in names] == [1, 1, 1]


@pytest.mark.parametrize("before", [[], ["--resume"]])
def test_a_search_that_was_interrupted_says_how_to_go_on(
    searches: Searches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[str]
) -> None:
    """Also the one that goes on from another, and beside its result, so that scripts can read that."""
    words = ["one", "--starts", "cpu1.attach=0,1 us"]
    monkeypatch.setattr(sys, "argv", ["cosim", "explore", *before, *words])
    searches.interrupted = True
    found = explored(tmp_path, *words, *before, "--json")
    command = "cosim explore one --starts 'cpu1.attach=0,1 us' --resume"
    assert (found.exit_code, found.stderr) == (130, f"interrupted; go on with: {command}\n")
    assert json.loads(found.stdout)["resume"] == command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--starts", "cpu1.attach"), "'cpu1.attach' is not THREAD=TIME,..., such as cpu1.attach=0,1us"),
        (("--starts", "cpu1.attach=1"), "1 has no unit"),
        (("--holds", "1 us,2"), "2 has no unit"),
    ],
)
def test_times_that_are_none_are_wrong_usage(words: tuple[str, ...], said: str) -> None:
    found = CliRunner().invoke(main, ["explore", "one", *words])
    assert (found.exit_code, said in found.output) == (2, True), found.output
