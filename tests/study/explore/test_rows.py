"""What an exploration makes of each search: of what it is asked for, of its mutants, and of an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosim.study.explore import explore
from cosim.study.explore.cells import Cell
from cosim.study.explore.explore import Exploration, explorations
from cosim.study.explore.mutants import mutants
from cosim.study.explore.request import Request
from cosim.study.explore.row import Found, Row
from cosim.study.run.run import Point
from cosim.study.run.stop import Stop
from cosim.system.driver_options import DriverOptions
from tests.study.explore.systems import written

MUTANTS = ("tables: first", "tables: second", "tables: third")


class Searches:
    """In place of `Search`: what comes of each is known beforehand, by the step that was taken out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **outcome: str) -> None:
        self.outcome = outcome
        self.grids: list[list[Cell]] = []
        monkeypatch.setattr(explore, "Search", self._search)
        monkeypatch.setattr(explore, "mutants", lambda driver: [(name, driver) for name in MUTANTS])

    def _search(self, row: Row, grid: list[Cell], *_: Any) -> Searches:
        self._row = row
        self._outcome = self.outcome.get("driver" if not self.grids else MUTANTS[len(self.grids) - 1].split()[1], "")
        self.grids.append(grid)
        return self

    def run(self) -> Row:
        if self._outcome == "found":
            self._row.found = Found(1, 0, "calls: x", "", Point(self.grids[0][0].topology), "")
        elif self._outcome == "interrupted":
            self._row.stopped = "interrupted"
        return self._row


def searched(path: Path, **asked: Any) -> list[Row]:
    return list(explorations([path], Request(drivers=("merged",), jobs=1, **asked)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path)


@pytest.mark.parametrize("outcome", ["found", "interrupted"])
def test_a_driver_that_is_not_clean_has_no_mutants(path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    searches = Searches(monkeypatch, driver=outcome)
    (row,) = searched(path, mutants=True)
    assert (row.mutants, row.unreached, len(searches.grids)) == ([], [], 1)


def test_a_clean_driver_is_searched_with_each_step_taken_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches(monkeypatch, second="found")
    (row,) = searched(path, mutants=True)
    assert [(mutant.step, mutant.found is not None) for mutant in row.mutants] == [
        *((MUTANTS[0], False), (MUTANTS[1], True), (MUTANTS[2], False)),
    ]
    assert not row.stopped
    assert len(searches.grids) == 4


def test_an_interruption_among_the_mutants_is_one_of_the_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a row that was not come to its end is told as one that was, and the next driver is begun."""
    searches = Searches(monkeypatch, second="interrupted")
    rows = list(explorations([path], Request(drivers=("merged", "v2"), jobs=1, mutants=True), stop=Stop()))
    assert [(row.driver, row.stopped) for row in rows] == [("merged", "interrupted")]
    assert [mutant.step for mutant in rows[0].mutants] == list(MUTANTS[:2])
    assert len(searches.grids) == 3
    assert Exploration(rows).exit_code == 130


def test_a_mutant_is_the_driver_that_is_searched_with_one_step_less() -> None:
    driver = DriverOptions(variant="v2", attach="context-first", invalidate={"without": "reading"})
    found = dict(mutants(driver))
    assert found["queue: wait"] == DriverOptions(variant="v2", **driver.cells, queue={"without": ["wait"]})
    assert found["invalidate: fence"].cells == {
        "attach": "context-first",
        "invalidate": {"without": ["reading", "fence"]},
    }
    written = found["attach: written"].cells["attach"]
    assert written == {"policy": "context-first", "without": ["written"]}


def test_what_is_asked_for_goes_before_what_the_topology_says(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if that is nothing: no deviation, no start but its own."""

    def grid(**asked: Any) -> list[tuple[int, ...]]:
        searches = Searches(monkeypatch)
        searched(path, **asked)
        return [(cell.hold_ps, *(at for _, at in cell.starts)) for cell in searches.grids[0]]

    of_file = [(hold, at) for at in (0, 2_000_000) for hold in (10_000_000, 5_000_000)]
    assert grid() == of_file
    assert grid(first_cell=True) == of_file[:1]
    assert grid(holds=(7_000,)) == [(7_000, 0), (7_000, 2_000_000)]
    assert grid(starts={}) == [(10_000_000,), (5_000_000,)]
    assert [row.deviations for deviations in (None, 0, 3) for row in searched(path, deviations=deviations)] == [1, 0, 3]


def test_the_command_of_a_cell_says_what_differs_from_the_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = Searches(monkeypatch)
    searched(path)
    hold, start = " -s 'run.hold=5 us'", " -s 'threads.1.start=2 us'"
    said = [cell.point(()).command.partition("b6.yaml")[2].split(" --")[0] for cell in searches.grids[0]]
    assert said == ["", hold, start, f"{start}{hold}"]
