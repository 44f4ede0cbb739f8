"""A point is shrunk to the smallest one that shows the same: the search, and the smaller topologies that it tries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

import pytest

from cosim.config.source import Source
from cosim.oracles import Violation
from cosim.study.finding.shrink import NotShownError, Shrunk, shrink
from cosim.study.finding.smaller import fewer, numbers, without
from cosim.study.pool import Pool, Record
from cosim.study.run.run import Point
from cosim.system.load import load
from cosim.system.topology import Topology
from cosim.units.quantities import US
from tests.study.finding.systems import HELD, UNFLUSHED, beside

SHOWN = "it: is shown"

CROWD = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 3}
  iommu0: {kind: iommu, base: 0x0300_0000}
  iommu1: {kind: iommu, base: 0x0300_1000, interrupts_to: cpu2}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: told, interval: 1 us, requests: 40, window: 64 KiB}}
  nic1:   {kind: dma, through: iommu1, traffic: {pattern: none}}
  gpu0:   {kind: dma, through: iommu0, traffic: {size: 256 B, interval: 1 us}}
domains:
  shared: {devices: [nic0, nic1]}
  other: {}
prepare:
  - {on: cpu0, does: map, domain: shared, buffer: x, pages: 8}
  - {on: cpu0, does: map, domain: shared, buffer: y}
  - {on: cpu0, does: tell, device: nic0, buffer: y}
threads:
  - {on: cpu0, does: unmap, buffer: x}
  - {on: cpu0, does: unmap, buffer: y}
  - {on: cpu1, does: attach-detach, devices: [nic1, gpu0], domains: other, count: 9}
run: {until: threads + 2 us, limit: 1 ms}
expect: {threads: finished}
"""


LONELY = """
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:  {kind: cpu}
"""


ENDLESS = """
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:  {kind: cpu}
threads:
  - {on: cpu0, does: synchronize-rcu, count: 1}
  - {on: cpu0, does: synchronize-rcu}
run: {until: 80 us}
"""


DOZEN = LONELY + "threads:\n" + "".join(f"  - {{on: cpu0, does: synchronize-rcu, start: {n} us}}\n" for n in range(12))
"""More threads than there are digits."""


def lonely(*schedule: str) -> Point:
    return Point(load(Source.parse(LONELY, "lonely")), "lonely", schedule)


def crowd(*schedule: str) -> Point:
    return Point(load(Source.parse(CROWD, "crowd")), "crowd", schedule)


class Judge:
    """In place of a pool: a run shows `SHOWN` if its point has what it takes."""

    interrupted = False

    def __init__(self, shows: Callable[[Point], bool]) -> None:
        self._shows = shows
        self.asked: list[Point] = []

    def runs(self, points: Iterable[Point]) -> Iterator[tuple[Point, Record]]:
        for point in points:
            self.asked.append(point)
            shown = (Violation("it", SHOWN, "", 0, 0),) if self._shows(point) else ()
            yield point, Record("failed" if shown else "ok", violations=shown)

    def shrunk(self, point: Point, **bounds: int) -> Shrunk:
        found = shrink(point, SHOWN, pool=cast(Pool, self), **bounds)
        assert self._shows(found.point)
        return found


def names(topology: Topology) -> set[str]:
    return set(topology.parts)


# --- The search ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("needed", [(), ("a#1:1",), ("a#0:1", "a#13:1"), tuple(f"a#{n}:1" for n in range(0, 16, 3))])
def test_of_a_schedule_only_the_deviations_that_are_needed_are_left(needed: tuple[str, ...]) -> None:
    judge = Judge(lambda point: set(needed) <= set(point.schedule))
    found = judge.shrunk(lonely(*(f"a#{n}:1" for n in range(16))))
    assert found.point.schedule == needed
    assert found.minimal
    keys = {(point.topology.model_dump_json(), point.schedule) for point in judge.asked}
    assert len(keys) == len(judge.asked) == found.runs, "none is run twice"


def test_an_answer_2_becomes_1_where_that_does() -> None:
    judge = Judge(lambda point: "a#0:2" in point.schedule and {"b#0:1", "b#0:2"} & set(point.schedule) != set())
    assert judge.shrunk(lonely("a#0:2", "b#0:2")).point.schedule == ("a#0:2", "b#0:1")


