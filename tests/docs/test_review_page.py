"""The page on the review: made of what a search of every experiment has come to."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

from tests.docs.test_generator import script

review = script("review")
PAGE = Path(review.ROOT) / "docs" / review.PAGE
ROWS = review.kept()["rows"]


def test_the_page_is_what_the_outcome_says() -> None:
    assert review.page() == PAGE.read_text(encoding="utf-8"), "docs/generate.py renews it"


def test_every_experiment_was_searched_and_came_out_as_it_had_to() -> None:
    assert {row["topology"] for row in ROWS} == {path.stem for path in review.FOLDER.glob("*.yaml")}
    assert [row for row in ROWS if not row["as_wanted"]] == []


def test_the_table_fits_in_a_terminal_and_names_every_remark() -> None:
    lines = list(review.table(ROWS))
    assert max(map(len, lines)) <= review.WIDTH
    remarks = {row["remark"] for row in ROWS}
    assert all(any(line.startswith(wrap(remark, 15)[0]) for line in lines) for remark in remarks)


def test_what_an_outcome_says_replaces_the_rows_of_its_topologies_and_no_others() -> None:
    rows = [row for row in ROWS if row["topology"] in ("c10_doorbells_overtake", "b6_context_first")]
    before = {"models": ["one"], "rows": [*rows, dict(rows[0], topology="there_is_no_such_file")]}
    changed = [row | {"runs": 7} for row in rows if row["topology"] == "b6_context_first"]
    after = review.taken_in([{"model": "two", "rows": changed}], before)
    assert after["models"] == ["one", "two"]
    assert {row["topology"]: row["runs"] for row in after["rows"]}["b6_context_first"] == 7
    assert {row["topology"] for row in after["rows"]} == {row["topology"] for row in rows}
    assert review.taken_in([{"model": "two", "rows": rows}], before)["models"] == ["two"]
