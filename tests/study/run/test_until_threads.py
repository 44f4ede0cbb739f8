"""A run that ends with its threads: `until: threads + 30 us`, and `expect: {threads: finished}`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.events import DmaDone
from cosim.sim.operations import Oops
from cosim.sim.simulation import Sim
from cosim.study.run.progress import Progress
from cosim.study.run.result import Result
from cosim.study.run.run import Point, run
from cosim.study.run.stop import Stop
from cosim.sw.workloads.waiting import Compute
from cosim.system.load import resolved
from cosim.units.quantities import NS, US
from cosim.units.run_end import AfterThreads, parse_end

TOPOLOGY = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {cq_log2: 6, fq_log2: 6}}
  nic0:   {kind: dma, through: iommu0, traffic: {interval: 1 us, window: 4 KiB}}
threads:
  - {on: cpu0, does: compute, for: 3 us, count: 1}
  - {on: cpu1, does: compute, for: 7 us, count: 1}
run: {until: threads + 5 us}
expect: {threads: finished}
"""
COMPUTED = ("cpu0.compute", "cpu1.compute")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "threads.yaml"
    found.write_text(TOPOLOGY, encoding="utf-8")
    return found


def ran(path: Path, **changes: Any) -> Result:
    return cosim.run(path, set={name.replace("__", "."): value for name, value in changes.items()})


def length(result: Result) -> int:
    return result.window_ps[1] - result.window_ps[0]


# --- When it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limited", [False, True], ids=["in time", "late"])
def test_of_a_run_that_is_ended_early_it_is_not_said_that_its_threads_had_too_little_time(
    path: Path, limited: bool
) -> None:
    """It was interrupted, also if the host's time is over in the same moment."""
    stop = Stop()

    def watch(sim: Sim) -> None:
        def end(event: DmaDone) -> None:
            stop.interrupted, stop.limited, stop.limit_s = True, limited, 1.0
            sim.stop()

        sim.probe(DmaDone).watch(end)

    result = run(Point(cosim.load(path)), watchers=[watch], stop=stop)
    assert result.outcome == "interrupted"
    assert not [failure for failure in result.failures if "run.limit" in failure]


def test_a_run_ends_so_long_after_its_last_thread(path: Path) -> None:
    result = ran(path)
    assert result.outcome == "ok", result.failures
    assert 12 * US < length(result) < 15 * US, "7 us, the change of threads, and 5 us"
    at_once = ran(path, run__until="threads")
    assert length(result) - length(at_once) == 5 * US


@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_it_is_the_run_that_ends_at_that_time(path: Path, executor: str) -> None:
    result = ran(path, run__executor=executor)
    timed = ran(path, run__executor=executor, run__until=f"{length(result)} ps")
    assert (timed.digest, timed.events, timed.scalars) == (result.digest, result.events, result.scalars)


def test_from_reset_it_ends_with_them_too(path: Path) -> None:
    assert ran(path, run__origin="reset").simulated_ps == ran(path).simulated_ps


def test_threads_that_do_not_end_in_time_are_named_and_the_run_has_failed(path: Path) -> None:
    result = ran(path, run__limit="5 us", expect=None)
    assert (result.outcome, length(result)) == ("failed", 5 * US)
    assert result.failures == ("cpu1.compute had not ended 5 us after the origin; raise run.limit",)


def test_the_time_after_the_threads_may_reach_beyond_their_limit(path: Path) -> None:
    result = ran(path, run__limit="10 us", run__until="threads + 30 us")
    assert result.outcome == "ok"
    assert length(result) > 37 * US


def test_a_window_that_the_threads_have_ended_before_measures_nothing(path: Path) -> None:
    result = ran(path, run__warmup="20 us")
    assert result.outcome == "failed"
    assert "nothing was measured: the window opens only at" in result.failures[0]
    assert result.failures[0].endswith("; lower run.warmup")


def test_the_command_line_takes_it_and_replays_it(path: Path) -> None:
    result = cosim.run(path, until="threads + 1 us")
    assert result.replay == f"cosim run {path} --until 'threads + 1 us'"
    assert length(ran(path)) - length(result) == 4 * US


def test_it_is_printed_as_it_was_written(path: Path) -> None:
    assert "until: threads + 5 us" in resolved(cosim.load(path))
    assert "until: threads\n" in resolved(cosim.load(path, until="threads"))
    assert json.loads(cosim.load(path).model_dump_json())["run"]["until"] == "threads + 5 us"
    assert cosim.load(cosim.load(path)) == cosim.load(path)


def test_a_bar_without_an_end_shows_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosim.study.run.progress.PATIENCE_S", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress(None, shown=True) as bar:
        bar.reached(3 * US)
        assert bar._bar is not None


