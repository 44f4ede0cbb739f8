"""What is searched of what is asked for, and what is kept of what was found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.study.explore.explore import JOURNAL, Exploration, explorations
from cosim.study.explore.keep import _name, keep
from cosim.study.explore.look import Looking
from cosim.study.explore.request import Request
from cosim.study.explore.row import Found, Row
from cosim.study.explore.subjects import expanded, tasks
from cosim.study.finding import read
from cosim.study.finding.shrink import Shrunk
from cosim.study.pool import Pool, Record
from cosim.study.run.model import model_version
from cosim.study.run.run import Point
from cosim.study.run.stop import Stop
from cosim.units.quantities import MS
from tests.study.explore.systems import written

TINY = Path(__file__).parents[2] / "tiny.yaml"


def found_in(
    driver: str, sign: str, *, hold: str = "1 us", step: str = "", wanted: str | None = None, **sets: object
) -> Row:
    """A row in which this was found."""
    point = Point(cosim.load(TINY, set={"run.hold": hold, **sets}), "tiny", ("a#0:1",), "cosim run tiny")
    row = Row("tiny", driver, step=step, wanted=wanted)
    row.found = Found(2, 1, sign, f"hold {hold}", point, "")
    return row


def _signs(point: Point) -> tuple[str, ...]:
    with Pool(1) as pool:
        ((_, record),) = pool.runs([point])
    return tuple(record.signs)


def name_of(row: Row) -> str:
    return _name(row, cast(Found, row.found))


def test_findings_of_another_hold_driver_or_step_have_files_of_their_own() -> None:
    first = found_in("merged", "stale-dma: x")
    others = [
        found_in("merged", "stale-dma: x", hold="2 us"),
        found_in("v2", "stale-dma: x"),
        found_in("merged", "stale-dma: x", step="queue: wait"),
        found_in("merged", "oops: x"),
    ]
    assert len({name_of(row) for row in (first, *others)}) == 5
    assert name_of(first) == "tiny-merged-stale-dma-1us"
    assert name_of(found_in("/drivers/own/mine.py:Mine", "stale-dma: x")) == "tiny-mine.py-Mine-stale-dma-1us"
    objects = "object:/trees/linux/iommu.o,../tables.o,-iommu.c:453"
    assert name_of(found_in(objects, "stale-dma: x")) == "tiny-object-iommu.o-tables.o--iommu.c-453-stale-dma-1us"


def test_what_is_kept_is_the_smaller_run_and_what_is_held_is_that_of_the_one_that_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = found_in("merged", "calls: x")
    assert row.found is not None
    smaller = Shrunk(replace(row.found.point, schedule=()), Record("failed", ("calls: x",)), 1, True)
    monkeypatch.setattr("cosim.study.explore.keep.shrink", lambda *_, **__: smaller)
    monkeypatch.setattr("cosim.study.explore.keep.lines_held", lambda point: dict.fromkeys(point.schedule, "iommu.c:1"))
    keep(row, tmp_path, small=True, jobs=1, stop=Stop())
    finding = read(row.found.path)
    assert (finding.schedule, finding.command) == ((), f"cosim replay {row.found.path}")
    assert row.found.held == {"a#0:1": "iommu.c:1"}


@pytest.mark.parametrize("sign", ["lost: its process died", "error: ZeroDivisionError"])
def test_of_a_run_that_died_there_is_nothing_to_keep(tmp_path: Path, sign: str) -> None:
    row = found_in("merged", sign)
    keep(row, tmp_path / "out", small=True, jobs=1, stop=Stop())
    assert not list(tmp_path.iterdir())
    assert row.found is not None
    assert row.found.path == ""


@pytest.mark.parametrize("again", [True, False])
def test_what_a_run_shows_again_is_kept_with_the_command_that_replays_it(tmp_path: Path, again: bool) -> None:
    row = found_in("merged", "expect: x", **{"expect.scalars": {"nic0.reads": 0}})
    assert row.found is not None
    (sign,) = _signs(row.found.point)
    row.found.sign = sign if again else "stale-dma: x"
    keep(row, tmp_path / "out", small=False, jobs=1, stop=Stop())
    kept = list(tmp_path.glob("out/*.json"))
    assert [str(path) for path in kept] == ([row.found.path] if again else [])
    assert [json.loads(path.read_text())["command"] for path in kept] == [f"cosim replay {path}" for path in kept]


@pytest.mark.parametrize(("driver", "code"), [("own.py:Mine", 2), ("merged", 3)])
def test_whose_code_has_failed_is_told_by_the_exit_code(driver: str, code: int) -> None:
    assert Exploration([found_in(driver, "error: ZeroDivisionError")]).exit_code == code


@pytest.mark.parametrize(
    ("shrink", "wanted", "small"),
    [(True, None, True), (True, "", True), (True, "stale-dma", False), (False, None, False)],
)
def test_what_should_not_have_been_found_is_made_smaller_if_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shrink: bool, wanted: str | None, small: bool
) -> None:
    asked: list[bool] = []
    row = found_in("merged", "stale-dma: x", wanted=wanted)
    monkeypatch.setattr("cosim.study.explore.explore._Engine.row", lambda *_: row)
    monkeypatch.setattr("cosim.study.explore.explore.keep", lambda *_, small, **__: asked.append(small))
    request = Request(shrink=shrink, drivers=("merged",))
    assert list(explorations([written(tmp_path)], request, folder=tmp_path / "out")) == [row]
    assert asked == [small]


def test_a_search_with_allocations_does_not_go_on_from_one_without(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text(json.dumps({"model": model_version(), "allocations": False}) + "\n")
    with pytest.raises(TopologyError, match=r"is of another search \(allocations differ\)"):
        list(explorations([written(tmp_path)], Request(allocations=True), folder=tmp_path, resume=True))


def test_the_topologies_of_a_folder_are_searched_by_their_names(tmp_path: Path) -> None:
    for name in ("otter", "heron", "plover"):
        written(tmp_path, name=name)
    assert expanded([tmp_path, "quickstart"]) == [
        *(tmp_path / f"{name}.yaml" for name in ("heron", "otter", "plover")),
        "quickstart",
    ]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"starts": {"cpu1.atach": (0,)}}, "--starts cpu1.atach: "),
        ({"holds": (1000 * MS,)}, "--holds: "),
    ],
)
def test_what_cannot_be_searched_is_told_with_the_option_that_asks_for_it(
    tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(TopologyError) as error:
        list(tasks(str(written(tmp_path)), Request(**asked)))
    assert str(error.value).startswith(said)


def test_runs_of_which_other_things_are_read_back_are_told_apart() -> None:
    looking = [
        Looking(1),
        Looking(2),
        Looking(1, everything=True),
        Looking(1, orders=True),
        Looking(1, allocations=True),
    ]
    assert len({look.key for look in looking}) == len(looking)
