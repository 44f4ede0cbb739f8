"""The numbers of topologies that docs/correctness.md gives are those of what comes with cosim."""

from __future__ import annotations

import re
from pathlib import Path

from cosim.study.conform.drivers.scenes import names
from cosim.system.load import shipped

PAGE = (Path(__file__).parents[2] / "docs" / "correctness.md").read_text(encoding="utf-8")


def number(text: str) -> int:
    """What stands for N in a text of the page, in which lines may break anywhere."""
    (found,) = re.findall(re.escape(text).replace(r"\ ", r"\s+").replace("N", r"(\d+)"), PAGE)
    return int(found)


def test_there_are_as_many_topologies_as_the_page_says() -> None:
    assert number("all N topologies that come with cosim") == len(shipped())
    assert number("in the N topologies of the review") == len(names()) - 1


def test_each_scene_is_equal_or_listed_with_its_difference() -> None:
    (table,) = re.findall(r"^\| scene \| difference \|\n\|.*\n((?:\| .*\n)+)", PAGE, re.MULTILINE)
    listed = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)
    assert set(listed) <= set(names())
    assert number("N scenes are equal") + len(listed) == len(names())