# --- What was expected -----------------------------------------------------------------------------------------------


def test_a_thread_that_has_not_ended_is_not_what_was_expected(path: Path) -> None:
    result = ran(path, run__until="5 us")
    assert result.failures == ("threads: cpu1.compute has not ended, expected to be finished",)
    assert ran(path, run__until="15 us").outcome == "ok"
    assert ran(path, run__until="5 us", expect__threads=None).outcome == "ok"


def test_a_thread_that_has_died_is_not_what_was_expected(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def oopses(self: Compute, runtime: Any) -> None:
        if self.on == "cpu1":
            raise Oops("as asked")

    monkeypatch.setattr(Compute, "round", oopses)
    result = ran(path, expect__violations=1)
    assert result.failures == ("threads: cpu1.compute died: as asked, expected to be finished",)
    assert 5 * US < length(result) < 8 * US, "it has ended all the same"


# --- How it is written -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("threads", AfterThreads(0)),
        (" threads  + 30 us ", AfterThreads(30 * US)),
        ("threads+80ns", AfterThreads(80 * NS)),
        ("threads + 0", AfterThreads(0)),
        ("80 ns", 80 * NS),
    ],
)
def test_an_end_is_a_time_or_the_threads(text: str, end: object) -> None:
    assert parse_end(text) == end


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "run.until=threads - 3 us",
            "run.until: threads - 3 us is no end of a run; write a time, threads, or threads +",
        ),
        ("run.until=threads +", "run.until: threads + is no end of a run"),
        ("run.until=thread + 3 us", "run.until: thread + 3 us is no end of a run; write a time, threads, or threads +"),
        ("run.until=3 us + Threads", "run.until: 3 us + Threads is no end of a run"),
        ("run.until=threads + 3", "run.until: 3 has no unit; a time is in ps, ns, us, ms or s"),
        ("run.until=thread", "run.until: thread is no end of a run; write a time, threads, or threads + 30 us"),
        ("run.until=0", "run.until: 0 is out of bounds: it must be above 0"),
        ("threads=[]", "run.until: there are no threads that it could wait for; give a time, such as 1 ms"),
        ("threads.1.count=null", "threads.1: never ends, and run.until waits for it; give a `count`"),
        (
            "run={until: 1 ms, limit: 3 us}",
            "run.limit: has no effect, since the run ends at a time; use until: threads",
        ),
        ("run.warmup=10 ms", "run: `warmup` must end before `limit`, or nothing is measured"),
        ("expect.threads=done", "expect.threads: done is not possible here; there are: finished"),
    ],
)
def test_an_end_that_cannot_come_is_an_error_at_its_place(path: Path, change: str, message: str) -> None:
    with pytest.raises(TopologyError) as error:
        cosim.load(path, sets=[change])
    assert message in str(error.value)


def test_a_thread_without_end_cannot_be_expected_to_finish(path: Path) -> None:
    with pytest.raises(TopologyError, match=r"threads\.1: never ends, and expect\.threads wants it finished"):
        cosim.load(path, sets=["threads.1.count=null", "run.until=1 ms"])
    assert cosim.load(path, sets=["threads.1.count=null", "run.until=1 ms", "expect={}"])


def test_a_limit_that_a_later_time_makes_idle_is_left_out(path: Path) -> None:
    topology = cosim.load(cosim.load(path, sets=["run.limit=2 ms"]), until="1 ms")
    assert "limit" not in resolved(topology)


def test_the_schema_takes_both() -> None:
    from jsonschema import Draft202012Validator

    from cosim.system.load import json_schema

    schema = json_schema()
    until = schema["$defs"]["RunOptions"]["properties"]["until"]
    judge = Draft202012Validator(until)
    for text in ("1 ms", "threads", "threads + 30 us", "threads+30us"):
        assert judge.is_valid(text), text
    for text in ("thread", "threads - 1 us", "threads + 3", 0):
        assert not judge.is_valid(text), text


@pytest.mark.slow
def test_rounds_that_fail_with_an_errno_are_told_where_all_were_to_succeed(path: Path) -> None:
    """There are 16 MiB of memory, and 8,000 pages of 4 KiB are more."""
    threads = [{"on": "cpu0", "does": "map", "domain": "nic0", "buffer": "x", "pages": 8000}]
    topology = cosim.load(path, set={"threads": threads})
    assert cosim.run(topology).outcome == "ok", "an errno is no failure by itself"
    result = cosim.run(cosim.load(topology, set={"expect.calls": "succeed"}))
    assert result.failures == ("calls: 1 round of cpu0.map failed with ENOMEM, and all were to succeed",)
