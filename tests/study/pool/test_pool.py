"""A pool gives the record of each point, in order, whatever happens to the processes that make the runs."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cosim.config.problems import TopologyError
from cosim.sim.chooser import Chooser, Scheduled
from cosim.study.pool import Pool, Record
from cosim.study.run.run import Point, UnderWay, run
from cosim.system.topology import Topology
from tests.study.pool.systems import TINY, loaded, numbered


@pytest.fixture(autouse=True)
def hears_ctrl_c() -> Iterator[None]:
    """A shell's background jobs ignore SIGINT, and so would a pool in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def tiny(tmp_path: Path) -> Topology:
    return loaded(tmp_path, TINY)


def fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    """No test leaves a process, open or dead, or an end of a pipe."""
    before = fds()
    yield
    assert fds() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def told(point: Point) -> Chooser:
    """What would answer anyway."""
    answers = dict(choice.rsplit(":", 1) for choice in point.schedule)
    return Scheduled(point.topology.run.seed, {name: int(answer) for name, answer in answers.items()})


def doing(acts: dict[str, Callable[[], object]]) -> Callable[[Point], Chooser]:
    """At the beginning of the run of a point with one of these names, do something in its process."""

    def chooser(point: Point) -> Chooser:
        acts.get(point.name, lambda: None)()
        return told(point)

    return chooser


def once(path: Path, act: Callable[[], object]) -> Callable[[], object]:
    """Do something the first time, in whatever process that is."""

    def acts() -> None:
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return
        act()

    return acts


def names(found: list[tuple[Point, Record]]) -> list[str]:
    return [point.name for point, _ in found]


# --- What comes back -------------------------------------------------------------------------------------------------


def test_every_point_has_its_record_in_order(tiny: Topology) -> None:
    alone = run(Point(tiny))
    with Pool(2, chunk=2) as pool:
        found = list(pool.runs(numbered(tiny, 7)))
    assert names(found) == list("0123456")
    for _, record in found:
        assert record.outcome == "ok"
        assert (record.digest, record.events, record.simulated_ps) == (alone.digest, alone.events, alone.simulated_ps)
        assert record.result is None
        assert record.actions == ()


@pytest.mark.slow
def test_points_of_several_topologies_may_be_mixed(tmp_path: Path, tiny: Topology) -> None:
    other = loaded(tmp_path, TINY, dev0__traffic__requests=9)
    topologies = [tiny, other, tiny, tiny, loaded(tmp_path, TINY, run__seed=3), other]
    points = [Point(topology, name=str(number)) for number, topology in enumerate(topologies)]
    with Pool(2) as pool:
        found = list(pool.runs(points))
    assert [point for point, _ in found] == points
    assert [record.digest for _, record in found] == [run(point).digest for point in points]


def test_processes_are_kept_for_points_of_their_topology(tiny: Topology, tmp_path: Path) -> None:
    with Pool(1) as pool:
        list(pool.runs(numbered(tiny, 2)))
        (first,) = pool._crew.workers
        list(pool.runs(numbered(tiny, 2)))
        assert pool._crew.workers == [first]
        list(pool.runs([Point(loaded(tmp_path, TINY, run__seed=5))]))
        assert pool._crew.workers == [first]
        list(pool.runs([Point(loaded(tmp_path, TINY, dev0__traffic__requests=9))]))
        assert pool._crew.workers != [first]


def test_what_is_asked_for_is_read_back(tiny: Topology) -> None:
    def also(under_way: UnderWay) -> Callable[[], tuple[int, int]]:
        begun = under_way.system.sim.now
        return lambda: (begun, under_way.system.sim.now)

    with Pool(1, actions=True, results=True, also=also) as pool:
        ((_, record),) = pool.runs([Point(tiny, schedule=("nobody#0:1",))])
    taken: list[Any] = []
    alone = run(Point(tiny, schedule=("nobody#0:1",)), watchers=[lambda sim: sim.actions.watchers.append(taken.append)])
    assert list(record.actions) == taken != []
    assert record.result == alone
    assert record.unasked == ("nobody#0:1",)
    begun, ended = record.also
    assert 0 < begun < ended == record.simulated_ps


def test_a_schedule_whose_answer_a_choice_does_not_have_is_void_and_shows_nothing(tiny: Topology) -> None:
    """One deviation can take away the answer that another one had: then no run has that schedule."""
    wrong = Point(tiny, schedule=("dev0.dma#0:7",))
    with pytest.raises(TopologyError) as error:
        run(wrong)
    for fork in (True, False):
        with Pool(1, fork=fork) as pool:
            (_, first), (_, second) = pool.runs([wrong, Point(tiny)])
        assert (first.outcome, first.failures, first.signs) == ("void", (str(error.value),), ())
        assert second.outcome == "ok"


