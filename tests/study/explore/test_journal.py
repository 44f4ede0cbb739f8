"""A journal keeps the runs of a search, whatever ended the process that wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosim.study.explore.journal import Done, Journal
from cosim.study.explore.look import Look

HEAD = {"model": "1", "allocations": False}
RUNS = {
    "first": Done((), "aa", Look(3, 2, 1, ("a#0:1", "a#0:2"), order=7, inactive={"cpu0.x": "never began"})),
    "second": Done(("calls: x",), "bb", None, ("calls: x failed",)),
    "third": Done((), "cc", Look(1, 0, 0, idle=("tables: x",))),
}


def keep(path: Path) -> list[str]:
    """The lines of a journal with all runs."""
    with Journal(HEAD, path) as journal:
        for name, done in RUNS.items():
            journal.of("2").put(name, done)
    return path.read_text().splitlines()


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_of_a_journal_that_was_cut_short_every_whole_line_is_kept_and_the_next_run_stands_behind_them(
    tmp_path: Path, cut: int
) -> None:
    """Without its last newline alone the last line is whole, too."""
    path = tmp_path / "journal.jsonl"
    whole = keep(path)
    path.write_text(path.read_text()[: -cut or None])
    left = whole if cut < 2 else whole[:-1]
    with Journal(HEAD, path, resume=True) as journal:
        notes = journal.of("2")
        assert len(journal) == len(left) - 1
        assert {name: notes.get(name) for name in RUNS} == {**RUNS, **({"third": None} if cut > 1 else {})}
        assert path.read_text().splitlines() == left
        notes.put("fourth", RUNS["first"])
    assert path.read_text().splitlines()[:-1] == left
    with Journal(HEAD, path, resume=True) as journal:
        assert journal.of("2").get("fourth") == RUNS["first"]
        assert journal.of("1").get("fourth") is None, "of which something else was read back"


def test_a_search_that_begins_anew_keeps_nothing_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert keep(path) == keep(path)
