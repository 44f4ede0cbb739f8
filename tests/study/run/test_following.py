"""A thread that follows another one begins when that one has ended, whatever holds it up, and not before its start."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.events import CallBegun, ThreadEnded
from cosim.sim.operations import Oops
from cosim.study.run.run import Point, run
from cosim.sw.runtime import Runtime
from cosim.sw.workloads.waiting import Compute
from cosim.units.quantities import US

TOPOLOGY = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {cq_log2: 6, fq_log2: 6}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: none}}
prepare:
  - {on: cpu0, does: map, domain: nic0, buffer: x}
threads:
  - {on: cpu0, does: compute, for: 20 us, count: 1}
  - {on: cpu1, does: unmap, buffer: x, after: cpu0.compute}
run: {until: threads + 1 us, hold: 2 us}
expect: {threads: finished, calls: succeed}
"""


FIRST = ("cpu0.compute", "cpu0.map")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "following.yaml"
    found.write_text(TOPOLOGY, encoding="utf-8")
    return found


def begins(path: Path, *sets: str, schedule: tuple[str, ...] = ()) -> tuple[int, int, str]:
    """When the first thread ends and the unmap begins, in picoseconds after boot, and how the run ends."""
    ended: list[int] = []
    begun: list[int] = []

    def watch(sim):  # type: ignore[no-untyped-def]
        sim.probe(ThreadEnded).watch(lambda event: ended.append(event.time) if event.who in FIRST else None)
        sim.probe(CallBegun).watch(lambda event: begun.append(event.time) if event.call == "unmap" else None)

    result = run(Point(cosim.load(path, sets=list(sets)), schedule=schedule), watchers=[watch])
    return ended[0] - result.boot_ps, begun[0] - result.boot_ps, result.outcome


@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_it_begins_when_the_other_has_ended(path: Path, executor: str) -> None:
    ended, begun, outcome = begins(path, f"run.executor={executor}")
    assert 20 * US <= ended <= begun < 25 * US
    assert outcome == "ok"


def test_it_does_not_begin_before_its_start(path: Path) -> None:
    _, begun, _ = begins(path, "threads.1.start=30 us")
    assert 30 * US <= begun < 35 * US


def test_it_waits_for_one_that_a_schedule_holds_up(path: Path) -> None:
    sets = ("threads.0={on: cpu0, does: map, domain: nic0, buffer: y}", "threads.1.after=cpu0.map")
    _, plain, _ = begins(path, *sets, schedule=("nobody#0:0",))
    ended, held, _ = begins(path, *sets, schedule=("cpu0.map.amo#0:2",))
    assert ended <= held >= plain + 1 * US


def test_it_begins_as_well_when_the_other_dies(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(self: Compute, runtime: Runtime) -> None:
        raise Oops("nothing there")

    monkeypatch.setattr(Compute, "round", dies)
    result = cosim.run(path)
    assert result.latencies["cpu1.unmap.unmap"].count == 1
    assert any("nothing there" in failure for failure in result.failures)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "threads.1.after=cpu0.computes",
            "threads.1.after: cpu0.computes is not a thread of `threads:`; did you mean cpu0.comp",
        ),
        ("threads.0.after=cpu1.unmap", "threads.0.after: cpu1.unmap does not stand before it; move it there"),
        ("threads.1.after=cpu1.unmap", "threads.1.after: cpu1.unmap does not stand before it; move it there"),
        ("threads.0.count=null", "threads.1.after: cpu0.compute never ends; give it a `count`, such as `count: 1`"),
        ("prepare.0.after=cpu0.compute", "prepare.0.after: has no effect in `prepare:`, where each entry follows"),
    ],
)
def test_what_cannot_be_followed_is_an_error_at_its_place(path: Path, change: str, message: str) -> None:
    with pytest.raises(TopologyError) as error:
        cosim.load(path, sets=[change])
    assert message in str(error.value)
