"""The first sentence is true: what it names, made larger, makes the requests it speaks of better, in random systems.

A range of seeds, none left out.
`benchmarks/first_sentence.py` looks at many more of them, and says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.study.run.systems import MARGIN, improvement, spread

BEHIND_DATA = 555
"""A system whose places are full of requests that wait for walks behind data, at a port that is 84 % busy."""

ALONE = 55
"""A system with one place, whose holder walks nearly all the time, mostly for a page that the next one needs, too."""

POSTED = 66
"""A system whose walkers and slots are full, and whose walkers wait for a port that is not."""

AT_INTERVALS = 194
"""A system whose device makes a request each 300 ns, for which its slots just suffice."""

FEW_PLACES = 609
"""A system whose walkers are full, and could not be in use side by side: there is one place."""

ONE_WALK = 626
"""A system whose device keeps all its slots, and waits 41 % of its time for walks of its other requests."""

WALKED_ALIKE = (18, 108, 213, 351)
"""Systems whose places are full of requests that wait for one another's walks."""

FAR_BEHIND = (4, 30)
"""Systems in which no request made in the window ends in it."""


SHORT = {"warmup": "2 us", "until": "10 us"}
"""A window for tests that are in every run."""


def check(seed: int, run: Mapping[str, str] | None = None) -> str:
    said, better = improvement(seed, run=run)
    assert better is None or better > MARGIN, f"system {seed}: {said!r} made it better by {better:.1%}"
    return said


@pytest.mark.parametrize("seed", range(6))
def test_what_the_first_sentence_names_is_what_to_enlarge_in_a_short_window(seed: int) -> None:
    check(seed, SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 260))
def test_what_the_first_sentence_names_is_what_to_enlarge(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 60))
def test_it_is_on_the_way_of_the_requests_where_there_are_other_ways(seed: int) -> None:
    """Two memories and two IOMMUs: what is full, or used most, may be on the way of another device alone."""
    said, better = improvement(seed, run={"warmup": "10 us", "until": "60 us"}, drawn=spread)
    assert better is None or better > MARGIN, f"system {seed}: {said!r} made it better by {better:.1%}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", WALKED_ALIKE)
def test_full_places_whose_holders_wait_for_one_anothers_walks_need_shorter_walks(seed: int) -> None:
    said = check(seed)
    assert "much of that with requests that wait for one another's walks; try -s 'dram0." in said
    assert "in_flight=" not in said


@pytest.mark.slow
def test_with_more_places_more_requests_wait_for_the_same_walk() -> None:
    """What the sentence would name without that rule does not help: the test before this one could fail."""
    _, better = improvement(213, sets=["iommu0.geometry.in_flight=4"])
    assert better is not None
    assert better < MARGIN


@pytest.mark.slow
def test_what_is_busy_and_not_full_is_named_with_what_is_full_of_requests_that_wait_for_it() -> None:
    said = check(BEHIND_DATA)
    assert "dram0's port was 84 % busy and iommu0's places were > 99 % busy" in said


@pytest.mark.slow
@pytest.mark.parametrize("seed", [ALONE, POSTED, AT_INTERVALS])
def test_what_is_full_is_named_with_what_is_in_the_way_beside_it_and_not_if_nobody_waits_for_it(seed: int) -> None:
    check(seed)


@pytest.mark.slow
def test_walkers_are_named_with_the_places_that_bound_how_many_are_in_use() -> None:
    assert "try -s iommu0.geometry.walkers=2 -s iommu0.geometry.in_flight=2" in check(FEW_PLACES)
    _, alone = improvement(FEW_PLACES, sets=["iommu0.geometry.walkers=2"])
    assert alone is not None
    assert alone < MARGIN


@pytest.mark.slow
def test_slots_are_named_with_the_walk_that_all_requests_wait_for() -> None:
    assert "try -s dev0.traffic.outstanding=8 -s 'dram0.latency=75 ns'" in check(ONE_WALK)
    _, alone = improvement(ONE_WALK, sets=["dev0.traffic.outstanding=8"])
    assert alone is not None
    assert alone < MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("seed", FAR_BEHIND)
def test_a_device_far_behind_is_told_with_what_is_full(seed: int) -> None:
    said = check(seed)
    assert said.startswith("no request made in the window ended in it: ")
    assert " requests wait for a slot of dev0 on average; dev0's " in said


@pytest.mark.slow
def test_a_change_that_is_not_named_need_not_help() -> None:
    """What the test measures can tell: a way that no request takes."""
    said, better = improvement(202, sets=["dev0.register_access=1 ns"])
    assert "outstanding" in said
    assert better is not None
    assert better < MARGIN
