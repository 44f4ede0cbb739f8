"""Which schedules a search runs, whatever runs show: a stand-in makes them, which says what may be added to each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

import cosim
from cosim.study.explore.cells import Subject, cells
from cosim.study.explore.journal import Journal
from cosim.study.explore.look import Look
from cosim.study.explore.request import Request
from cosim.study.explore.row import Row
from cosim.study.explore.search import Schedule, Search
from cosim.study.pool import Pool, Record
from cosim.study.run.run import Point
from cosim.study.run.stop import Stop
from cosim.units.quantities import US

TINY = Path(__file__).parents[2] / "tiny.yaml"
HOLDS = (1 * US, 2 * US)


ALL_WELL = Record("ok")


class Runs:
    """In place of a pool: to each run the same may be added, and `order` says which partial order it has.

    `ended` says how a run has come out, and with which steps that it never came to; `asked` are all answers.
    """

    def __init__(
        self,
        added: tuple[str, ...],
        order: Callable[[Point], int],
        ended: Callable[[Point], tuple[Record, tuple[str, ...]]],
        asked: tuple[str, ...],
    ) -> None:
        self._added = added
        self._order = order
        self._ended = ended
        self._asked = asked or added
        self.made: list[tuple[int, Schedule]] = []

    def runs(self, points: Iterable[Point]) -> Iterator[tuple[Point, Record]]:
        for point in points:
            self.made.append((point.topology.run.hold, point.schedule))
            record, idle = self._ended(point)
            look = Look(3, 2, 1, self._added, self._asked, self._order(point), idle=idle)
            yield point, replace(record, also=None if record.outcome == "late" else look)


def searched(
    *added: str,
    order: Callable[[Point], int] = lambda point: 1,
    deviations: int = 2,
    driver: str | None = None,
    journal: Journal | None = None,
    ended: Callable[[Point], tuple[Record, tuple[str, ...]]] = lambda point: (ALL_WELL, ()),
    wanted: str | None = None,
    of_all: tuple[str, ...] = (),
    **asked: Any,
) -> tuple[Row, list[tuple[int, Schedule]]]:
    """What has come out, and the runs in order: the hold, and the schedule."""
    subject = Subject("tiny", cosim.load(TINY, driver=driver), str(TINY))
    runs = Runs(added, order, ended, of_all)
    row = Search(
        Row("tiny", "merged", wanted=wanted, deviations=deviations),
        list(cells(subject, HOLDS, {})),
        Request(**asked),
        cast(Pool, runs),
        (Journal({}) if journal is None else journal).of(""),
        lambda row, left: None,
        Stop(),
    ).run()
    return row, runs.made


def in_each(*schedules: Schedule) -> list[tuple[int, Schedule]]:
    return [(hold, schedule) for hold in HOLDS for schedule in schedules]


def test_every_set_of_answers_to_different_questions_is_run_once_in_each_cell() -> None:
    row, made = searched("a#0:1", "a#0:2", "b#0:1")
    assert made == [
        *in_each(()),
        *in_each(("a#0:1",), ("a#0:2",), ("b#0:1",)),
        *in_each(("a#0:1", "b#0:1"), ("a#0:2", "b#0:1")),
    ]
    assert (row.by_level, row.complete, row.skipped, row.stopped) == ([2, 6, 4], 2, 0, "")
    assert row.alike == 0, "all begin at the same times"


def test_what_was_looked_for_is_told_once_and_beside_it_what_else_was_shown() -> None:
    """Also where the search goes on behind the first run that shows it."""

    def ended(point: Point) -> tuple[Record, tuple[str, ...]]:
        return Record("failed", ("wanted", "other") if "b#0:1" in point.schedule else ("wanted",)), ()

    row, _ = searched("a#0:1", "b#0:1", ended=ended, go_on=True)
    assert row.found is not None
    assert (row.found.sign, list(row.others)) == ("wanted", ["other"])


def test_where_nothing_can_be_added_any_more_the_search_is_complete() -> None:
    row, made = searched("a#0:1", deviations=5)
    assert made == [*in_each(()), *in_each(("a#0:1",))]
    assert row.complete == 5


def test_of_runs_with_one_partial_order_only_the_first_of_each_cell_is_added_to_if_that_is_asked() -> None:
    row, made = searched("a#0:1", "b#0:1", "c#0:1", skip_equal=True)
    assert made == [
        *in_each(()),
        *in_each(("a#0:1",), ("b#0:1",), ("c#0:1",)),
        *in_each(("a#0:1", "b#0:1"), ("a#0:1", "c#0:1")),
    ]
    assert (row.skipped, row.orders) == (4, 2)


def test_runs_with_several_partial_orders_are_all_added_to() -> None:
    row, made = searched("a#0:1", "b#0:1", order=lambda point: 1 + len(",".join(point.schedule)), skip_equal=True)
    assert (row.skipped, row.orders) == (2, 6), "a and b are alike"
    row, made = searched("a#0:1", "bb#0:1", order=lambda point: 1 + len(",".join(point.schedule)), skip_equal=True)
    assert (row.skipped, row.orders) == (0, 8)
    assert made == searched("a#0:1", "bb#0:1")[1]


@pytest.mark.parametrize("strategy", ["pct", "random"])
def test_drawn_schedules_are_shared_out_among_the_cells(strategy: str) -> None:
    row, made = searched("a#0:1", "b#0:1", strategy=strategy, schedules=7)
    assert row.by_level == [2, 7]
    assert [sum(hold == each for hold, _ in made[2:]) for each in HOLDS] == [4, 3]


def test_what_is_drawn_is_drawn_anew_for_each_cell_and_seed_and_of_any_number_of_deviations() -> None:
    answers = tuple(f"{name}#{number}:1" for name in "abcd" for number in range(20))

    def drawn(seed: int) -> list[Schedule]:
        made = searched(*answers, strategy="pct", schedules=40, seed=seed, deviations=3)[1][2:]
        assert {len(schedule) for _, schedule in made} == {1, 2, 3}
        first, second = ([schedule for hold, schedule in made if hold == each] for each in HOLDS)
        assert first != second
        return first + second

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize(("strategy", "drawn"), [("pct", {"a#0:1"}), ("random", {"a#0:1", "b#0:1", "c#0:1"})])
def test_what_is_in_conflict_is_drawn_from_or_all_that_asks(strategy: str, drawn: set[str]) -> None:
    every = ("a#0:1", "b#0:1", "c#0:1")
    made = searched("a#0:1", of_all=every, strategy=strategy, schedules=40, deviations=1)[1][2:]
    assert {answer for _, schedule in made for answer in schedule} == drawn


def test_a_run_that_was_late_is_made_again_and_without_it_no_level_is_complete(tmp_path: Path) -> None:
    path, late = tmp_path / "journal.jsonl", {("b#0:1",)}

    def made() -> tuple[Row, list[tuple[int, Schedule]]]:
        def ended(point: Point) -> tuple[Record, tuple[str, ...]]:
            return (Record("late") if point.schedule in late else ALL_WELL), ()

        with Journal({}, path, resume=True) as journal:
            return searched("a#0:1", "b#0:1", deviations=1, journal=journal, ended=ended)

    row, _ = made()
    assert (row.late, row.complete, row.stopped) == (2, 0, "late")
    assert row.unknown
    late.clear()
    row, again = made()
    assert again == in_each(("b#0:1",))
    assert (row.late, row.complete, row.stopped) == (0, 1, "")


def test_runs_that_died_and_those_that_raised_an_exception_have_come_to_no_end() -> None:
    died, raised = Record("lost", ("died",)), Record("error", ("raised",))
    row, _ = searched("a#0:1", "b#0:1", "c#0:1", deviations=1, go_on=True, ended=by_schedule(a=died, b=raised))
    assert (row.lost, row.late, row.runs) == (4, 0, 8)


@pytest.mark.parametrize("never", [{(): ("x",)}, {("a#0:1",): ("x",)}], ids=["the first run", "the last runs"])
def test_a_step_is_idle_if_no_run_has_come_to_it(never: dict[Schedule, tuple[str, ...]]) -> None:
    """What all but some runs have not come to, those have."""
    row, _ = searched("a#0:1", deviations=1, ended=lambda point: (ALL_WELL, never.get(point.schedule, ("x", "y"))))
    assert row.idle == ("x",)


def test_a_search_goes_on_only_with_runs_of_files_that_are_as_they_were(tmp_path: Path) -> None:
    own, path = tmp_path / "own.py", tmp_path / "journal.jsonl"
    policy = "from cosim.sw.driver.policies.invalidate import PerIommu\n\n\nclass Mine(PerIommu):\n    "

    def made() -> list[tuple[int, Schedule]]:
        with Journal({}, path, resume=True) as journal:
            return searched("a#0:1", driver=f"{own}:Mine", journal=journal)[1]

    own.write_text(f"{policy}pass\n")
    every = [*in_each(()), *in_each(("a#0:1",))]
    assert made() == every
    assert made() == []
    own.write_text(f"{policy}edited = True\n")
    assert made() == every


def judged(*signs: str) -> Record:
    """A run that shows these."""
    return Record("failed", failures=signs)


def by_schedule(**shown: Record) -> Callable[[Point], tuple[Record, tuple[str, ...]]]:
    """What runs show whose schedule has the answer ``NAME#0:1``."""
    return lambda point: (shown.get(",".join(choice[0] for choice in point.schedule), ALL_WELL), ())


