"""A search on a terminal: a bar that no thread draws, since a process with threads cannot be forked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.explore.systems import written
from tests.terminal import shown_on_a_terminal


@pytest.mark.slow
def test_a_bar_is_shown_and_taken_away_while_a_search_forks(tmp_path: Path) -> None:
    path = written(tmp_path)
    words = ["explore", str(path), "--driver", "merged", "--one-cell", "--schedules", "9", "-o", str(tmp_path / "out")]
    text = shown_on_a_terminal(words, tmp_path)
    assert "b6, merged, k=1" in text
    assert text.endswith("\r\n")
    assert "9 schedules" in text
