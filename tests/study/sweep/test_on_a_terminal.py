"""A sweep on a terminal: a bar with the time left, drawn by no thread, since what has threads is not forked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.sweep.test_sweep import RANDOM
from tests.terminal import shown_on_a_terminal


@pytest.mark.slow
def test_a_bar_is_shown_and_taken_away_while_a_sweep_forks(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(RANDOM, encoding="utf-8")
    words = ["sweep", "tiny.yaml", "-x", "dram0.latency=40 ns..50 ns:1 ns", "--reps", "2"]
    text = shown_on_a_terminal(words, tmp_path)
    assert "runs" in text
    assert "/22" in text
    assert text.endswith("22 of 22 runs were made now, in tiny.sqlite\r\n")
