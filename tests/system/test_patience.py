"""How long oracles wait follows from the topology and the schedule: nothing that takes longer makes a false alarm."""

from __future__ import annotations

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
