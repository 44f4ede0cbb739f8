"""docs/validation.md: made of the last outcome of each target; what is quick of them is run here as well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from validation import kept, page
from validation.__main__ import main, within
from validation.command_queue import FAR, NEAR
from validation.runs import Runs
from validation.small_checks import AGILEX, T100
from validation.target import Outcome, Row
from validation.targets import TARGETS

KEPT = kept.read()


def test_the_page_is_that_of_the_outcomes() -> None:
    written = (kept.ROOT / "docs" / page.PAGE).read_text(encoding="utf-8")
    assert page.page() == written, "docs/generate.py renews it"


def test_every_target_has_an_outcome_and_every_outcome_a_target() -> None:
    assert set(KEPT) == {target.name for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_is_fitted_is_not_what_is_compared(target: object) -> None:
    """A target with parameters names points on which they were chosen, and others that they predict."""
    outcome = KEPT[target.name].outcome  # type: ignore[attr-defined]
    assert outcome.predicted
    if outcome.parameters:
        assert len(outcome.predicted) < len(outcome.rows)


@pytest.mark.parametrize("target", [AGILEX, T100], ids=lambda target: target.name)
def test_a_target_comes_out_as_it_is_kept(target: object, tmp_path: Path) -> None:
    outcome = target.run(Runs(tmp_path / "runs.sqlite", 1))  # type: ignore[attr-defined]
    assert Outcome.of(outcome.as_json()) == KEPT[target.name].outcome  # type: ignore[attr-defined]


def test_a_run_is_made_once(tmp_path: Path) -> None:
    first, again = (Runs(tmp_path / "runs.sqlite", 1) for _ in range(2))
    assert T100.run(first) == T100.run(again)
    assert (first.made, again.made, again.counted) == (1, 0, 1)


def test_a_prediction_that_is_too_far_off_is_told_and_a_calibrated_point_never() -> None:
    near, far = Row("host", "1 MiB", 100.0, 101.0), Row("host", "2 MiB", 100.0, 109.0)
    outcome = Outcome([near, far], "ns")
    target = replace(T100, kind="predicted", within=0.05)
    assert not within(target, outcome)
    assert "**1 are farther off than the 5 %" in "\n".join(page._section(target, kept.Kept(outcome, "m", 1, 1.0)))
    assert within(target, Outcome([near, replace(far, calibrated=True)], "ns"))
    assert within(replace(target, kind="consistency", within=None), outcome)
    assert not within(replace(target, kind="exact"), outcome)


def test_a_case_that_is_not_exact_is_told_with_both_numbers() -> None:
    rows = [Row("hit", "L = 1", 2, 2), Row("hit", "L = 2", 2, 3)]
    assert "| hit | 2, 2 | L = 2: 3 for 2 |" in list(page._exact(rows))


def test_a_target_that_is_none_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["t10"])
    assert ended.value.code == 2
    assert "t10 is no target; did you mean t100?" in capsys.readouterr().err


def test_what_the_page_says_of_throughput_in_words_is_what_came_out() -> None:
    rows = KEPT["pcie-bench-throughput"].outcome.rows
    knees = {row.series: row for row in rows if row.at == "128 pages" and row.series.endswith(" 64 B reads")}
    haswell, ivy_bridge = knees.values()
    assert haswell.calibrated
    assert ivy_bridge.calibrated
    assert (haswell.error, ivy_bridge.error) == (pytest.approx(0.052, abs=5e-4), pytest.approx(0.035, abs=5e-4))
    far = {(row.series, row.at): row.error for row in rows if not row.calibrated and abs(row.error) > 0.03}
    assert far == {
        ("Haswell E5-2620v3, 128 B reads", "128 pages"): pytest.approx(0.052, abs=5e-4),
        ("Haswell E5-2620v3, 256 B reads", "128 pages"): pytest.approx(-0.034, abs=5e-4),
        ("Haswell E5-2620v3, 128 B writes", "2048 pages"): pytest.approx(-0.035, abs=5e-4),
        ("Haswell E5-2620v3, 256 B writes", "2048 pages"): pytest.approx(-0.031, abs=5e-4),
        ("Ivy Bridge E5-2620v2, 128 B reads", "256 pages"): pytest.approx(0.107, abs=5e-4),
        ("Ivy Bridge E5-2620v2, 256 B writes", "1024 pages"): pytest.approx(-0.109, abs=5e-4),
        ("Ivy Bridge E5-2620v2, 256 B writes", "2048 pages"): pytest.approx(-0.118, abs=5e-4),
    }


def test_what_the_page_says_of_the_command_queue_in_words_is_what_came_out() -> None:
    rows = {(row.series, row.at): row.error for row in KEPT["command-queue"].outcome.rows}
    for series in (NEAR, FAR):
        assert 0 < rows[series, "4 CPUs"] < rows[series, "8 CPUs"] < 0.05
    assert abs(rows[FAR, "32 CPUs"]) < 0.10 < rows[NEAR, "32 CPUs"]
    assert rows[FAR, "96 CPUs"] == pytest.approx(-0.203, abs=5e-4)
    assert 0.15 < rows[NEAR, "96 CPUs"] < 0.25
    law = [float(error) for error in KEPT["command-queue"].outcome.tables[0].rows[-1][1:]]
    assert law == [-2.8, -4.8]
