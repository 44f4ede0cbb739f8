"""Searches of one small experiment: what is found, what a clean row means, and how a search goes on."""

from __future__ import annotations

import json
import signal
import threading
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import cosim
from cosim.cli import main
from cosim.config.problems import TopologyError
from cosim.study.explore.explore import JOURNAL, Exploration, explorations, first_cells
from cosim.study.explore.journal import Journal
from cosim.study.explore.mutants import mutants
from cosim.study.explore.request import Request
from cosim.study.explore.row import Row
from cosim.study.explore.search import draw
from cosim.study.explore.subjects import tasks
from cosim.study.report.exploration import as_text
from cosim.study.run.signs import kind
from cosim.study.run.stop import Stop
from cosim.system.driver_options import DriverOptions
from tests.study.explore.systems import ATTACH_BESIDE_UNMAP, written

CONTEXT_FIRST = {"driver.attach": "context-first"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path)


def searched(path: Path, **asked: Any) -> Row:
    """One row, at one hold and one start, in one process."""
    exploration = cosim.explore(path, one_cell=True, jobs=1, **asked)
    (row,) = exploration.rows
    return row


@pytest.mark.slow
def test_what_is_found_is_found_again_by_its_command_and_by_its_schedule(path: Path) -> None:
    row = searched(path, set=CONTEXT_FIRST)
    found = row.found
    assert found is not None
    assert (row.wanted, row.stopped, found.deviations) == ("flush-promises", "found", 1)
    assert found.n == row.runs == sum(row.by_level)
    result = cosim.run(path, set=CONTEXT_FIRST, schedule=found.point.schedule)
    assert result.digest == found.digest
    assert found.sign in result.signatures
    assert found.point.command.startswith(f"cosim run {path} -s driver.attach=context-first")


@pytest.mark.slow
def test_a_clean_row_has_run_all_of_its_bound_and_stands_beside_what_the_same_search_finds(path: Path) -> None:
    exploration = cosim.explore(path, one_cell=True)
    merged = exploration.rows[-1]
    assert all(row.as_wanted for row in exploration.rows)
    assert [row.found is not None for row in exploration.rows] == [True, True, False]
    assert merged.runs == 1 + 2 * merged.conflicts[0]
    assert merged.complete == 1
    assert not merged.stopped
    text = as_text(exploration.rows)
    assert f"clean: all {merged.runs} schedules of k <= 1" in text
    assert "the same search finds merged attach=context-first, v2" in " ".join(text.split())
    for width in (40, 60, 80):
        narrow = as_text(exploration.rows, width)
        assert max(map(len, narrow.splitlines())) <= width
        assert narrow.split() == text.split()
    assert exploration.exit_code == 0


@pytest.mark.slow
def test_a_row_that_comes_out_otherwise_fails_the_exploration(tmp_path: Path) -> None:
    """The defect is not in `merged`, and with the attach of the review it is not clean."""
    text = ATTACH_BESIDE_UNMAP.replace("clean: [merged]", "clean: [{variant: merged, attach: context-first}]")
    text = text.replace("{variant: merged, attach: context-first}, signature", "merged, signature")
    exploration = cosim.explore(written(tmp_path, text), one_cell=True, schedules=40)
    assert [row.as_wanted for row in exploration.rows] == [False, True, False]
    assert exploration.exit_code == 1
    said = " ".join(as_text(exploration.rows).split())
    assert "not found, and should be (flush-promises)" in said
    assert "k=1 and should be clean: flush-promises" in said


def test_a_search_that_stops_early_says_how_far_it_came_and_is_not_called_clean(path: Path) -> None:
    row = searched(path, drivers=["merged"], schedules=5)
    assert (row.stopped, row.by_level, row.complete) == ("schedules", [1, 4], 0)
    text = " ".join(as_text([row]).split())
    assert f"nothing found: 5 schedules, all of k <= 0, 4 of {row.next_level} of k = 1" in text
    assert "not searched: 2 drivers that the file names to be found; leave --driver out" in text


