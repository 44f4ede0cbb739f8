"""How long a translation takes: the sum of its parts, to the picosecond."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.spec.pagetable import SV39
from cosim.spec.queues import Iotinval
from tests.hw.iommu.harness import DATA, System

TIMING = {
    "lookup": 2_000,
    "lookup_interval": 1_000,
    "walk_start": 1_100,
    "walk_step": 700,
    "beat": 90,
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


@pytest.mark.parametrize(("entries", "parts"), [("ddtc_entries", ("ddt", 310)), ("iotlb_entries", ("walk", 530))])
def test_to_fill_a_cache_that_is_not_there_takes_no_time(entries: str, parts: tuple[str, int]) -> None:
    with_, without = (System(timing=TIMING, geometry=geometry) for geometry in ({}, {entries: 0}))
    for system in (with_, without):
        system.device().map(0x1000, DATA)
    part, fill_ps = parts
    expected = dict(with_.dma(0x1000).parts)
    expected[part] -= fill_ps
    assert without.dma(0x1000).parts == expected


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize(
    ("device_id", "before", "part"),
    [
        pytest.param(1, 1_100, "queue", id="for its tables"),
        pytest.param(1 << 20, 3 * 90, "fault", id="for its fault record"),
    ],
)
def test_the_wait_for_a_busy_memory_is_a_part_of_its_own_but_for_a_fault(
    device_id: int, before: int, part: str, executor: Any
) -> None:
    """All that a fault record takes counts for the fault."""
    busy, parts = 200_000, []
    for interval in (0, busy):
        system = System(timing=TIMING, memory_ps=MEMORY, hop_ps=HOP, executor=executor)
        system.device().map(0x1000, DATA)
        start, port = system.sim.now + 1_000_000, system.memory.ports[0]
        system.at(start, partial(port.serve, start, interval, MEMORY))
        txn = system.request(0x1000, device_id, at_ps=start)
        system.run()
        parts.append(txn.parts)
    alone, waited = parts
    assert waited == {**alone, part: alone.get(part, 0) + busy - 2_000 - before - HOP}


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
    assert {part for txn in txns for part in txn.parts} >= {"lookup_wait", "walker_wait", "merge_wait", "walk", "ddt"}
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


@pytest.mark.parametrize(("arbitration", "order"), [("arrival", "rwrwr"), ("reads-first", "rrrww")])
def test_places_go_to_who_came_first_or_to_reads_before_writes(arbitration: str, order: str) -> None:
    """One place; the first read has it when the others come."""
    system = System(geometry={"in_flight": 1, "arbitration": arbitration}, timing=TIMING, memory_ps=MEMORY)
    system.device().map(0x1000, DATA)
    system.dma(0x1000)
    start = system.sim.now + 1_000_000
    txns = [system.request(0x1000, write=kind == "w", at_ps=start + n) for n, kind in enumerate("rwrwr")]
    system.run()
    assert "".join("w" if txn.write else "r" for txn in sorted(txns, key=lambda txn: system.ended[txn])) == order


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("arbitration", ["arrival", "reads-first"])
def test_a_request_is_accepted_as_soon_as_it_has_a_place_and_not_before(arbitration: str, executor: Any) -> None:
    """From then on it is the IOMMU that has it, and not the device; its look-up is yet to come."""
    system = System(
        geometry={"in_flight": 1, "arbitration": arbitration}, timing=TIMING, memory_ps=MEMORY, executor=executor
    )
    system.device().map(0x1000, DATA)
    start = system.sim.now + 1_000_000
    txns = [system.request(0x1000, write=kind == "w", at_ps=start + n) for n, kind in enumerate("rwrw")]
    accepted: list[tuple[int, int]] = []
    for n, txn in enumerate(txns):
        txn.accepted = partial(lambda n: accepted.append((n, system.sim.now)), n)
    system.run()
    waited = [txn.parts.get("place", 0) for txn in txns]
    assert sorted(accepted) == [(n, txn.issued + waited[n]) for n, txn in enumerate(txns)]
    assert waited[0] == 0 < min(waited[1:])


@pytest.mark.parametrize(
    ("timing", "iova", "size", "write", "longer"),
    [
        ("turnaround_line", 0x1000, 64, False, 0),
        ("turnaround_line", 0x1000, 256, False, 3),
        ("turnaround_line", 0x1020, 64, False, 1),
        ("turnaround_line", 0x1000, 256, True, 0),
        ("turnaround_large", 0x1000, 128, False, 0),
        ("turnaround_large", 0x1020, 128, False, 1),
        ("turnaround_large", 0x1000, 256, False, 1),
        ("turnaround_large", 0x1000, 256, True, 0),
    ],
)
def test_a_read_holds_its_place_by_its_further_lines_or_if_it_is_large(
    timing: str, iova: int, size: int, write: bool, longer: int
) -> None:
    made = System(geometry={"in_flight": 1}, timing={**TIMING, "turnaround": 20_000, timing: 5_000}, memory_ps=MEMORY)
    made.device().map(0x1000, DATA)
    made.dma(0x1000)
    start = made.sim.now + 1_000_000
    made.request(iova, size=size, write=write, at_ps=start)
    behind = made.request(0x1000, at_ps=start + 1)
    made.run()
    assert behind.parts["place"] == 2_000 - 1 + 20_000 + 5_000 * longer


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_a_walker_is_free_a_turnaround_after_its_walk(executor: Any) -> None:
    """The walk itself takes no longer; who waits for the walker does, and it counts as busy."""
    waits, busy = [], []
    for turnaround in (0, 20_000):
        timing = {**TIMING, "walker_turnaround": turnaround}
        made = System(memory_ps=MEMORY, timing=timing, geometry={"walkers": 1}, executor=executor)
        space = made.device()
        for page in range(3):
            space.map(page * 0x1000, DATA)
        made.dma(0)
        made.run()
        start, before = made.sim.now + 1_000_000, made.iommu.counters()["walkers.busy_ps"]
        first, second = (made.request(page * 0x1000, at_ps=start + page) for page in (1, 2))
        made.run()
        assert first.parts["walk"] == second.parts["walk"] == 1_100 + MEMORY + 700 + 530
        assert made.latency(first) == sum(first.parts.values()) == 2_000 + first.parts["walk"] + MEMORY
        waits.append(second.parts["walker_wait"])
        busy.append(made.iommu.counters()["walkers.busy_ps"] - before)
    assert waits[1] - waits[0] == 20_000 - 1  # of which the last tick is the hand-over that there is anyway
    assert round((busy[1] - busy[0]) / 1000) == 40


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_a_walker_is_busy_while_it_walks_and_not_at_the_end_of_its_walk(executor: Any) -> None:
    """At every moment, so that no step of a series has walkers that are busy for longer than the step."""
    timing = {**TIMING, "lookup_interval": 0, "walker_turnaround": 20_000}
    made = System(memory_ps=MEMORY, timing=timing, geometry={"walkers": 2}, executor=executor)
    space = made.device()
    for page in range(5):
        space.map(page * 0x1000, DATA)
    made.dma(0)
    made.run()
    start, busy = made.sim.now + 1_000_000, [0]
    for page in range(1, 5):
        made.request(page * 0x1000, at_ps=start + page)
    begins = start + 2_000  # of the two first walks, a tick or two apart
    before = made.iommu.counters()["walkers.busy_ps"]
    for step in range(1, 40):
        made.run(begins + step * 10_000)
        busy.append(made.iommu.counters()["walkers.busy_ps"] - before)
    steps = [round((new - old) / 1000) for old, new in pairwise(busy)]
    walks = 2 * (1_100 + MEMORY + 700 + 530 + 20_000)
    whole = walks // 10_000
    assert steps == [20] * whole + [round(2 * (walks % 10_000) / 1000)] + [0] * (38 - whole)


@pytest.mark.parametrize("apart", [0, 1])
@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_reads_of_all_walkers_start_an_interval_apart(executor: Any, apart: int) -> None:
    """Four walks at once: the reads of each come one after the other, and take turns with those of the others."""
    system = System(
        memory_ps=MEMORY,
        timing={"walk_read_interval": 30_000},
        geometry={"walkers": 4, "nonleaf_entries": 0},
        executor=executor,
    )
    space = system.device()
    for n in range(4):
        space.map(n << 30, DATA)
    system.translate(0, execute=True)
    system.invalidations.invalidate_vma(Iotinval.vma())
    start = system.sim.now + 1_000_000
    (before,) = system.count("table_reads.waited_ps")
    txns = [system.request(n << 30, at_ps=start + n * apart, translate_only=True) for n in range(4)]
    system.run()
    # The first reads start at 0, 30, 60 and 90 ns, and whoever has read comes back behind those: a round is 120 ns.
    assert [system.ended[txn] - start for txn in txns] == [320_001, 350_001, 380_001, 410_001]
    assert [txn.parts["read_wait"] for txn in txns] == [80_000 + n * (30_000 - apart) for n in range(4)]
    assert system.count("table_reads.waited_ps") == (before + sum(txn.parts["read_wait"] for txn in txns),)
    assert all(sum(txn.parts.values()) == system.latency(txn) for txn in txns)


def test_reads_further_apart_than_the_interval_wait_for_none() -> None:
    for interval in (0, MEMORY):
        system = System(memory_ps=MEMORY, timing={"walk_read_interval": interval})
        system.device().map(0x1000, DATA)
        first = system.dma(0x1000)
        assert "read_wait" not in first.parts
        assert first.parts["walk"] == 3 * MEMORY
