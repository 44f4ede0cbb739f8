"""`cosim explore` as a shell sees it: what it asks of a search, and what it prints of several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cosim.cli import main
from cosim.study.explore.request import Request
from cosim.study.explore.row import Row


class Searches:
    """In place of those that would be made: what was asked, and a clean row for each topology."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def __call__(self, topologies: tuple[str, ...], request: Request, **_: Any) -> Iterator[Row]:
        self.asked.append(request)
        for name in topologies:
            yield Row(name, "merged", runs=9, complete=1, actions=(20, 20), conflicts=(4, 4))


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    made = Searches()
    monkeypatch.setattr("cosim.study.explore.explore.explorations", made)
    return made


def explored(folder: Path, *words: str) -> str:
    return CliRunner().invoke(main, ["explore", *words, "-q", "-o", str(folder)], catch_exceptions=False).stdout


def test_what_is_not_given_is_what_each_topology_says(searches: Searches, tmp_path: Path) -> None:
    explored(tmp_path, "one")
    explored(tmp_path, "one", "--holds", "7 us", "--starts", "cpu1.attach=0,1us", "-k", "2")
    left, given = searches.asked
    assert (left.holds, left.starts, left.deviations) == (None, None, None)
    assert (given.holds, given.starts, given.deviations) == ((7_000_000,), {"cpu1.attach": (0, 1_000_000)}, 2)


def test_each_topology_is_told_of_once(searches: Searches, tmp_path: Path) -> None:
    names = ("heron", "otter", "plover")
    text = explored(tmp_path, *names)
    assert [text.count(name) for name in names] == [1, 1, 1]