def test_objects_are_named_without_their_folders_where_these_have_no_room_and_make_no_difference() -> None:
    def table(*drivers: str) -> list[str]:
        rows = [Row("races", f"object:{driver}", runs=1, complete=1, conflicts=(1, 1)) for driver in drivers]
        return as_text(rows, 80).splitlines()

    far = "../../somewhere/in/trees/linux-7.2/drivers/iommu"
    two = table(f"{far}/riscv/iommu.o,{far}/generic_pt/iommu_riscv64.o", f"{far}/riscv/iommu.o,-iommu.c:453")
    assert any(line.startswith("  object:iommu.o,iommu_riscv64.o") for line in two)
    assert any(line.startswith("  object:iommu.o,-iommu.c:453 ") for line in two)
    assert max(map(len, two)) <= 80
    assert "  object:riscv/iommu.o  clean: the only schedule of k <= 1" in table("riscv/iommu.o")
    same = table(f"{far}/before/iommu.o,{far}/x/iommu.o", f"{far}/behind/iommu.o,{far}/x/iommu.o")
    assert f"  object:{far}/behind/iommu.o,{far}/x/iommu.o" in same


def test_a_run_that_this_computer_has_no_time_for_is_neither_found_nor_clean(path: Path) -> None:
    exploration = cosim.explore(path, drivers=["merged"], one_cell=True, host_limit=1e-3, jobs=1)
    (row,) = exploration.rows
    assert (row.late, row.found, row.complete, row.stopped) == (1, None, -1, "late")
    text = " ".join(as_text([row]).split())
    assert "nothing found: 1 schedule, 1 of which came to no end" in text
    assert "1 took longer than a run may on this computer: --host-limit gives more time" in text
    assert exploration.exit_code == 4


@pytest.mark.slow
def test_a_grid_has_each_hold_with_each_start_and_each_command_makes_its_own(path: Path) -> None:
    (row,) = cosim.explore(path, set=CONTEXT_FIRST, deviations=0, go_on=True).rows
    assert (row.cells, row.runs, row.complete) == (4, 4, 0)


@pytest.mark.slow
def test_two_deviations_are_every_pair_that_the_definition_gives(path: Path) -> None:
    """Of a short run, all schedules of the second level are those that the runs of the first one lead to, each once."""
    rows: list[tuple[int, tuple[str, ...]]] = []
    request = Request(deviations=2, holds=(5_000,), schedules=150, jobs=1, first_cell=True, drivers=("merged",))
    folder = path.parent / "out"
    (row,) = explorations([path], request, folder=folder)
    for line in (folder / JOURNAL).read_text().splitlines()[1:]:
        schedule = json.loads(line)["run"].split(" ")[2]
        rows.append((len(schedule.split(",")) if schedule else 0, tuple(schedule.split(","))))
    assert len({schedule for _, schedule in rows}) == row.runs == len(rows)
    assert [level for level, _ in rows] == sorted(level for level, _ in rows)
    firsts = {schedule[0] for level, schedule in rows if level == 1}
    pairs = [schedule for level, schedule in rows if level == 2]
    assert pairs
    assert all(set(pair) & firsts for pair in pairs)
    assert all(one.rpartition(":")[0] != two.rpartition(":")[0] for pair in pairs for one, two in combinations(pair, 2))


@pytest.mark.slow
def test_what_was_interrupted_goes_on_and_comes_out_as_if_it_had_not_been(path: Path, tmp_path: Path) -> None:
    request = Request(first_cell=True, jobs=1, schedules=16, drivers=("merged",))
    (whole,) = explorations([path], request)
    part = Request(first_cell=True, jobs=1, schedules=7, drivers=("merged",))
    list(explorations([path], part, folder=tmp_path / "out"))
    journal = tmp_path / "out" / JOURNAL
    journal.write_text(journal.read_text()[:-30])  # the process was ended in the middle of a line
    ran: list[int] = []
    (rest,) = explorations(
        [path], request, folder=tmp_path / "out", resume=True, progress=lambda row, _: ran.append(row.runs)
    )
    assert rest.as_json() == whole.as_json()
    assert len(journal.read_text().splitlines()) == 1 + 16


