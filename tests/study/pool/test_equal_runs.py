"""A run is the same whether it forks from a process that has booted, or begins in a process of its own, or here."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cosim.study.pool import Pool, Record, prepared
from cosim.study.pool.pool import MOST
from cosim.study.pool.prepared import Prepared
from cosim.study.run.run import Point, run
from cosim.system.topology import Topology
from tests.study.pool.systems import RACE, loaded, numbered


def points(topology: Topology, count: int) -> list[Point]:
    """A run without a schedule, one that holds nothing, and others that hold up to four of its actions."""
    with Pool(1, actions=True) as pool:
        ((_, base),) = pool.runs([Point(topology, schedule=("nobody#0:0",))])
    names = [action.name for action in base.actions if action.asks]
    chance = random.Random(count)
    found = [Point(topology), Point(topology, schedule=("nobody#0:0",))]
    while len(found) < count:
        held = chance.sample(names, chance.randint(1, 4))
        found.append(Point(topology, schedule=tuple(f"{name}:{chance.randint(1, 2)}" for name in held)))
    return found


def told(record: Record) -> tuple[object, ...]:
    """All of a record that a run decides."""
    return (
        record.outcome,
        record.failures,
        record.digest,
        record.events,
        record.simulated_ps,
        record.violations,
        record.violation_count,
        record.unasked,
        record.actions,
    )


def in_each_way(several: Sequence[Point]) -> list[list[Record]]:
    """The records of runs that fork after boot, that boot anew in processes of their own, and that are made here."""
    found = []
    for ways in ({"jobs": 2}, {"jobs": 1, "anew": True}, {"fork": False}):
        with Pool(**ways, actions=True) as pool:  # type: ignore[arg-type]
            found.append([record for _, record in pool.runs(several)])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_a_few_schedules_give_equal_records_in_each_way(tmp_path: Path, executor: str) -> None:
    several = points(loaded(tmp_path, RACE, run__executor=executor), 5)
    forked, anew, here = in_each_way(several)
    for each, one, two, three in zip(several, forked, anew, here, strict=True):
        alone = run(each)
        assert told(one) == told(two) == told(three), each.schedule
        assert (one.digest, one.violations, one.failures) == (alone.digest, alone.violations, alone.failures)
        assert one.outcome != "error"
    assert forked[0].actions == ()
    assert forked[0].digest == forked[1].digest
    assert len({record.digest for record in forked}) > 2, "schedules make a difference"


@pytest.mark.slow
def test_300_schedules_give_equal_digests_under_both_executors_forked_and_fresh(tmp_path: Path) -> None:
    agenda = points(loaded(tmp_path, RACE), 300)
    plain = [Point(loaded(tmp_path, RACE, run__executor="plain"), schedule=point.schedule) for point in agenda]
    found = []
    for several, anew in ((agenda, False), (plain, False), (agenda, True)):
        with Pool(anew=anew) as pool:
            found.append([record for _, record in pool.runs(several)])
    for point, *records in zip(agenda, *found, strict=True):
        assert len({record.digest for record in records}) == 1, point.schedule
        assert len({record.violations for record in records}) == 1, point.schedule
        assert records[0].outcome in ("ok", "failed"), records[0].failures
    assert len({record.digest for record in found[0]}) > 100


PRINTS_DIGESTS = """
import sys
import cosim

for schedule in sys.argv[2:]:
    print(cosim.run(sys.argv[1], schedule=schedule.split(",") if schedule else ()).digest)
"""


@pytest.mark.slow
def test_a_process_with_another_hash_seed_gives_equal_digests(tmp_path: Path) -> None:
    several = points(loaded(tmp_path, RACE), 4)
    with Pool(1) as pool:
        forked = [record.digest for _, record in pool.runs(several)]
    schedules = [",".join(point.schedule) for point in several]
    for seed in ("1", "2"):
        fresh = subprocess.run(
            [sys.executable, "-c", PRINTS_DIGESTS, str(tmp_path / "system.yaml"), *schedules],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert fresh.stdout.split() == forked


@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_many_systems_that_boot_inside_of_one_another_give_the_records_of_one(
    tmp_path: Path, executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as a chunk has at most: their boots are under way at the same time, and the calls that they have made."""
    monkeypatch.setattr(prepared, "SOME", 1_000_000)
    booted = tmp_path / "booted"
    seen = Prepared._boot

    def boot(self: Prepared) -> None:
        if not booted.exists():
            sys.setrecursionlimit(400)  # as where calls lie deeper
        with booted.open("a", encoding="utf-8") as file:
            file.write("one\n")
        seen(self)

    monkeypatch.setattr(Prepared, "_boot", boot)
    several = numbered(loaded(tmp_path, RACE, run__executor=executor), MOST + 1)
    with Pool(1, chunk=MOST) as pool:
        records = [told(record) for _, record in pool.runs(several)]
    assert len(booted.read_text(encoding="utf-8").split()) == MOST
    assert {record[0] for record in records} == {"ok"}
    assert len(set(map(repr, records))) == 1


PRINTS = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from cosim.study.pool import Pool, whole_run
from tests.study.pool.systems import TINY, loaded, numbered

class Prints(whole_run.UnderWay):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        print("boots", end=" ")

    def follow(self, point, chooser=None):
        super().follow(point, chooser)
        print("run", point.name, end=" ")

whole_run.UnderWay = Prints
print("begins", end=" ")
with Pool(1) as pool:
    list(pool.runs(numbered(loaded(Path(sys.argv[1]), TINY), 3)))
print("ends")
"""


@pytest.mark.slow
def test_what_is_printed_is_printed_once_by_whichever_process(tmp_path: Path) -> None:
    """Standard output is a pipe here, into which nothing is written before a buffer is full."""
    root = str(Path(__file__).parents[3])
    printed = subprocess.run(
        [sys.executable, "-c", PRINTS.format(root=root), str(tmp_path)],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout == "begins boots boots boots run 0 run 1 run 2 ends\n"


PARENT = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from cosim.study.pool import Pool
from tests.study.pool.systems import TINY, loaded, numbered

def chooser(point):
    if point.name == "1":
        os.write(int(sys.argv[2]), b"begun")
        signal.pause()
    from tests.study.pool.test_pool import told
    return told(point)

with Pool(2, chunk=1, chooser=chooser) as pool:
    list(pool.runs(numbered(loaded(Path(sys.argv[1]), TINY), 4)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    """Each of them holds an end of a pipe, which is closed when the last of them has gone."""
    reading, writing = os.pipe()
    root = str(Path(__file__).parents[3])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(root=root), str(tmp_path), str(writing)], pass_fds=[writing]
    )
    os.close(writing)
    try:
        assert os.read(reading, 16) == b"begun"
        parent.send_signal(number)
        assert parent.wait() == -number
        assert os.read(reading, 16) == b""
    finally:
        os.close(reading)
        parent.kill()
        parent.wait()
