"""The page on results names every key of the JSON object, and no other."""

import re
from pathlib import Path

from tests.study.run.results import result

PAGE = (Path(__file__).parents[2] / "docs" / "result.md").read_text(encoding="utf-8")


def test_every_key_of_a_result_is_on_its_page_and_no_other() -> None:
    rows = re.findall(r"^\| (`[^|]*) \|", PAGE, re.M)
    named = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert named == result().as_json().keys()
