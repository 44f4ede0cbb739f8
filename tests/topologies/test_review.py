"""The experiments on the review's remarks: each defect is shown by the schedule that its file names, beside which the
drivers that have to be clean are clean.

The searches themselves are `make review`: here one schedule of each is run again, of every second file the first one
in every run of the tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

import cosim
from cosim.system.explore_options import ExploreOptions
from cosim.system.load import shipped
from tests.topologies.experiments import first_cell, signs

FILES = [name for name, path in shipped().items() if path.parent.name == "review"]
HOLDS = 3
"""As many holds every experiment has at least."""


def explored(name: str) -> ExploreOptions:
    explore = cosim.load(name).explore
    assert explore is not None
    return explore


def shown() -> Iterator[object]:
    """Every defect of which a schedule is known; all but the first of every second file are slow.

    Files are read as they are written: to load them all would take longer than most tests do.
    """
    for turn, name in enumerate(FILES):
        defects = yaml.load(shipped()[name].read_text(encoding="utf-8"), yaml.CSafeLoader)["explore"]["defects"]
        for number, at in enumerate(at for at, row in enumerate(defects) if "schedule" in row):
            yield pytest.param(name, at, id=f"{name}-{at}", marks=[pytest.mark.slow] if number or turn % 2 else [])


@pytest.mark.parametrize(("name", "at"), tuple(shown()))
def test_a_defect_is_shown_by_its_schedule(name: str, at: int) -> None:
    row = explored(name).defects[at]
    found = signs(first_cell(name, at), row.schedule or ())
    assert any(sign.startswith(row.signature) for sign in found), found


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_what_has_to_be_clean_is_clean_under_the_schedules_that_show_the_defects(name: str) -> None:
    explore = explored(name)
    schedules = {row.schedule for row in explore.defects if row.schedule is not None} | {()}
    for at in range(len(explore.defects), len(explore.defects) + len(explore.clean)):
        for schedule in sorted(schedules):
            assert not signs(first_cell(name, at), schedule), (explore.clean[at - len(explore.defects)], schedule)


@pytest.mark.parametrize("name", FILES)
def test_an_experiment_has_a_defect_holds_and_starts_and_says_who_reaches_it(name: str) -> None:
    topology = cosim.load(name)
    explore = topology.explore
    assert explore is not None
    assert explore.remark
    assert explore.reached_by
    assert explore.defects
    assert len(explore.holds) >= HOLDS
    assert explore.starts or len(topology.threads) == 1
