"""Runs that share no boot, and runs that share it with other seeds: both are those of a process of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from cosim.sim.chooser import Chooser
from cosim.study.pool import Pool
from cosim.study.pool.after_boot import boot_key
from cosim.study.pool.whole_run import Late, limited
from cosim.study.run.run import Point, run
from cosim.system.topology import Topology
from tests.study.pool.systems import RACE, TINY, loaded


def seeded(topology: Topology, seeds: int) -> list[Point]:
    """The same with seeds from 0 on."""
    return [
        Point(topology.model_copy(update={"run": topology.run.model_copy(update={"seed": seed})}))
        for seed in range(seeds)
    ]


DRAWS = {"dev0__traffic__requests": 20, "dev0__traffic__interval": "100 ns", "dev0__traffic__arrivals": "poisson"}
"""A device that draws when it makes its first request, after boot."""
PREPARES = {"nic1__traffic__arrivals": "poisson"}
"""A device that has drawn before the end of boot, when it was told of a buffer: no other seed can follow there."""


@pytest.mark.parametrize(("text", "changes"), [(TINY, DRAWS), (RACE, PREPARES)], ids=["draws-later", "has-drawn"])
def test_replications_that_share_their_boot_are_those_of_whole_runs(
    tmp_path: Path, text: str, changes: dict[str, object]
) -> None:
    points = seeded(loaded(tmp_path, text, **changes), 3)
    with Pool(1, results=True) as pool:
        found = [record for _, record in pool.runs(points)]
        (worker,) = pool._crew.workers
    assert worker.key
    for point, record in zip(points, found, strict=True):
        alone = run(point)
        assert record.digest == alone.digest
        assert record.result is not None
        assert (record.result.seed, record.result.resolved) == (alone.seed, alone.resolved)
        assert record.result.scalars == alone.scalars
    assert len({record.digest for record in found}) == 3


LATER: list[dict[str, object]] = [
    {},
    {"run__until": "9 us", "run__warmup": "3 us"},
    {"run__until": "threads + 1 us", "run__limit": "5 ms", "run__seed": 3},
    {"stalls": [{"part": "iommu0.commands", "at": "1 us", "for": "7 us"}]},
]


def test_points_that_differ_only_after_boot_share_it_and_are_those_of_whole_runs(
    tmp_path: Path,
) -> None:
    points = [Point(loaded(tmp_path, RACE, **changes)) for changes in LATER]
    with Pool(1, results=True) as pool:
        found = [record for _, record in pool.runs(points)]
        (worker,) = pool._crew.workers
    assert worker.key
    for point, record in zip(points, found, strict=True):
        alone = run(point)
        assert record.result is not None
        assert (record.digest, record.outcome, record.failures) == (alone.digest, alone.outcome, alone.failures)
        assert (record.result.resolved, record.result.scalars) == (alone.resolved, alone.scalars)
        assert record.result.window_ps == alone.window_ps
        assert record.result.latencies == alone.latencies
    assert len({record.digest for record in found}) > 2, "it makes a difference"


@pytest.mark.slow
def test_schedules_with_several_holds_share_a_boot(tmp_path: Path) -> None:
    """A hold that is longer than that of the run that has booted is one that long."""
    held = ("cpu0.unmap.st#0:2",)
    points = [Point(loaded(tmp_path, RACE, run__hold=hold), schedule=held) for hold in ("1 us", "4 us")]
    with Pool(1) as pool:
        digests = [record.digest for _, record in pool.runs(points)]
        assert len(pool._crew.workers) == 1
    assert digests == [run(point).digest for point in points]
    assert digests[0] != digests[1]


def test_where_times_count_from_reset_no_window_is_shared(tmp_path: Path) -> None:
    topology = loaded(tmp_path, TINY, run__origin="reset", run__until="400 us")
    other = topology.model_copy(update={"run": topology.run.model_copy(update={"warmup": 1})})
    assert boot_key(topology) != boot_key(other)
    assert boot_key(topology) == boot_key(seeded(topology, 2)[1].topology)


def test_one_process_makes_runs_of_several_topologies_that_are_alone(tmp_path: Path) -> None:
    topologies = [loaded(tmp_path, TINY, dev0__traffic__requests=count) for count in (2, 3, 2)]
    points = [Point(topology) for topology in topologies]
    with Pool(1, chunk=2) as pool:
        found = [record for _, record in pool.runs(points, alone=lambda _: True)]
        assert len(pool._crew.workers) == 1
    assert [record.digest for record in found] == [run(point).digest for point in points]
    assert found[0].digest == found[2].digest != found[1].digest


def dies() -> Chooser:
    os._exit(7)


def fails() -> Chooser:
    raise ValueError("mine")


def hangs() -> Chooser:
    while True:
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "outcome", "said"),
    [
        (dies, "lost", "ended with 7"),
        (fails, "error", "mine"),
        (hangs, "late", "this run has not ended after 0.5 s"),
    ],
)
def test_a_run_that_dies_fails_or_hangs_stops_none_of_the_others(
    tmp_path: Path, does: Callable[[], Chooser], outcome: str, said: str
) -> None:
    topology = loaded(tmp_path, TINY)
    points = [Point(topology, name=name) for name in ("a", "bad", "b", "c")]

    def chooser(point: Point) -> Chooser:
        return does() if point.name == "bad" else Chooser(0)

    with Pool(2, chunk=2, host_limit=0.5 if does is hangs else 60, chooser=chooser) as pool:
        found = {point.name: record for point, record in pool.runs(points, alone=lambda _: True, in_order=False)}
    assert [found[name].outcome for name in ("a", "bad", "b", "c")] == ["ok", outcome, "ok", "ok"]
    assert said in found["bad"].failures[0]


def test_a_run_that_goes_on_from_a_boot_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    def chooser(point: Point) -> Chooser:
        time.sleep(4)
        return Chooser(0)

    with Pool(1, host_limit=0.2, chooser=chooser) as pool:
        ((_, record),) = pool.runs([Point(loaded(tmp_path, TINY))])
    assert record.outcome == "late"


def test_a_run_that_takes_long_keeps_none_back_where_no_order_is_wanted(tmp_path: Path) -> None:
    """The first one waits until the others have come; if they had to wait for it, that would be for ever."""
    topology = loaded(tmp_path, TINY)
    points = [Point(topology, name=name) for name in ("waits", "a", "b", "c")]
    reading, writing = os.pipe()

    def chooser(point: Point) -> Chooser:
        if point.name == "waits":
            os.read(reading, 1)
        return Chooser(0)

    order = []
    with Pool(2, chunk=1, chooser=chooser, host_limit=20) as pool:
        for point, record in pool.runs(points, alone=lambda _: True, in_order=False):
            assert record.outcome == "ok"
            order.append(point.name)
            if len(order) == 3:
                os.write(writing, b"!")
    assert order[-1] == "waits"
    assert sorted(order[:3]) == ["a", "b", "c"]
    os.close(reading)
    os.close(writing)


def test_a_run_whose_time_is_up_while_no_exception_gets_anywhere_hears_of_it_again() -> None:
    def works() -> None:
        with suppress(Late):  # as in a finalizer, where Python lets nobody see it
            time.sleep(20)
        time.sleep(20)

    with pytest.raises(Late), limited(1e-3):
        works()


def test_a_run_that_ends_in_time_is_not_late_afterwards() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with limited(1e3):
        assert signal.getitimer(signal.ITIMER_REAL) != (0, 0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is before
