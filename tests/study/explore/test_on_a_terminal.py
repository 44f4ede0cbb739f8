"""A search on a terminal: a bar that no thread draws, since a process with threads cannot be forked."""

from __future__ import annotations

import os
import pty
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.study.explore.systems import written


@pytest.mark.slow
def test_a_bar_is_shown_and_taken_away_while_a_search_forks(tmp_path: Path) -> None:
    path = written(tmp_path)
    words = ["explore", str(path), "--driver", "merged", "--one-cell", "--schedules", "9", "-o", str(tmp_path / "out")]
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-m", "cosim", *words])
    shown = b""
    with suppress(OSError):  # the terminal is gone with its process
        while more := os.read(terminal, 1 << 16):
            shown += more
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    text = shown.decode()
    assert "b6, merged, k=1" in text
    assert text.endswith("\r\n")
    assert "9 schedules" in text
