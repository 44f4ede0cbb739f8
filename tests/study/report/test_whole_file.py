"""Files that results are written to: whole or not there, and whatever stands at their place stays what it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from cosim.study.report.whole_file import write_whole


def test_a_reader_of_a_pipe_gets_what_is_written_and_the_pipe_stays(tmp_path: Path) -> None:
    """As with `--csv /dev/stdout` and `-o >(less)`: a file in the pipe's place would leave its reader waiting."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    write_whole(pipe, "all of it\n")
    reader.join(10)
    assert got == ["all of it\n"]
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "results.csv", tmp_path / "results.csv"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_what_is_there_stays_where_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("old")
    (tmp_path / "results.csv.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["results.csv"]