@pytest.mark.slow
def test_where_a_file_says_so_an_allocation_that_fails_is_a_deviation_too(path: Path) -> None:
    """An attach allocates its bond, and nothing more; that it fails with ENOMEM is what `calls` sees."""
    row = searched(path, set={"explore.allocations": True}, drivers=["merged"], go_on=True)
    assert row.runs == 1 + 2 * row.conflicts[0] + 1
    assert row.found is not None
    assert row.found.point.schedule == ("cpu1.attach.alloc#0:1",)
    assert row.found.sign.startswith("calls: ")


def test_a_journal_of_another_version_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text('{"model": "0", "allocations": false}\n')
    with pytest.raises(TopologyError, match="is of another search"):
        list(explorations([path], Request(), folder=tmp_path, resume=True))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_journal_that_cannot_be_written_further_is_no_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).symlink_to("/dev/full")
    with pytest.raises(TopologyError, match=r"journal\.jsonl: cannot be written: No space left .* go on with --resume"):
        Journal({"model": "1"}, tmp_path / JOURNAL)
    (tmp_path / "folder").mkdir()
    with pytest.raises(TopologyError, match=r"cannot be written: Is a directory"):
        Journal({"model": "1"}, tmp_path / "folder", resume=True)


def test_a_signal_ends_it_and_what_was_found_so_far_is_kept(path: Path) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        pytest.skip("who started the tests has signals ignored, or runs them beside the main thread, which alone hears")

    def signalled(row: Row, left: int) -> None:
        # Several runs may have come in before it is told of them.
        if row.driver == "merged" and row.runs >= 5 and not stop.asked:
            signal.raise_signal(signal.SIGINT)

    from cosim.study.run.stop import Stop

    stop = Stop()
    with stop.listening([signal.SIGINT]):
        request = Request(first_cell=True, jobs=1, drivers=("merged", "v2"))
        rows = list(explorations([path], request, progress=signalled, stop=stop))
    assert [(row.driver, row.stopped) for row in rows] == [("merged", "interrupted")]
    assert 5 <= rows[0].runs < 169


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["pct", "random"])
def test_drawn_schedules_are_as_many_as_asked_for_and_the_same_each_time(path: Path, strategy: str) -> None:
    asked: dict[str, Any] = {"strategy": strategy, "schedules": 12, "deviations": 3, "drivers": ["merged"]}
    first, again = searched(path, **asked), searched(path, **asked)
    assert first.by_level == [1, 12]
    assert first.as_json() == again.as_json()


@pytest.mark.slow
def test_schedules_that_repeat_a_partial_order_lead_to_nothing_more_if_that_is_asked(path: Path) -> None:
    asked: dict[str, Any] = {"drivers": ["merged"], "deviations": 2, "schedules": 300, "holds": ["50 ns"]}
    row = searched(path, skip_equal=True, **asked)
    assert 0 < row.orders < row.runs
    assert row.skipped > 0


@pytest.mark.slow
def test_mutants_show_that_a_clean_search_could_have_found_something(path: Path) -> None:
    row = searched(path, drivers=["merged"], mutants=True, deviations=0)
    seen = [mutant.step for mutant in row.mutants if mutant.found]
    assert len(row.mutants) > 20
    assert seen
    assert f"of {len(row.mutants)} drivers with a step less it finds {len(seen)}: {seen[0]}" in " ".join(
        as_text([row]).split()
    )


def test_a_step_that_no_run_came_to_makes_no_mutant_and_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, unreached = "invalidate: iotinval", "tables: flush-of-replaced"
    wanted = [mutant for mutant in mutants(DriverOptions()) if mutant[0] in (reached, unreached)]
    monkeypatch.setattr("cosim.study.explore.explore.mutants", lambda _: wanted)
    row = searched(path, drivers=["merged"], mutants=True, deviations=0)
    assert ([mutant.step for mutant in row.mutants], row.unreached) == ([reached], [unreached])
    assert f"no run came to the step of 1 more: {unreached}" in " ".join(as_text([row]).split())


