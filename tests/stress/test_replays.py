"""The program that replays findings: it makes them where there are none, and sees a digest that is not equal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.stress.replays import findings_in, main, replayed
from tests.study.finding.systems import found

pytestmark = pytest.mark.slow


def test_all_digests_of_a_finding_are_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found().write(tmp_path / "found.json")
    (tmp_path / "other.json").write_text("{}")
    assert main([str(tmp_path), "--number", "1"]) == 0
    told = capsys.readouterr()
    for way in ("in a fork", "in a fresh process", "on the other executor"):
        assert f"{way}: 1 of 1 digests are equal" in told.out
    assert "other.json: this is no finding" in told.err


def test_a_digest_that_is_not_equal_is_told_for_each_way(tmp_path: Path) -> None:
    wrong = replace(found(), digest="0123456789abcdef")
    equal = replayed([wrong, found()], 1)
    assert set(equal.ways.values()) == {1}
    assert len(equal.other) == 3
    assert all(f": {found().digest}, not 0123456789abcdef" in text for text in equal.other)


def test_what_is_missing_is_made_of_what_experiments_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--number", "2", "--fresh", "1"]) == 0
    assert "0 findings were there, and 2 more are made" in capsys.readouterr().out
    assert not list(findings_in(tmp_path))