@pytest.mark.parametrize("go_on", [False, True])
def test_a_search_ends_with_the_first_find_or_goes_on_to_its_bound(go_on: bool) -> None:
    ended = by_schedule(b=judged("an oops", "a warning"), c=judged("an oops"))
    row, _ = searched("a#0:1", "b#0:1", "c#0:1", deviations=1, ended=ended, go_on=go_on)
    assert row.found is not None
    assert (row.found.sign, row.found.n, row.found.point.schedule) == ("an oops", 4, ("b#0:1",))
    assert list(row.others) == ["a warning"]
    assert (row.runs, row.complete, row.stopped) == ((8, 1, "") if go_on else (4, 0, "found"))


def test_what_is_looked_for_is_found_behind_what_is_not() -> None:
    """Where something has to be found, nothing else is: a run that shows another thing ends no search."""
    ended = by_schedule(a=judged("crash of another"), c=judged("stale: x"))
    row, _ = searched("a#0:1", "b#0:1", "c#0:1", deviations=1, ended=ended, wanted="stale")
    assert row.found is not None
    assert (row.found.sign, row.found.n, row.as_wanted) == ("stale: x", 5, True)
    assert list(row.others) == ["crash of another"]
    row, _ = searched("a#0:1", "b#0:1", deviations=1, ended=ended, wanted="stale")
    assert (row.found, row.as_wanted, list(row.others)) == (None, False, ["crash of another"])


def test_a_drawn_schedule_is_not_run_again_because_its_answers_come_in_another_order(tmp_path: Path) -> None:
    def made(seed: int, path: Path) -> list[tuple[int, Schedule]]:
        asked: dict[str, Any] = {"strategy": "pct", "schedules": 16, "deviations": 2, "seed": seed}
        with Journal({}, path, resume=True) as journal:
            return searched("a#0:1", "b#0:1", "c#0:1", "d#0:1", journal=journal, **asked)[1]

    def by_answers(runs: list[tuple[int, Schedule]]) -> dict[tuple[int, frozenset[str]], Schedule]:
        return {(hold, frozenset(schedule)): schedule for hold, schedule in runs}

    first, whole = made(1, tmp_path / "one.jsonl"), made(2, tmp_path / "other.jsonl")
    before = by_answers(first)
    assert any(before.get(key, schedule) != schedule for key, schedule in by_answers(whole).items())
    assert by_answers(made(2, tmp_path / "one.jsonl")).keys() == by_answers(whole).keys() - before.keys()
