"""The table of an exploration: what is said beside a row in which nothing was found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from cosim.study.explore.row import Found, Row
from cosim.study.report.exploration import as_text
from cosim.study.run.run import Point

BLIND = "nothing shows that this search could have found anything"


def row(driver: str, sign: str = "", **more: Any) -> Row:
    """One that has come to its end, with what was found in it."""
    given: dict[str, Any] = {"runs": 9, "complete": 1, "actions": (20, 20), "conflicts": (4, 4), **more}
    made = Row("races", driver, **given)
    made.found = hit(sign) if sign else None
    return made


def hit(sign: str, n: int = 1) -> Found:
    return Found(n, 0, sign, "hold 2 us", cast(Point, SimpleNamespace(command="cosim run races")), "")


def said(*rows: Row) -> str:
    text = as_text(rows, 80)
    assert max(map(len, text.splitlines())) <= 80
    return " ".join(text.split())


def test_drivers_of_the_file_that_were_not_searched_are_no_proof() -> None:
    """With another hold or bound than the file's the search might find none of them."""
    clean = row("latest", defects=4, chosen_by="--driver")
    assert "not searched: 4 drivers that the file names to be found; leave --driver out" in said(clean)
    asked = row("merged", defects=2, wanted="stale-dma", chosen_by="--driver and -s driver.invalidate.without")
    text = said(asked, row("latest", defects=2, chosen_by=asked.chosen_by))
    assert "not searched: 1 driver that the file names to be found; leave --driver and -s driver.inv" in text


def test_where_all_drivers_of_the_file_were_searched_none_is_to_be_left_out() -> None:
    text = said(row("v2", defects=1, wanted="stale-dma"), row("merged", defects=1, wanted=""))
    assert text.count(f"{BLIND}; --mutants takes steps out of the driver") == 2
    assert "not searched" not in text


def test_a_driver_whose_code_has_failed_shows_nothing_of_the_search() -> None:
    for sign in ("error: your code has failed: ZeroDivisionError: division by zero", "lost"):
        lost = Row("races", "own.py:Own", runs=1, lost=1)
        lost.found = hit(sign)
        assert f"4 in conflict {BLIND}" in said(row("merged"), lost)
    assert "the same search finds own.py:Own" in said(row("merged"), row("own.py:Own", "stale-dma"))


def test_what_is_shown_in_place_of_what_was_wanted_is_told_and_shows_that_the_search_sees() -> None:
    others = {"flush-promises: unmap returned, never invalidated": hit("flush-promises")}
    text = said(row("v2", wanted="stale-dma", others=others), row("merged"))
    first, _, second = text.partition(" merged ")
    assert "not found, and should be (stale-dma): all 9 schedules of k <= 1" in first
    assert "it shows instead: flush-promises: unmap returned, never invalidated (after 1)" in first
    assert BLIND not in text
    assert second.endswith("the same search finds v2")


def test_of_many_other_signatures_only_a_few_are_told() -> None:
    others = {f"sign-{number}": hit(f"sign-{number}", 1000 + number) for number in range(5)}
    text = said(row("v2", wanted="stale-dma", others=others))
    assert "it shows instead: sign-0 (after 1,000); sign-1 (after 1,001); sign-2 (after 1,002); and 2 more" in text


def test_a_crash_in_place_of_what_was_wanted_is_told_and_shows_nothing() -> None:
    text = said(row("v2", wanted="stale-dma", others={"lost": hit("lost")}))
    assert "it shows instead: lost (after 1)" in text
    assert BLIND in text


def test_of_the_steps_that_were_taken_out_those_that_are_not_found_are_named_too() -> None:
    mutants = [
        row("merged", "stale-dma", step="queue: wait"),
        row("merged", step="queue: turn"),
        row("merged", step="bonds: lock"),
        row("merged", step="tables: order", complete=0, stopped="time"),
        row("merged", "error: your code has failed", step="groups: mutex"),
    ]
    text = said(row("merged", with_mutants=True, mutants=mutants))
    assert text.endswith(
        "of 5 drivers with a step less it finds 1: queue: wait (1) not found: queue: turn, bonds: lock "
        "not searched to the end: tables: order died, or raised an exception: groups: mutex"
    )
    none = said(row("merged", with_mutants=True, mutants=mutants[1:2]))
    assert none.endswith(f"of 1 driver with a step less it finds none: {BLIND} not found: queue: turn")


def test_who_asked_for_mutants_hears_why_there_are_none() -> None:
    part = row("merged", with_mutants=True, complete=0, stopped="schedules", by_level=[1, 8], next_level=9)
    assert f"{BLIND}; --mutants takes no step out of a driver whose search has not come to its end" in said(part)
    assert f"{BLIND}; --mutants finds no step that it could take out" in said(row("merged", with_mutants=True))


def test_where_objects_have_no_room_they_are_named_without_their_folders_and_others_as_they_are() -> None:
    folder = "/linux" * 20
    text = said(row("merged"), row(f"object:{folder}/iommu.o,{folder}/domain.o"))
    assert " merged " in text
    assert " object:iommu.o,domain.o " in text
    assert " object:/linux/iommu.o " in said(row("merged"), row("object:/linux/iommu.o")), "there is room"


def test_one_is_not_several() -> None:
    one = row("merged", runs=1, actions=(1, 1), conflicts=(1, 1), orders=1, lost=1)
    text = said(one)
    assert "clean: the only schedule of k <= 1 1 action, 1 in conflict" in text
    assert text.endswith("1 partial order 1 run died, or raised an exception")
    assert "nothing found: 1 drawn schedule 1" in said(row("merged", runs=1, strategy="pct", actions=(1, 1)))
    assert "skipped what follows 1 schedule whose" in said(row("merged", skipped=1))
