"""What the times of a run count from: the end of boot, however long boot takes, or reset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.events import CallBegun, DmaIssued
from cosim.study.run.result import Result
from cosim.study.run.run import Point, run
from cosim.sw import boot
from cosim.sw.kernel.locks import Mutex
from cosim.units.quantities import MS, NS, US

pytestmark = pytest.mark.slow

ORIGIN = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu:    {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {window: 16 KiB, requests: 10, start: 20 us}}
threads:
  - {on: cpu1, does: map-unmap, domain: nic0, start: 30 us, count: 1}
run: {until: 150 us, warmup: 10 us}
"""


class Times:
    """When the device made its first request, and the thread its first call."""

    def __init__(self) -> None:
        self.request = self.call = 0

    def watch(self, sim: Any) -> None:
        sim.probe(DmaIssued).watch(lambda event: setattr(self, "request", self.request or event.time))
        sim.probe(CallBegun).watch(self._called)

    def _called(self, event: CallBegun) -> None:
        if event.who.startswith("cpu1"):
            self.call = self.call or event.time


@pytest.fixture
def timed(tmp_path: Path) -> Any:
    path = tmp_path / "origin.yaml"
    path.write_text(ORIGIN, encoding="utf-8")

    def timed(**changes: Any) -> tuple[Result, Times]:
        times = Times()
        topology = cosim.load(path, set={name.replace("__", "."): value for name, value in changes.items()})
        return run(Point(topology), watchers=[times.watch]), times

    return timed


@pytest.mark.parametrize("window", ["16 KiB", "1 MiB"])
def test_all_times_count_from_the_end_of_boot(timed: Any, window: str) -> None:
    result, times = timed(nic0__traffic__window=window)
    boot = result.boot_ps
    assert result.window_ps == (boot + 10 * US, boot + 150 * US)
    assert times.request == boot + 20 * US + 1, "a tick for the slot"
    assert boot + 30 * US <= times.call < boot + 30 * US + 2500 * NS, "and a change of threads"


def test_the_window_of_a_device_changes_how_long_boot_takes_and_not_what_is_measured(timed: Any) -> None:
    small, large = (timed(nic0__traffic__window=window)[0] for window in ("16 KiB", "1 MiB"))
    assert large.boot_ps > 1.5 * small.boot_ps
    lengths = {result.window_ps[1] - result.window_ps[0] for result in (small, large)}
    assert lengths == {140 * US}


def test_all_times_count_from_reset_if_that_is_asked_for(timed: Any) -> None:
    result, times = timed(run__origin="reset", nic0__traffic__start="120 us", threads__0__start="130 us")
    assert result.boot_ps < 110 * US
    assert result.window_ps == (result.boot_ps, 150 * US), "no warm-up is left"
    assert times.request == 120 * US + 1
    assert 130 * US <= times.call < 130 * US + 2500 * NS


def test_what_would_begin_before_the_end_of_boot_begins_then(timed: Any) -> None:
    result, times = timed(run__origin="reset")
    assert 0 < times.request - result.boot_ps < 1 * US


def test_from_reset_a_run_can_end_before_boot(timed: Any) -> None:
    result, _ = timed(run__origin="reset", run__until="20 us")
    assert result.failures == ("nothing was measured: boot had not ended at 20 us; raise run.until",)


@pytest.mark.parametrize("origin", ["boot", "reset"])
def test_a_stall_counts_from_there_as_well(timed: Any, origin: str) -> None:
    """From reset it meets the boot, whose first fence waits for it."""
    result, _ = timed(
        run__origin=origin, run__until="20 ms", stalls=[{"part": "iommu0.commands", "at": 0, "for": "5 ms"}]
    )
    late = result.boot_ps > 5 * MS
    assert late == (origin == "reset")
    assert (result.scalars["iommu0.commands.stalled_ps"] > 4 * MS) == (origin == "boot")


def test_a_boot_whose_fences_time_out_comes_to_its_end(timed: Any) -> None:
    """Each waits 90 s for a consumer that stands still; idle time costs nothing."""
    result, _ = timed(
        run__origin="reset",
        run__until="1000 s",
        stalls=[{"part": "iommu0.commands", "at": 0, "for": "5000 s"}],
    )
    assert result.boot_ps > 90 * 1000 * MS
    assert any("timed out" in line.text for line in result.log)


def test_a_boot_that_is_stuck_is_told_as_stuck(timed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a lock that nobody gives back, until the limit of boot, which costs nothing."""

    async def locked(kernel: Any) -> None:
        lock = Mutex(kernel.static(Mutex.SIZE))
        async with kernel.mutex(lock), kernel.mutex(lock):
            pass

    monkeypatch.setattr(boot, "find", lambda runtime, device: locked(runtime.kernel))
    result, _ = timed()
    assert (result.outcome, result.exit_code) == ("stuck", 4)
    assert any("boot" in failure and "lock" in failure for failure in result.failures)
    assert "nothing was measured: boot had not ended at 1000 s; raise run.boot_limit" in result.failures
