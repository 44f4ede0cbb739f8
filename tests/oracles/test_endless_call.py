"""The oracle of calls that do not return: a deadlock is named as one, and a long wait is none."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.events import CallAbandoned, CallBegun, CallDone, Deadlocked, KernelLog, ThreadLeft
from cosim.oracles import Bounds, EndlessCall, Violation
from cosim.units.quantities import S

UNMAPS = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
domains: {shared: {devices: nic0}}
threads:
  - {on: cpu0, does: map-unmap, domain: shared, count: 1}
run: {until: UNTIL}
"""
DRIVER = """
from dataclasses import dataclass

from cosim.sim.operations import Work
from cosim.sw.driver.policies.invalidate import PerIommu
from cosim.units.quantities import S


@dataclass(frozen=True)
class Deadlocks(PerIommu):
    async def range(self, driver, domain, start, end):
        async with driver.kernel.spin(domain.lock):
            await self.again(driver, domain)

    async def again(self, driver, domain):
        async with driver.kernel.spin(domain.lock):
            pass


@dataclass(frozen=True)
class NeverEnds(PerIommu):
    async def range(self, driver, domain, start, end):
        while True:
            await Work(1 * S)
"""
BOUNDS = Bounds(call_ps=100)


def run(folder: Path, invalidate: str, until: str) -> cosim.Result:
    topology, driver = folder / "unmaps.yaml", folder / "driver.py"
    topology.write_text(UNMAPS.replace("UNTIL", until), encoding="utf-8")
    driver.write_text(DRIVER, encoding="utf-8")
    return cosim.run(topology, driver=f"{driver}:{invalidate}" if invalidate else "merged")


@pytest.mark.slow
def test_a_thread_that_waits_for_itself_is_deadlocked(tmp_path: Path) -> None:
    result = run(tmp_path, "Deadlocks", "200 us")
    assert result.outcome == "stuck"
    assert "endless-call: deadlock on DomainObject.lock" in result.signatures
    assert not run(tmp_path, "", "200 us").violations


@pytest.mark.slow
def test_a_flush_that_never_ends_is_seen_in_a_run_that_is_long_enough(tmp_path: Path) -> None:
    (found,) = run(tmp_path, "NeverEnds", "200 s").violations
    assert found.signature == "endless-call: iotlb_inval in unmap does not return"
    assert not run(tmp_path, "NeverEnds", "100 s").violations, "a fence may take 90 s"


def judged(*events: object) -> list[Violation]:
    found: list[Violation] = []
    listeners = dict(EndlessCall(found.append, BOUNDS).listeners())
    for event in events:
        listeners[type(event)](event)
    return found


def begun(time: int, call: str = "unmap") -> CallBegun:
    return CallBegun(time, "cpu0.t", call, {"cpu": time})


def left(time: int, **parts: int) -> ThreadLeft:
    return ThreadLeft(time, "cpu0.t", {"cpu": time} | parts)


def test_what_a_thread_waits_for_others_does_not_count() -> None:
    assert judged(begun(0), left(101))
    assert not judged(begun(0), left(100))
    assert not judged(begun(0), left(50, lock=900, rcu=900, preempted=900, irq=900))


def test_a_call_gets_on_when_it_calls_or_returns() -> None:
    inner = CallDone(80, "cpu0.t", "cmd_sync", 60, {"cpu": 20}, "")
    assert not judged(begun(0), begun(60, "cmd_sync"), left(160))
    assert not judged(begun(0), begun(60, "cmd_sync"), inner, left(180))
    (found,) = judged(begun(0), begun(60, "cmd_sync"), left(161))
    assert found.signature == "endless-call: cmd_sync in unmap does not return"
    assert not judged(begun(0), CallDone(80, "cpu0.t", "unmap", 0, {"cpu": 80}, ""), left(900))


def test_a_call_that_is_abandoned_is_over_and_the_one_around_it_is_not() -> None:
    inner, outer = (CallAbandoned(80, "cpu0.t", call, 0) for call in ("cmd_sync", "unmap"))
    both = begun(0), begun(60, "cmd_sync")
    assert not judged(*both, inner, outer, left(900))
    (found,) = judged(*both, inner, left(900))
    assert found.signature == "endless-call: unmap does not return"


@pytest.mark.parametrize("level", ["warning", "error", "oops"])
def test_after_a_warning_time_outs_add_up_and_deadlocks_are_judged_still(level: str) -> None:
    late = KernelLog(5, "iommu0", level, "a fence has not completed in time")
    assert not judged(late, begun(0), left(900))
    (found,) = judged(late, begun(0), Deadlocked(90 * S, "cpu0.t", "Pair.a", "cpu1.t", False, 480_000))
    assert found.message == "cpu0.t waits for Pair.a, which cpu1.t holds, since 480 ns"


def test_what_the_kernel_says_beside_warnings_leaves_calls_no_more_time() -> None:
    assert judged(KernelLog(5, "iommu0", "info", "has taken a while"), begun(0), left(101))
