"""How long oracles wait follows from the topology and the schedule: nothing that takes longer makes a false alarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosim.oracles import Bounds
from cosim.system.load import load
from cosim.system.patience import patience
from cosim.units.quantities import NS, US, S

TOPOLOGY = "quickstart"


def test_a_slow_store_buffer_and_a_slow_way_back_are_waited_for():
    plain = patience(load(TOPOLOGY), 0)
    slow = patience(load(TOPOLOGY, sets=["cpu*.timing.drain=30 us", "iommu0.timing.link=2 us"]), 0)
    assert 30 * NS < plain.store_ps < 1 * US
    assert slow.store_ps - plain.store_ps > 29 * US
    assert slow.answer_ps - plain.answer_ps == 2 * US - 10 * NS


def test_register_writes_that_stores_wait_for_are_waited_for():
    plain = patience(load(TOPOLOGY), 0)
    assert patience(load(TOPOLOGY, sets=["cpu*.timing.mmio_arrival=5 us"]), 0).store_ps > 5 * US
    assert patience(load(TOPOLOGY, sets=["iommu0.timing.register_access=1 us"]), 0).store_ps > plain.store_ps + 7 * US


def test_the_stores_of_each_cpu_may_wait_for_registers_of_devices_as_well() -> None:
    """quickstart has two CPUs, whose store buffers have 8 entries each."""
    plain = patience(load(TOPOLOGY), 0)
    slow = patience(load(TOPOLOGY, sets=["gpu0.register_access=1 us"]), 0)
    assert slow.store_ps - plain.store_ps == 2 * 8 * (1 * US - 5 * NS)


TWO = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  dram1: {kind: memory, base: 0x9000_0000, size: 64 MiB, node: 1, remote: 400 ns}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  iommu1: {kind: iommu, base: 0x0300_1000, timing: {link: 3 us, beat: 1 us}}
"""


def test_a_walk_s_answer_comes_by_the_slowest_way_and_brings_a_whole_context(tmp_path: Path) -> None:
    """Of two IOMMUs and two nodes."""
    path = tmp_path / "two.yaml"
    path.write_text(TWO, encoding="utf-8")
    assert 3 * US + 8 * US + 400 * NS <= patience(load(path), 0).answer_ps < 12 * US


def test_a_flush_is_due_in_whole_ticks_and_one_more() -> None:
    topology = load(TOPOLOGY)
    tick = S // topology.kernel.hz
    assert patience(topology, 0).deferred_ps == topology.iova.flush_timeout + 2 * tick


@pytest.mark.parametrize("held", [1, 3])
def test_each_answer_of_a_schedule_may_hold_what_is_waited_for_once(held):
    topology = load(TOPOLOGY, sets=["run.hold=30 us"])
    plain, perturbed = patience(topology, 0), patience(topology, held)
    more = held * 30 * US
    assert perturbed == Bounds(
        store_ps=plain.store_ps + more,
        answer_ps=plain.answer_ps + more,
        call_ps=plain.call_ps + more,
        deferred_ps=plain.deferred_ps,
        capabilities=plain.capabilities,
    )


def test_oracles_know_what_each_iommu_can_do() -> None:
    known = patience(load(TOPOLOGY, sets=["iommu0.capabilities.amo_hwad=true"]), 0).capabilities
    assert {path: (can.amo_hwad, can.svpbmt) for path, can in known.items()} == {"iommu0": (1, 0)}


def test_a_call_may_take_longer_than_the_longest_time_out_of_its_driver():
    assert patience(load(TOPOLOGY), 0).call_ps > 90 * S
    slow = load(TOPOLOGY, sets=["driver.invalidate={policy: per-iommu, fence_ps: 200 s}"])
    assert patience(slow, 0).call_ps > 200 * S
