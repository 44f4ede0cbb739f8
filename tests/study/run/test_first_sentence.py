"""The first sentence is true: what it names, made larger, makes the requests it speaks of better, in random systems.

A range of seeds, none left out.
`benchmarks/first_sentence.py` looks at many more of them, and says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

import cosim
from tests.study.run.systems import MARGIN, gain, improvement, spread, varied

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

WRITES_AT_INTERVALS = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  dev0:
    {kind: dma, through: iommu0, posted: true,
     traffic: {pattern: random, window: 16 KiB, read: 0, outstanding: 2, interval: 100 ns, arrivals: poisson}}
run: {until: 20 us, warmup: 4 us}
"""
"""Posted writes: two or three are in flight, and few have one of the two slots."""

WALKED_ALIKE = (18, 108, 213, 351)
"""Systems whose places are full of requests that wait for one another's walks."""

FAR_BEHIND = (4, 30)
"""Systems in which no request made in the window ends in it."""

ONE_FAR_BEHIND = 103
"""A system of those that are `varied`, in which no request of the device ends in time that has nearly all places."""

CONVOY = 940
"""A system whose link is full of what comes back at once to all requests that have waited for the same walk."""

WRITES_BEHIND_READS = (289, 431)
"""Systems of those that are `varied`, in which every place goes to reads, so that a device which writes has none."""

OTHERS_WALK = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB, latency: 400 ns}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {walkers: 1, in_flight: 4}}
  dev0:   {kind: dma, through: iommu0, traffic: {pattern: sequential, size: 64 B, window: 4 KiB, outstanding: 32}}
  disk0:  {kind: dma, through: iommu0, WALKS}
run: {until: 60 us, warmup: 20 us}
"""
"""A device whose only page is always in the IOTLB waits for places, which another has that walks for each request."""

ALWAYS = "traffic: {pattern: strided, stride: 4 KiB, window: 1 MiB, outstanding: 16}"
BEHIND = (
    "posted: true, traffic: {pattern: strided, stride: 4 KiB, window: 1 MiB, read: 0, outstanding: 1, interval: 100 ns}"
)

OVERTAKEN = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {in_flight: 2, arbitration: reads-first}, timing: {lookup: 100 ns}}
  dev0:   {kind: dma, through: iommu0, traffic: {outstanding: 64}}
  disk0:  {kind: dma, through: iommu0, traffic: {read: 0, outstanding: 4, interval: 100 ns}}
run: {until: 60 us, warmup: 20 us}
"""
"""A device that always has reads to wait for a place, and one that writes."""

TOO_FEW_CONTEXTS = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {ddtc_entries: 2, in_flight: 1}}
  dev0:   {kind: dma, through: iommu0, traffic: {window: 4 KiB, outstanding: 4}}
  dev1:   {kind: dma, through: iommu0, traffic: {window: 4 KiB, outstanding: 4}}
  dev2:   {kind: dma, through: iommu0, traffic: {window: 4 KiB, outstanding: 4}}