def test_a_search_that_is_interrupted_among_its_mutants_is_an_interrupted_one(path: Path) -> None:
    stop, searched_of = Stop(), list[Row]()

    def progress(row: Row, left: int) -> None:
        if not any(row is other for other in searched_of):
            searched_of.append(row)
        stop.interrupted = len(searched_of) == 2

    request = Request(drivers=("merged",), first_cell=True, jobs=1, mutants=True, deviations=0)
    (row,) = explorations([path], request, progress=progress, stop=stop)
    assert (row.stopped, len(row.mutants)) == ("interrupted", 2)
    assert Exploration([row]).exit_code == 130


def test_a_step_that_was_taken_out_and_that_no_run_came_to_is_told(path: Path) -> None:
    """Of runs that nothing is added to, too: one of them might have come to it."""
    taken_out = {"driver.tables.without": "flush-of-replaced", "driver.invalidate.without": "barrier"}
    row = searched(path, set=taken_out, drivers=["merged"], schedules=3)
    assert row.by_level == [1, 2]
    assert row.idle == ("tables: flush-of-replaced",)
    told = " ".join(as_text([row]).split())
    assert "no run came to tables: flush-of-replaced, which was taken out" in told


def test_drawn_answers_are_of_different_questions() -> None:
    import random

    answers = ["a.st#1:1", "a.st#1:2", "b.ld#0:1", "b.ld#0:2", "c.ld#0.past:1"]
    for schedule in draw(answers, 3, 200, random.Random(1)):
        assert 1 <= len(schedule) <= 3
        assert len({answer.rpartition(":")[0] for answer in schedule}) == len(schedule)
    assert set(draw(["a.st#1:1"], 3, 20, random.Random(1))) == {("a.st#1:1",)}, "there are no more"


@pytest.mark.parametrize(
    ("failure", "same"),
    [
        ("faults: 3, expected 0; iommu0 refused 3 of 7 requests of nic0", "faults: N, expected N"),
        ("threads: cpu1.attach has not ended, expected to be finished", None),
        (
            "calls: 1 round of cpu0.map failed with ENOMEM, and all were to succeed",
            "calls: N round of cpu0.map failed with ENOMEM, and all were to succeed",
        ),
        ("oops at 0xffff1234 in x\nmore", "oops at N in x"),
    ],
)
def test_failures_that_differ_in_numbers_alone_are_of_one_kind(failure: str, same: str | None) -> None:
    assert kind(failure) == (same or failure)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([("one", True, None)], 2),
        ([("one", True, None), ("one", False, None)], 0),
        ([("one", True, "stale-dma"), ("one", True, None)], 0),
        ([("one", False, None), ("two", True, None), ("two", True, None)], 2),
    ],
)
def test_nothing_to_search_is_an_error_of_a_topology_and_not_of_one_driver_of_several(
    rows: list[tuple[str, bool, str | None]], code: int
) -> None:
    exploration = Exploration()
    for topology, nothing, sign in rows:
        found = SimpleNamespace(sign=sign) if sign else None
        row = SimpleNamespace(
            name=topology, nothing=nothing, found=found, unknown=False, stopped="", driver="", as_wanted=True
        )
        exploration.rows.append(row)  # type: ignore[arg-type]
    assert exploration.exit_code == code


@pytest.mark.parametrize(("strategy", "nothing"), [("bounded", True), ("pct", True), ("random", False)])
def test_what_is_in_no_conflict_is_held_by_a_random_search_alone(strategy: str, nothing: bool) -> None:
    assert Row("b6", "merged", complete=0, strategy=strategy).nothing is nothing


def test_a_search_that_had_no_time_for_a_single_run_has_come_to_nothing_and_says_so(path: Path) -> None:
    exploration = cosim.explore(path, drivers=["merged"], one_cell=True, seconds=0, jobs=1)
    assert [(row.runs, row.stopped) for row in exploration.rows] == [(0, "time")]
    assert exploration.exit_code == 4
    refused = CliRunner().invoke(main, ["explore", str(path), "--time", "0"])
    assert (refused.exit_code, "0.0 is not in the range x>0" in refused.output) == (2, True)