def test_a_run_that_raises_says_where(tiny: Topology) -> None:
    def fails() -> None:
        raise ValueError("no luck")

    with Pool(1, chooser=doing({"1": fails})) as pool:
        (_, zero), (_, one), (_, two) = pool.runs(numbered(tiny, 3))
    assert (zero.outcome, one.outcome, two.outcome) == ("ok", "error", "ok")
    assert "ValueError: no luck" in one.failures[0]


def test_points_are_taken_no_further_ahead_than_processes_need(tiny: Topology) -> None:
    asked = []

    def endless() -> Iterator[Point]:
        number = 0
        while True:
            asked.append(number)
            yield Point(tiny, name=str(number))
            number += 1

    with Pool(1, chunk=2) as pool:
        found = pool.runs(endless())
        assert names([next(found) for _ in range(3)]) == ["0", "1", "2"]
        assert len(asked) < 14
        found.close()


def test_who_stops_listening_can_ask_again(tiny: Topology) -> None:
    with Pool(2, chunk=1) as pool:
        for point, _ in pool.runs(numbered(tiny, 9)):
            if point.name == "1":
                break
        assert names(list(pool.runs(numbered(tiny, 3)))) == ["0", "1", "2"]


def test_a_boot_that_does_not_end_fails_as_it_does_alone(tmp_path: Path) -> None:
    short = loaded(tmp_path, TINY, run__boot_limit="1 ns")
    alone = run(Point(short, schedule=("nobody#0:1",)))
    with Pool(1) as pool:
        ((_, record),) = pool.runs([Point(short, schedule=("nobody#0:1",))])
    assert record.outcome == alone.outcome == "failed"
    assert record.failures == alone.failures
    assert record.unasked == alone.unasked


# --- Processes that die ----------------------------------------------------------------------------------------------


def ended_by(number: signal.Signals) -> Callable[[], object]:
    def act() -> None:
        faulthandler.disable()
        os.kill(os.getpid(), number)

    return act


