"""A run begins where what was prepared has come to, and one that could not be prepared says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.oracles import Bounds
from cosim.study.run.result import Result
from cosim.study.run.run import Point, UnderWay, run
from cosim.system.patience import patience
from cosim.units.quantities import US

TOPOLOGY = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 3}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {cq_log2: 6, fq_log2: 6}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: told, size: 64 B, interval: 500 ns, requests: 8}}
  nic1:   {kind: dma, through: iommu0, traffic: {pattern: none}}
domains:
  A: {}
prepare:
  - {on: cpu0, does: map, domain: A, buffer: x}
  - {on: cpu0, does: attach, devices: nic0, domain: A}
  - {on: cpu1, does: tell, device: nic0, buffer: x}
  - {on: cpu1, does: compute, for: 2 us, count: 1}
threads:
  - {on: cpu2, does: unmap, buffer: x, start: 5 us}
run: {until: 15 us}
expect: {faults: 0}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "prepared.yaml"
    found.write_text(TOPOLOGY, encoding="utf-8")
    return found


def ran(path: Path, **changes: Any) -> Result:
    return cosim.run(path, set={name.replace("__", "."): value for name, value in changes.items()})


@pytest.mark.slow
def test_what_is_prepared_is_there_and_counts_for_nothing(path: Path) -> None:
    result = ran(path)
    assert result.outcome == "ok", result.failures
    assert result.window_ps == (result.boot_ps, result.boot_ps + 15 * US)
    assert result.latencies["cpu2.unmap.unmap"].count == 1
    assert not [name for name in result.latencies if "prepare" in name]
    assert result.requests["nic0"] == 8
    assert result.scalars["nic0.reads"] < 8, "some requests were made before the window"
    assert result.scalars["kernel.leaked_pages"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_a_schedule_has_no_hold_of_what_is_prepared(path: Path, executor: str) -> None:
    topology = cosim.load(path, set={"run.executor": executor})
    taken: list[Any] = []
    result = run(
        Point(topology, schedule=("nobody#0:0",)), watchers=[lambda sim: sim.actions.watchers.append(taken.append)]
    )
    assert result.digest == run(Point(topology)).digest
    assert taken[0].time >= result.boot_ps
    assert not [action for action in taken if "prepare" in action.name]
    assert any(action.name == "cpu2.unmap.ld#0" for action in taken)


@pytest.mark.slow
def test_oracles_wait_as_long_as_a_schedule_can_hold_once_it_can(path: Path) -> None:
    topology = cosim.load(path)
    under_way = UnderWay(Point(topology, schedule=("nobody#0:1", "nobody#1:1")))

    def bounds() -> set[Bounds]:
        return {oracle.bounds for oracle in under_way.meter.violations._oracles}

    assert bounds() == {patience(topology, 0)}
    under_way.advance()
    assert bounds() == {patience(topology, 2)}
    under_way.close()


@pytest.mark.slow
def test_what_could_not_be_prepared_is_a_failure_of_the_run(path: Path) -> None:
    result = ran(path, prepare__0__pages=1 << 15)
    assert result.outcome == "failed"
    assert result.failures[0] == "could not be prepared: cpu0.prepare-map: -ENOMEM: no page for buffer"
    assert result.failures[1] == "could not be prepared: cpu1.prepare-tell: -ENOENT: there is no buffer x now"


def test_what_takes_longer_than_boot_may_is_a_failure_that_names_it(path: Path) -> None:
    result = ran(path, run__boot_limit="1 ms", prepare__3__for="2 ms")
    assert result.outcome == "failed"
    assert result.failures == (
        "nothing was measured: what cpu1.prepare-compute prepares had not ended at 1 ms; raise run.boot_limit",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("prepare.3={on: cpu1, does: compute, for: 2 us}", "prepare.3: never ends, and nothing begins before it has"),
        (
            "prepare.3={on: cpu1, does: unplug, devices: nic2}",
            "prepare.3.devices: nic2 is not a device behind an iommu",
        ),
        ("prepare.3={on: cpu1, does: map, domain: B, buffer: y}", "prepare.3.domain: B is not a domain"),
        ("prepare.3={on: cpu1, does: map, domain: A, buffer: x}", "prepare.3.buffer: x is what prepare.0 calls"),
        ("threads.0={on: cpu1, does: map, domain: A, buffer: x}", "threads.0.buffer: x is what prepare.0 calls"),
        ("prepare.2.buffer=y", "prepare.2.buffer: y is not a buffer that a thread maps; there are: x"),
        ("threads.0.buffer=y", "threads.0.buffer: y is not a buffer that a thread maps; there are: x"),
        ("prepare.0={on: cpu0, does: tell, device: nic0, buffer: z}", "prepare.0.buffer: z is not a buffer"),
        ("prepare.2.size=8 KiB", "prepare.2.size: has no effect, since the window is as long as the buffer"),
        ("prepare.2.device=nic1", "prepare.2.device: has no effect, since nic1 has pattern: none"),
        ("prepare.0.contiguous=true", "prepare.0.contiguous: has no effect on a buffer of one page"),
        ("prepare.0.beside=true", "prepare.0.beside: has no effect on the first of `prepare:`"),
        ("threads.0.beside=true", "threads.0.beside: has no effect, since all `threads:` run side by side"),
    ],
)
def test_what_cannot_be_prepared_is_an_error_at_its_place(path: Path, change: str, message: str) -> None:
    with pytest.raises(TopologyError) as error:
        cosim.load(path, sets=[change])
    assert message in str(error.value)


def test_what_is_used_before_it_is_mapped_is_an_error_in_the_line_of_the_file(path: Path) -> None:
    lines = TOPOLOGY.splitlines()
    prepared = lines.index("prepare:")
    lines[prepared + 1], lines[prepared + 3] = lines[prepared + 3], lines[prepared + 1]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(TopologyError) as error:
        cosim.load(path)
    assert str(error.value) == (
        f"{path}:{prepared + 2}:50: prepare.0.buffer: x is mapped later, by prepare.2; move that before this one"
    )


def test_a_device_that_is_told_while_it_is_prepared_needs_no_thread(path: Path) -> None:
    """Its traffic is not idle."""
    assert cosim.load(path, set={"threads": []}).devices()["nic0"].pace.requests == 8


def test_what_is_prepared_is_printed_and_loads_back(path: Path, tmp_path: Path) -> None:
    from cosim.system.load import resolved

    again = tmp_path / "again.yaml"
    again.write_text(resolved(cosim.load(path)), encoding="utf-8")
    assert cosim.load(again) == cosim.load(path)