@pytest.mark.slow
def test_what_is_not_needed_goes_with_all_that_needs_it() -> None:
    def shows(point: Point) -> bool:
        return "nic0" in point.topology.parts and any(thread.does == "unmap" for thread in point.topology.threads)

    found = Judge(shows).shrunk(crowd()).point.topology
    assert names(found) == {"dram0", "cpu0", "iommu0", "nic0"}
    assert [thread.does for thread in found.threads] == ["unmap"]
    assert (len(found.prepare), found.expect, list(found.domains)) == (1, None, ["shared"])


@pytest.mark.slow
def test_numbers_become_as_small_as_they_can() -> None:
    def shows(point: Point) -> bool:
        requests = getattr(point.topology.parts.get("nic0"), "traffic", None)
        prepared = point.topology.prepare
        return bool(requests and (requests.requests or 0) >= 7 and prepared and getattr(prepared[0], "pages", 0) >= 2)

    found = Judge(shows).shrunk(crowd()).point.topology
    assert found.parts["nic0"].traffic.requests in (7, 8)
    assert found.prepare[0].pages == 2


@pytest.mark.slow
def test_no_point_is_run_twice() -> None:
    judge = Judge(lambda point: "nic0" in point.topology.parts and bool(point.schedule))
    found = judge.shrunk(crowd("a#0:1", "b#0:2"))
    keys = [(point.topology.model_dump_json(), point.schedule) for point in judge.asked]
    assert len(keys) == len(set(keys)) == found.runs


def test_the_bound_on_runs_is_kept_and_told() -> None:
    judge = Judge(lambda point: "nic0" in point.topology.parts)
    found = judge.shrunk(crowd("a#0:1"), runs=9)
    assert (found.runs, found.minimal, len(judge.asked)) == (9, False, 9)


def test_when_it_is_enough_the_smallest_one_so_far_is_kept() -> None:
    judge = Judge(lambda point: "a#0:1" in point.schedule)
    begin = lonely("a#0:1", *(f"b#{number}:1" for number in range(8)))
    found = shrink(begin, SHOWN, pool=cast(Pool, judge), enough=lambda: len(judge.asked) >= 4)
    assert (found.minimal, found.runs, len(judge.asked)) == (False, 4, 4)
    assert 1 < len(found.point.schedule) < len(begin.schedule)


def test_a_signal_before_there_is_anything_to_keep_is_an_interrupt() -> None:
    judge = Judge(lambda point: True)
    judge.interrupted = True
    judge.runs = lambda points: iter(())  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        judge.shrunk(lonely())


def test_what_does_not_show_it_is_not_shrunk() -> None:
    with pytest.raises(NotShownError, match="the run of crowd does not show 'it: is shown'"):
        Judge(lambda point: False).shrunk(crowd())


@pytest.mark.slow
def test_an_unmap_beside_an_attach_is_what_is_left_of_it_whatever_the_processes() -> None:
    begin = Point(beside(), "beside", (*HELD, "nobody#0:1"))
    found = []
    for jobs in (1, 3):
        with Pool(jobs) as pool:
            found.append(shrink(begin, UNFLUSHED, pool=pool))
    one, other = found
    assert (one.point, one.record.digest, one.runs) == (other.point, other.record.digest, other.runs)
    assert one.minimal
    assert one.point.schedule == HELD
    assert names(one.point.topology).isdisjoint({"iommu1", "nic1"})
    assert [thread.does for thread in one.point.topology.threads] == ["unmap", "attach"]
    assert one.point.topology.parts["nic0"].traffic.requests < 32
    assert UNFLUSHED in one.record.signatures


# --- Smaller topologies ----------------------------------------------------------------------------------------------


def test_a_thread_that_is_called_otherwise_afterwards_is_so_in_the_schedule() -> None:
    point = crowd("cpu0.unmap2.st#3:1", "cpu0.unmap.st#3:2", "cpu1.attach-detach.ld#1.1:1", "iommu0.exec#2:1")
    made = without(point, [("threads", 0)])
    assert made is not None
    assert made.schedule == ("cpu0.unmap.st#3:1", *point.schedule[2:])


@pytest.mark.parametrize("gone", [(2, 10), (10, 2), (9, 10, 11), (0,)])
def test_of_many_threads_those_go_that_are_meant(gone: tuple[int, ...]) -> None:
    dozen = load(Source.parse(DOZEN, "dozen"))
    agents = ["cpu0.synchronize-rcu", *(f"cpu0.synchronize-rcu{number}" for number in range(2, 13))]
    made = without(
        Point(dozen, "dozen", tuple(f"{agent}.st#{n}:1" for n, agent in enumerate(agents))),
        [("threads", index) for index in gone],
    )
    left = [index for index in range(12) if index not in gone]
    assert made is not None
    assert made.topology.threads == tuple(dozen.threads[index] for index in left)
    assert made.schedule == tuple(f"{agent}.st#{n}:1" for n, agent in zip(left, agents, strict=False))