DEATHS: dict[str, tuple[Callable[[], object], str]] = {
    "killed": (ended_by(signal.SIGKILL), "was ended by SIGKILL"),
    "segmentation fault": (ended_by(signal.SIGSEGV), "was ended by SIGSEGV"),
    "exit at once": (lambda: os._exit(3), "ended with 3 before its run had"),
    "exit with 0": (lambda: os._exit(0), "ended with 0 before its run had"),
    "exit": (lambda: sys.exit(4), "ended with 4 before its run had"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_point_whose_run_dies_twice_is_lost_and_no_other(tiny: Topology, death: str) -> None:
    act, words = DEATHS[death]
    points = [*numbered(tiny, 3), Point(tiny, name="bad", schedule=("x#0:1", "y#1:2")), *numbered(tiny, 2)]
    with Pool(1, chooser=doing({"bad": act})) as pool:
        found = list(pool.runs(points))
    assert names(found) == ["0", "1", "2", "bad", "0", "1"]
    assert [record.outcome for _, record in found] == ["ok"] * 3 + ["lost"] + ["ok"] * 2
    assert found[3][1].failures == (
        f"bad --schedule x#0:1,y#1:2: its process {words}, and when it was run again {words}",
    )


def test_a_point_whose_run_dies_once_is_run_again(tiny: Topology, tmp_path: Path) -> None:
    act = once(tmp_path / "died", ended_by(signal.SIGKILL))
    with Pool(1, chooser=doing({"1": act})) as pool:
        found = list(pool.runs(numbered(tiny, 3)))
    assert (tmp_path / "died").exists()
    assert names(found) == ["0", "1", "2"]
    assert {record.outcome for _, record in found} == {"ok"}


def kills_its_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


def test_a_process_that_dies_costs_what_it_had_not_done_and_that_is_run_again(tiny: Topology, tmp_path: Path) -> None:
    with Pool(2, chunk=4, chooser=doing({"2": once(tmp_path / "died", kills_its_parent)})) as pool:
        found = list(pool.runs(numbered(tiny, 8)))
    assert (tmp_path / "died").exists()
    assert names(found) == list("01234567")
    assert {record.outcome for _, record in found} == {"ok"}


def test_a_process_that_dies_again_loses_what_it_was_given_alone(tiny: Topology) -> None:
    with Pool(1, chunk=4, chooser=doing({"2": kills_its_parent})) as pool:
        found = list(pool.runs(numbered(tiny, 6)))
    assert [record.outcome for _, record in found] == ["ok", "ok", "lost", "ok", "ok", "ok"]
    assert found[2][1].failures[0].startswith("2: its process was ended by SIGKILL, and when it was run again")


def test_a_process_that_was_killed_while_it_was_idle_is_replaced(tiny: Topology) -> None:
    with Pool(1) as pool:
        list(pool.runs(numbered(tiny, 1)))
        os.kill(pool._crew.workers[0].pid, signal.SIGKILL)
        os.waitid(os.P_PID, pool._crew.workers[0].pid, os.WEXITED | os.WNOWAIT)
        assert [record.outcome for _, record in pool.runs(numbered(tiny, 2))] == ["ok", "ok"]


def test_no_process_holds_another_ones_pipes(tiny: Topology, tmp_path: Path) -> None:
    """Or nobody would see that the other has died. It has two of its own, and two more while it waits for a child."""
    before = pipes_of(os.getpid())
    other = loaded(tmp_path, TINY, run__seed=4)
    with Pool(2, chunk=1) as pool:
        list(pool.runs([Point(tiny), Point(other)] * 3))
        first, second = (pipes_of(worker.pid) - before for worker in pool._crew.workers)
        assert len(first) in (2, 4)
        assert len(second) in (2, 4)
        assert not first & second


def pipes_of(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the look at this folder
            found.add(os.readlink(path))
    return {path for path in found if path.startswith("pipe:")}


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


def interrupts(pid: int) -> Callable[[], object]:
    def act() -> None:
        os.kill(pid, signal.SIGINT)
        signal.pause()

    return act


def test_ctrl_c_ends_it_and_keeps_what_is_done(tiny: Topology) -> None:
    with Pool(1, chunk=1, chooser=doing({"3": interrupts(os.getpid())})) as pool:
        found = list(pool.runs(numbered(tiny, 9)))
        assert names(found) == ["0", "1", "2"]
        assert pool.interrupted
        assert not pool._crew.workers
        assert names(list(pool.runs(numbered(tiny, 2)))) == ["0", "1"]
        assert not pool.interrupted


def test_what_is_done_behind_the_point_that_was_waited_for_is_kept_too(tiny: Topology, tmp_path: Path) -> None:
    """Point 0 waits until all others are done, which is known from what they leave behind."""
    done = [tmp_path / name for name in ("1", "2")]
    pid = os.getpid()

    def waits() -> None:
        while not all(path.exists() for path in done):
            os.sched_yield()
        interrupts(pid)()

    acts: dict[str, Callable[[], object]] = {"0": waits, "1": done[0].touch, "3": done[1].touch}
    with Pool(2, chunk=1, chooser=doing(acts)) as pool:
        found = names(list(pool.runs(numbered(tiny, 4))))
    assert pool.interrupted
    assert found[:2] == ["1", "2"]
    assert "0" not in found


def test_ctrl_c_between_two_records_is_the_callers(tiny: Topology) -> None:
    found = []

    def goes_through() -> None:
        with Pool(1) as pool:
            for point, _ in pool.runs(numbered(tiny, 5)):
                found.append(point.name)
                if point.name == "1":
                    os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        goes_through()
    assert found == ["0", "1"]


def test_ctrl_c_ends_runs_in_this_process_too(tiny: Topology) -> None:
    def at_two() -> None:
        raise KeyboardInterrupt

    pool = Pool(fork=False, chooser=doing({"2": at_two}))
    assert names(list(pool.runs(numbered(tiny, 4)))) == ["0", "1"]
    assert pool.interrupted


def test_a_signal_that_this_process_ignores_ends_nothing(tiny: Topology) -> None:
    """As in one that `nohup`, or a script in the background, has started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pid = os.getpid()
    with Pool(1, chunk=1, chooser=doing({"1": lambda: os.kill(pid, signal.SIGINT)})) as pool:
        assert names(list(pool.runs(numbered(tiny, 3)))) == ["0", "1", "2"]
        assert not pool.interrupted


def test_handlers_are_put_back(tiny: Topology) -> None:
    before = signal.getsignal(signal.SIGINT)
    with Pool(1) as pool:
        for _ in pool.runs(numbered(tiny, 2)):
            assert signal.getsignal(signal.SIGINT) is before
    assert signal.getsignal(signal.SIGINT) is before


# --- The process around it -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_process_with_threads_is_not_forked_and_another_one_is_started(tiny: Topology) -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="counting")
    thread.start()
    try:
        with Pool(1) as pool:
            (started,) = pool.runs(numbered(tiny, 1))
            assert started[1].digest == run(Point(tiny)).digest
        unpicklable = Pool(1, chooser=lambda point: Chooser(0))
        with unpicklable, pytest.raises(RuntimeError, match=r"other threads run in this process \(counting\)"):
            list(unpicklable.runs(numbered(tiny, 1)))
        assert len(list(Pool(fork=False).runs(numbered(tiny, 1)))) == 1
    finally:
        go_on.set()
        thread.join()


def test_without_fork_runs_are_made_here(tiny: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with Pool(2, actions=True) as pool:
        found = list(pool.runs([Point(tiny, schedule=("nobody#0:0",))] * 2))
    assert {record.digest for _, record in found} == {run(Point(tiny)).digest}
    assert all(record.actions for _, record in found)