run: {until: 30 us, warmup: 10 us}
"""
"""Three devices that go on at the same time, behind an IOMMU that keeps the contexts of two."""

MEDIUM = {"warmup": "10 us", "until": "60 us"}
"""A window in which most systems have come to rest."""

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
    said, better = improvement(seed, run=MEDIUM, drawn=spread)
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
    assert "try -s 'iommu0.timing.link=50 ns' -s dev0.traffic.outstanding=8" in check(ONE_WALK)
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
def test_a_device_far_behind_is_told_though_requests_of_others_ended() -> None:
    """What is full may be its alone: what the one of another device waits for would help that even less."""
    said, better = improvement(ONE_FAR_BEHIND, drawn=varied)
    assert said.startswith("no request of dev0 made in the window ended in it: 219 requests wait for a slot of dev0 ")
    assert said.endswith("iommu0's walkers were > 99 % busy; try -s iommu0.geometry.walkers=2")
    assert better is not None
    assert better > MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("seed", WRITES_BEHIND_READS)
def test_writes_that_every_read_overtakes_are_told_with_that_order(seed: int) -> None:
    said, better = improvement(seed, drawn=varied)
    assert "; iommu0's places were > 99 % busy with reads, which go first; try " in said
    assert better == math.inf


def test_more_places_do_not_help_writes_that_every_read_overtakes(tmp_path: Path) -> None:
    path = tmp_path / "overtaken.yaml"
    path.write_text(OVERTAKEN, encoding="utf-8")
    before = cosim.run(path)
    assert before.limit.startswith("no request of disk0 made in the window ended in it: ")
    assert before.limit.endswith(" with reads, which go first; try -s iommu0.geometry.arbitration=arrival")
    assert gain(before, cosim.run(path, set={"iommu0.geometry.in_flight": 4}), "disk0.write") == 0
    assert gain(before, cosim.run(path, set={"iommu0.geometry.arbitration": "arrival"}), "disk0.write") == math.inf


def test_contexts_of_more_devices_than_are_kept_are_to_be_kept(tmp_path: Path) -> None:
    """No read of theirs can be made so short that it is not worth leaving it out."""
    path = tmp_path / "contexts.yaml"
    path.write_text(TOO_FEW_CONTEXTS, encoding="utf-8")
    before = cosim.run(path)
    assert before.limit.endswith(" -s iommu0.geometry.ddtc_entries=4")
    name = before.limit.split()[before.limit.split().index("of") + 1]
    after = cosim.run(path, set={"iommu0.geometry.ddtc_entries": 4})
    assert after.scalars["iommu0.ddt_reads"] == 0
    assert gain(before, after, name.rstrip(",")) > 0.5


def test_a_link_is_named_with_the_walk_that_all_requests_wait_for() -> None:
    """Those that waited for one walk want the link at the same time, so that half of their time is as good as lost."""
    assert "try -s 'dev0.bandwidth=32 GB/s' -s 'iommu0.timing.link=50 ns'" in check(CONVOY, MEDIUM)
    _, alone = improvement(CONVOY, sets=["dev0.bandwidth=32 GB/s"], run=MEDIUM)
    assert alone is not None
    assert alone < MARGIN


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "link"), [(667, "up to"), (732, "down from")])
def test_a_full_link_is_named_with_the_one_place_that_is_full_as_well(seed: int, link: str) -> None:
    said, better = improvement(seed, drawn=spread)
    assert f" and dev0's link {link} the IOMMU was 100 % busy; try -s " in said
    assert better is not None
    assert better > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [650, 750, 781, 785])
def test_what_would_be_full_is_named_with_what_is(seed: int) -> None:
    said, better = improvement(seed, drawn=varied)
    assert said.count(" -s ") == 2
    assert better is not None
    assert better > 0.5


@pytest.mark.parametrize(
    "sets",
    [{"disk0.traffic.read": 1.0}, {"dev0.traffic.read": 0.0}, {"iommu0.geometry.arbitration": "arrival"}],
    ids=["no write", "no read", "no order"],
)
def test_an_order_of_places_is_named_only_where_reads_overtake_writes(tmp_path: Path, sets: dict[str, object]) -> None:
    path = tmp_path / "overtaken.yaml"
    path.write_text(OVERTAKEN, encoding="utf-8")
    assert "arbitration" not in cosim.run(path, set=sets).limit


@pytest.mark.parametrize(
    ("walks", "said"),
    [(ALWAYS, "p99 of dev0.read is "), (BEHIND, "no request of disk0 made in the window ended in it: ")],
    ids=["places", "behind"],
)
def test_what_others_wait_for_in_a_place_is_what_to_enlarge(tmp_path: Path, walks: str, said: str) -> None:
    path = tmp_path / "others.yaml"
    path.write_text(OTHERS_WALK.replace("WALKS", walks), encoding="utf-8")
    before = cosim.run(path)
    assert before.limit.startswith(said)
    assert before.limit.endswith("; iommu0's walkers were > 99 % busy; try -s iommu0.geometry.walkers=2")
    after = cosim.run(path, set={"iommu0.geometry.walkers": 2})
    assert gain(before, after, before.limit.split()[2] if "p99" in said else "disk0.write") > 0.5


def test_a_device_far_behind_is_told_with_what_is_busy_inside_of_what_is_full(tmp_path: Path) -> None:
    """A place and the port that its holder waits for: with one of them alone the other is in the way."""
    path = tmp_path / "others.yaml"
    path.write_text(OTHERS_WALK.replace("WALKS", BEHIND), encoding="utf-8")
    sets = {"iommu0.geometry.walkers": 2, "iommu0.geometry.in_flight": 1}
    sets |= {"dram0.bandwidth": "2 GB/s", "dram0.ports": 1, "dram0.latency": "100 ns"}
    said = cosim.run(path, set=sets).limit
    assert "dram0's port was 82 % busy and iommu0's places were > 99 % busy" in said
    assert said.endswith("; try -s 'dram0.bandwidth=4 GB/s' -s iommu0.geometry.in_flight=2")


def test_the_device_that_is_the_furthest_behind_is_told_also_if_requests_of_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "others.yaml"
    path.write_text(OTHERS_WALK.replace("WALKS", BEHIND), encoding="utf-8")
    found = cosim.run(path, set={"dev0.traffic.interval": "10 ns"})
    assert found.scalars["dev0.backlog_mean"] > found.scalars["disk0.backlog_mean"] > 1
    assert "disk0.write" not in found.latencies
    assert " dev0.read is 98 % waiting for one of the device's own slots; iommu0's places were 99 % busy" in found.limit


def test_a_device_that_gets_nothing_is_told_though_it_has_no_backlog(tmp_path: Path) -> None:
    """It makes no request without a slot, so that none waits for one."""
    path = tmp_path / "overtaken.yaml"
    path.write_text(OVERTAKEN, encoding="utf-8")
    sets: dict[str, object] = {"disk0.traffic.interval": None, "run.until": "24 us"}
    before = cosim.run(path, set=sets)
    assert before.scalars["disk0.backlog_max"] == before.scalars["disk0.writes"] == 0
    assert before.limit == (
        "no request of disk0 ended in the window: 4 were under way on average; iommu0's places were > 99 % busy with "
        "reads, which go first; try -s iommu0.geometry.arbitration=arrival"
    )
    after = cosim.run(path, set=sets | {"iommu0.geometry.arbitration": "arrival"})
    assert gain(before, after, "disk0.write") == math.inf


def test_a_device_whose_first_request_takes_longer_than_the_run_is_not_told_to_have_more_slots(tmp_path: Path) -> None:
    path = tmp_path / "slow.yaml"
    path.write_text(OVERTAKEN, encoding="utf-8")
    sets = {"disk0.traffic.interval": None, "iommu0.geometry.in_flight": 128, "dram0.write_latency": "1 ms"}
    found = cosim.run(path, until="22 us", set=sets)
    assert found.scalars["disk0.in_flight_mean"] == 4
    assert found.limit.startswith("nothing is saturated: dev0 keeps 64 requests in flight, ")


@pytest.mark.slow
def test_a_change_that_is_not_named_need_not_help() -> None:
    """What the test measures can tell: a way that no request takes."""
    said, better = improvement(202, sets=["dev0.register_access=1 ns"])
    assert "outstanding" in said
    assert better is not None
    assert better < MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_what_it_names_is_what_to_enlarge_whatever_else_parts_are_set_to(seed: int) -> None:
    said, better = improvement(seed, run=MEDIUM, drawn=varied)
    assert better is None or better > MARGIN, f"system {seed}: {said!r} made it better by {better:.1%}"


@pytest.mark.parametrize(
    ("sets", "proposed"),
    [
        ({"iommu0.timing.link": "100 ns"}, "iommu0.timing.link=50 ns"),
        (
            {"dram0.write_latency": "400 ns", "dram0.latency": "1 ns", "dram0.bandwidth": "16 GB/s"},
            "dram0.write_latency=200 ns",
        ),
    ],
    ids=["way", "writes"],
)
def test_slots_that_posted_writes_have_left_are_not_in_the_way(
    tmp_path: Path, sets: dict[str, str], proposed: str
) -> None:
    path = tmp_path / "posted.yaml"
    path.write_text(WRITES_AT_INTERVALS, encoding="utf-8")
    before = cosim.run(path, set=sets)
    assert before.scalars["dev0.in_flight_mean"] > 2, "more than there are slots"
    assert before.limit.endswith(f"; try -s '{proposed}'")
    after = cosim.run(path, set=sets | dict([proposed.split("=")]))
    assert gain(before, after, "dev0.write") > 0.1
    slots = cosim.run(path, set=sets | {"dev0.traffic.outstanding": 4})
    assert gain(before, slots, "dev0.write") < MARGIN