def test_a_search_stopped_before_all_of_its_unperturbed_runs_is_not_complete_and_says_so(path: Path) -> None:
    """A combination of hold and starts that was never run may be the one in which the unperturbed run shows it."""
    cut = cosim.explore(path, drivers=["merged"], schedules=1, jobs=1)
    (row,) = cut.rows
    assert (row.runs, row.cells, row.stopped, row.complete, row.unknown) == (1, 4, "schedules", -1, True)
    assert cut.exit_code == 4
    assert "without all 4 unperturbed runs: --schedules allows more" in " ".join(as_text([row]).split())
    row.cells, row.stopped = 1, "time"
    assert "without its unperturbed run: --time gives more time" in " ".join(as_text([row]).split())
    whole = cosim.explore(path, drivers=["merged"], one_cell=True, schedules=1, jobs=1)
    assert (whole.rows[0].complete, whole.exit_code) == (0, 0)
    assert "nothing is known" not in as_text(whole.rows)


def test_actions_are_listed_under_each_driver_that_is_asked_for_or_under_the_topology_s_own(path: Path) -> None:
    """Not under what the file says has to be found: that is searched, and no one's own driver."""

    def listed(*drivers: str, **changes: Any) -> list[tuple[str, str]]:
        cells = first_cells([path, path], Request(drivers=drivers), **changes)
        return [(cell.subject.driver_name, str(cell)) for cell in cells]

    first = "hold 10 us, cpu1.attach at 0 ps"
    assert listed() == [("merged", first)] * 2
    assert listed("v2", "latest") == [("v2", first), ("latest", first)] * 2
    assert listed(sets=["driver.queue=no-mmiowb"]) == [("merged queue=no-mmiowb", first)] * 2
    refused = CliRunner().invoke(main, ["explore", str(path), "--list-actions", "--json"])
    assert (refused.exit_code, "--list-actions prints text; leave --json out" in refused.output) == (2, True)


def test_what_has_chosen_a_driver_is_known_of_its_row(path: Path) -> None:
    def chosen_by(*drivers: str, sets: tuple[str, ...] = ()) -> set[str]:
        return {task.chosen_by for task in tasks(str(path), Request(drivers=drivers), sets=sets)}

    assert chosen_by(sets=("run.hold=5us",)) == {""}
    assert chosen_by("latest") == {"--driver"}
    assert chosen_by("latest", sets=("driver.queue=no-mmiowb",)) == {"--driver and -s driver.queue"}


def test_what_is_set_is_set_beside_the_driver_that_is_asked_for(path: Path) -> None:
    """The file's own driver has no such step."""
    names = [
        task.subject.driver_name
        for task in tasks(str(path), Request(drivers=("ideal",)), sets=["driver.pscid.without=lock"])
    ]
    assert names == ["ideal pscid.without=lock"]


def test_a_clean_row_says_which_threads_had_no_part(tmp_path: Path) -> None:
    """So does one that goes on from a journal."""
    path = written(tmp_path, ATTACH_BESIDE_UNMAP.replace("threads: finished, ", ""))
    why = "never began: it starts at 200 us, and the run ended at 20 us"
    asked: dict[str, Any] = {"set": {"threads.0.start": "200 us"}, "until": "20 us", "deviations": 0}
    asked |= {"drivers": ["merged"], "folder": tmp_path / "kept"}
    for resume in (False, True):
        row = searched(path, **asked, resume=resume)
        assert row.as_json()["inactive"] == {"cpu0.unmap": {"cells": 1, "why": why}}
        assert f"? cpu0.unmap {why}" in " ".join(as_text([row]).split())


def test_where_it_had_a_part_in_some_cells_it_is_said_in_how_many_it_had_none() -> None:
    row = Row("b6", "merged", cells=3, complete=1)
    row.note_inactive([{}, {"cpu0.unmap": "never began: first"}, {"cpu0.unmap": "never began: second"}])
    assert "? in 2 of 3 combinations cpu0.unmap never began: first" in " ".join(as_text([row]).split())
    assert "second" not in as_text([row])
