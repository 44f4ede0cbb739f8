"""Each study has a file that can be run, a page with its figure, and a conclusion that numbers can contradict."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cosim.study.sweep.points import check
from cosim.study.sweep.study import is_study, read, shipped_studies
from cosim.system.load import shipped

PAGES = Path(__file__).parents[2] / "docs" / "studies"
STUDIES = shipped_studies()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PAGES))
    for name in ("make", "found", "figure"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("make")


def test_every_study_is_made_and_nothing_else(made: ModuleType) -> None:
    assert sorted(made.NAMES) == sorted(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_found_by_its_name_which_no_topology_has(name: str) -> None:
    assert is_study(name)
    assert name not in shipped()


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_has_its_figures_its_question_its_conclusion_and_its_numbers(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    figures = re.findall(r"\]\(([\w-]+\.svg)\)", page)
    assert figures
    for figure in figures:
        assert (PAGES / figure).read_text(encoding="utf-8").startswith("<?xml")
        assert (PAGES / figure).stat().st_size < 100_000
    assert re.search(r"^\*[A-Z].*\?\*", page, re.M)
    assert re.search(r"^\*\*[A-Z](?:.|\n)*?\*\*$", page, re.M)
    assert "Not shown:" in page
    written = re.search(r"<!-- written -->\n(.*?)<!-- end -->", page, re.S)
    assert written
    assert f"`cosim sweep {name}` makes them." in written[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_point_of_a_study_can_be_run(name: str) -> None:
    plan = read(name)
    axes, points = plan.points()
    check(plan.subject.read(), axes, points)
    assert points


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_conclusion_is_contradicted_by_numbers_that_are_all_alike(made: ModuleType, name: str) -> None:
    """Whatever a study concludes, it does not follow from a system in which nothing depends on anything."""
    from found import Found

    from cosim.study.results.estimate import Mean

    study = importlib.import_module(name)
    plan = read(name)
    _, points = plan.points()

    class Alike(dict[str, Mean]):
        def __missing__(self, metric: str) -> Mean:
            return Mean(1.0, 0.0, 3)

    found = Found(
        [({short: at[path] for path, short in study.AXES.items()}, Alike()) for at in points], "", len(points)
    )
    with pytest.raises(AssertionError):
        study.check(found)
