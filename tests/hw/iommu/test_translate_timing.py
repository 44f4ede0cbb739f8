"""How long a translation takes: the sum of its parts, and the cycles of an open RTL implementation (target 11)."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.sim.agenda import Agenda
from cosim.sim.kernel import Plain
from cosim.spec.pagetable import SV39
from tests.hw.iommu.harness import DATA, NS, System

CYCLE = 1 * NS
LATENCIES = [1, 2, 10, 50]

RTL_TIMING = {
    "lookup": 2 * CYCLE,
    "walk_start": 1 * CYCLE,
    "walk_step": 1 * CYCLE,
    "context_beat": 1 * CYCLE,
    "context_fill": 1 * CYCLE,
    "turnaround": 1 * CYCLE,
}
RTL_GEOMETRY: dict[str, Any] = {
    "in_flight": 1,
    "walkers": 1,
    "iotlb_entries": 16,
    "iotlb_replacement": "plru",
    "ddtc_entries": 8,
    "ddtc_replacement": "plru",
    "nonleaf_entries": 0,
    "ddt_nonleaf_entries": 0,
    "plru_free_first": False,
}


def rtl(latency: int, levels: int = 1, msi_flat: int = 0, executor: Any = Agenda) -> System:
    return System(
        levels=levels,
        capabilities={"msi_flat": msi_flat},
        timing=RTL_TIMING,
        geometry=RTL_GEOMETRY,
        memory_ps=latency * CYCLE,
        executor=executor,
    )


def cycles(system: System, iova: int, device_id: int = 1) -> float:
    """From the request to its translation."""
    txn = system.translate(iova, device_id)
    return system.latency(txn) / CYCLE


@pytest.mark.parametrize("latency", LATENCIES)
def test_a_hit_takes_2_cycles(latency: int) -> None:
    system = rtl(latency)
    system.device().map(0x1000, DATA)
    system.context(2, system.dc())
    for iova, device_id in ((0x1000, 1), (0x1000, 2)):
        system.translate(iova, device_id)
        assert cycles(system, iova, device_id) == 2


@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize(("level", "reads"), [(0, 3), (1, 2), (2, 1)])
def test_a_first_stage_walk_takes_3_cycles_and_n_times_l_plus_1(latency: int, level: int, reads: int) -> None:
    system = rtl(latency)
    space = system.device()
    space.map(0x4000_0000, 0x8000_0000, level)
    space.map(0, 0x8000_0000)
    system.translate(0)  # the context is cached from here on
    assert cycles(system, 0x4000_0000) == 3 + reads * (latency + 1)


@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize(("msi_flat", "fixed"), [(0, 7), (1, 10)])
def test_a_context_walk_takes_its_beats_and_n_times_l_plus_1(
    latency: int, levels: int, msi_flat: int, fixed: int
) -> None:
    system = rtl(latency, levels, msi_flat)
    system.context(1, system.dc())
    assert cycles(system, 0x1000) == fixed + levels * (latency + 1)


@pytest.mark.parametrize("latency", LATENCIES)
def test_context_and_first_stage_cold_take_8_cycles_and_4_times_l_plus_1(latency: int) -> None:
    system = rtl(latency)
    system.device().map(0x1000, DATA)
    assert cycles(system, 0x1000) == 8 + 4 * (latency + 1)


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_hits_back_to_back_come_every_3_cycles(executor: Any) -> None:
    system = rtl(10, executor=executor)
    system.device().map(0x1000, DATA)
    system.translate(0x1000)
    start = system.sim.now + 100 * CYCLE
    txns = [system.request(0x1000, at_ps=start, translate_only=True) for _ in range(5)]
    system.run()
    assert [system.ended[txn] - start for txn in txns] == [(2 + 3 * n) * CYCLE for n in range(5)]


def test_a_blocking_iommu_lets_no_hit_pass_a_miss() -> None:
    latency = 10
    system = rtl(latency)
    space = system.device()
    space.map(0x1000, DATA)
    space.map(0x2000, DATA)
    system.translate(0x1000)
    start = system.sim.now + 100 * CYCLE
    miss = system.request(0x2000, at_ps=start, translate_only=True)
    hit = system.request(0x1000, at_ps=start + 1 * CYCLE, translate_only=True)
    system.run()
    walk = 3 + 3 * (latency + 1)
    assert system.ended[miss] - start == walk * CYCLE
    assert system.ended[hit] - start == (walk + 1 + 2) * CYCLE


# --- Latency is the sum of its parts ----------------------------------------------------------------------------------

TIMING = {
    "lookup": 2_000,
    "lookup_interval": 1_000,
    "walk_start": 1_100,
    "walk_step": 700,
    "context_beat": 90,
    "context_fill": 310,
    "fill": 530,
}
MEMORY, HOP = 80_000, 10_000


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_an_unloaded_miss_takes_the_sum_of_its_parts_to_the_picosecond(levels: int, executor: Any) -> None:
    system = System(levels=levels, timing=TIMING, memory_ps=MEMORY, hop_ps=HOP, executor=executor)
    system.device().map(0x1000, DATA)
    miss, hit = system.dma(0x1000), system.dma(0x1008)
    assert miss.parts == {
        "iotlb": 2_000,
        "ddt": 1_100 + levels * (MEMORY + 700) + 3 * 90 + 310,
        "walk": 1_100 + 3 * (MEMORY + 700) + 530,
        "memory": MEMORY,
        "link": 2 * (levels + 3 + 1) * HOP,
    }
    assert hit.parts == {"iotlb": 2_000, "memory": MEMORY, "link": 2 * HOP}
    for txn in (miss, hit):
        assert sum(txn.parts.values()) == system.latency(txn)


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_the_parts_of_crowded_requests_still_add_up(executor: Any) -> None:
    system = System(
        timing={**TIMING, "turnaround": 3_000},
        geometry={"walkers": 1, "in_flight": 3, "iotlb_entries": 2, "nonleaf_entries": 1, "ddtc_entries": 1},
        memory_ps=MEMORY,
        hop_ps=HOP,
        executor=executor,
    )
    txns = []
    for device_id in (1, 2):
        space = system.device(device_id, SV39, pscid=device_id)
        for page in range(4):
            space.map(page << 21, DATA)
            txns += [system.request(page << 21, device_id, at_ps=1_000_000 + 500 * n) for n in range(3)]
    system.run()
    assert {part for txn in txns for part in txn.parts} >= {"queue", "walker_wait", "merge_wait", "walk", "ddt"}
    for txn in txns:
        assert sum(txn.parts.values()) == system.latency(txn)


def test_a_look_up_occupies_its_server_for_the_interval_only() -> None:
    system = System(timing=TIMING, memory_ps=MEMORY)
    system.context(1, system.dc())
    system.translate(0)
    start = system.sim.now + 1_000_000
    txns = [system.request(0, at_ps=start, translate_only=True) for _ in range(4)]
    system.run()
    assert [system.ended[txn] - start for txn in txns] == [2_000, 3_000, 4_000, 5_000]