def test_a_device_goes_from_lists_of_names_and_with_it_what_names_it_alone() -> None:
    made = without(crowd(), [("parts", "nic0")])
    assert made is not None
    assert made.topology.domains["shared"].devices == ("nic1",)
    assert [entry.does for entry in made.topology.prepare] == ["map", "map"]


def test_a_thread_that_names_several_devices_goes_on_with_those_that_are_left() -> None:
    made = without(crowd(), [("parts", "gpu0")])
    assert made is not None
    assert [getattr(thread, "devices", None) for thread in made.topology.threads] == [None, None, ("nic1",)]


def test_an_iommu_goes_with_its_devices_and_interrupts_go_to_a_cpu_that_is_left() -> None:
    made = without(crowd(), [("parts", "iommu1"), ("parts", "cpu0")])
    assert made is None or made.topology.prepare == ()  # what runs on cpu0 goes with it
    made = without(crowd(), [("parts", "iommu1")])
    assert made is not None
    assert "nic1" not in made.topology.parts
    made = without(crowd(), [("parts", "cpu2")])
    assert made is not None
    assert made.topology.parts["iommu1"].interrupts_to == "cpu1"
    made = without(crowd(), [("parts", "cpu2"), ("parts", "cpu1")])
    assert made is not None
    assert made.topology.parts["iommu1"].interrupts_to == "cpu0"


def test_what_cannot_be_absent_makes_no_candidate() -> None:
    assert without(crowd(), [("parts", "dram0")]) is None
    assert without(crowd(), [("threads", 0), ("threads", 1), ("threads", 2)]) is None  # the run ends with them


def test_what_has_no_meaning_any_more_goes_as_well() -> None:
    """An option that says nothing then, and what is expected of what there is none of."""
    changed = {"iova.flush_entries": 8, "prepare.0.mode": "lazy", "expect.scalars.gpu0.reads.min": 0}
    point = Point(load(Source.parse(CROWD, "crowd"), set=changed), "crowd")
    made = without(point, [("prepare", 0)])
    assert made is not None
    assert made.topology.iova.flush_entries == crowd().topology.iova.flush_entries != 8
    made = without(point, [("parts", "gpu0")])
    assert made is not None
    assert (made.topology.expect, point.topology.expect is None) == (None, False)


def test_every_smaller_number_is_a_candidate_the_smallest_first() -> None:
    point = crowd()
    assert set(numbers(point.topology)) == {
        *(("prepare", 0, "pages"), ("threads", 2, "count")),
        *(("parts", name, "traffic", field) for name in ("nic0", "gpu0") for field in ("requests", "window")),
        ("parts", "nic1", "traffic", "requests"),
        ("parts", "nic1", "traffic", "window"),
    }
    assert {path for path in numbers(load("quickstart")) if "nic0" in path} == {("parts", "nic0", "requests")}
    assert ("threads", 1, "count") in numbers(load(Source.parse(ENDLESS, "endless")))
    rounds = [made.topology.threads[2].count for made in fewer(point, ("threads", 2, "count"))]
    assert rounds == [1, 2, 4, 6]
    endless = [
        made.topology.parts["gpu0"].traffic.requests for made in fewer(point, ("parts", "gpu0", "traffic", "requests"))
    ]
    assert endless == [1, 4, 16, 64, 256]
    point = Point(load(Source.parse(ENDLESS, "endless")))
    assert [made.topology.run.until for made in fewer(point, ("run", "until"))] == [20 * US, 40 * US, 60 * US]
    short = Point(load(Source.parse(ENDLESS, "endless"), until="2500 ns"))
    assert [made.topology.run.until for made in fewer(short, ("run", "until"))] == [1 * US, 2 * US], (
        "whole microseconds"
    )
    assert [made.topology.threads[1].count for made in fewer(point, ("threads", 1, "count"))] == [1, 4, 16, 64, 256]
    point = crowd()
    windows = [
        made.topology.parts["gpu0"].traffic.window for made in fewer(point, ("parts", "gpu0", "traffic", "window"))
    ]
    assert windows == [4096, 16384, 32768, 49152]
    few = Point(load(Source.parse(CROWD, "crowd"), set={"gpu0.traffic.window": "12 KiB"}))
    windows = [
        made.topology.parts["gpu0"].traffic.window for made in fewer(few, ("parts", "gpu0", "traffic", "window"))
    ]
    assert windows == [4096, 8192]
