"""The rows of `bench.py --json`: what each costs, in bare SimPy timeouts measured in the same process.

All of them under the agenda. A *hit* and a *miss* of one read are of eight masters; of a miss of three reads there is
one at a time, so that no walk is merged with another, and no non-leaf entry is kept. *Watched* is what a hit costs more
with oracles, latencies and digest. *Load*, *after_run* and *boot_device* are told for a shipped topology, and for each
further device of one; *fork* is that of a booted process, which runs nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench import Cost, measure, timeout_s
from driver_operations import costs as operations
from explore import SEARCHES
from explore import cost as schedule
from pool import little, nothing_cost

from cosim.study.run.run import Point, UnderWay
from cosim.system.load import load
from cosim.units.quantities import US

REPETITIONS, DEVICES = 5, 8
DEVICE = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 256 MiB}
  cpu: {kind: cpu, count: 1}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic: {kind: dma, count: %d, through: iommu0, traffic: {pattern: none}}
run: {until: 1 us}
"""
HITS = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 256 MiB, ports: 8}
  cpu: {kind: cpu, count: 1}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {iotlb_entries: 256}}
  nic: {kind: dma, count: 8, through: iommu0, traffic: {window: 64 KiB, outstanding: 4}}
run: {until: 100 ms}
"""
HITS_SPAN_PS = 10 * US


def rows(transactions: int, repetitions: int) -> dict[str, dict[str, float]]:
    """Each row by its name, as ``{"timeouts": 21.0}``."""

    def dma(misses: int, masters: int = 8, **rig: int) -> Cost:
        return measure("agenda", masters, misses, transactions, repetitions, **rig)

    driver = operations(["agenda"])
    found = {
        "hit": dma(0).timeouts,
        "miss_1": dma(100).timeouts,
        "miss_3": dma(100, 1, outstanding=1, nonleaf_entries=0).timeouts,
        "watched": watched(),
        "driver_op": driver["agenda"],
        "driver_op_explored": driver["agenda explored"],
        "schedule_c10": schedule_of_c10(),
        "boot_device": boot_device(),
        "load": in_timeouts(lambda: lambda: load("concurrent_attach")),
        "after_run": in_timeouts(after_run),
        "fork": nothing_cost(little()).run,
    }
    return {name: {"timeouts": round(timeouts, 2)} for name, timeouts in found.items()}


def schedule_of_c10() -> float:
    """What a schedule of C10 costs; the unit is the best of those around it, since a search takes a while."""
    unit = timeout_s(1)
    seconds = schedule(SEARCHES[0], 1).processor_s
    return seconds / min(unit, timeout_s(1))


def watched() -> float:
    """What a hit costs more while everything looks at it that looks at a run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hits.yaml"
        path.write_text(HITS, encoding="utf-8")
        seen, unseen = (UnderWay(Point(load(path))) for _ in range(2))
    for run in (seen, unseen):
        run.system.start()
        while not run.system.booted:
            run.system.sim.env.run(until=run.system.sim.now + HITS_SPAN_PS)
        run.system.sim.env.run(until=run.system.sim.now + HITS_SPAN_PS)
    unseen.system.sim.unwatch()
    differences = []
    for _ in range(2 * REPETITIONS):
        unit, costs = timeout_s(1), []
        for run in (seen, unseen):
            before = sum(run.system.requests().values())
            began = time.process_time()
            run.system.sim.env.run(until=run.system.sim.now + HITS_SPAN_PS)
            costs.append((time.process_time() - began) / (sum(run.system.requests().values()) - before))
        differences.append((costs[0] - costs[1]) / min(unit, timeout_s(1)))
    return median(differences)


def in_timeouts(prepare: Callable[[], Callable[[], object]]) -> float:
    """What a call costs that `prepare` makes ready, the median of several, of which the first is not counted."""
    found = []
    for _ in range(REPETITIONS + 1):
        call = prepare()
        unit = timeout_s(1)
        began = time.process_time()
        call()
        found.append((time.process_time() - began) / min(unit, timeout_s(1)))
    return median(found[1:])


def after_run() -> Callable[[], object]:
    """What a run of a shipped topology, cut short, does after its last event."""
    run = UnderWay(Point(load("concurrent_attach", until="30 us")))
    run.advance()
    return run.result


def boot_device() -> float:
    """What each further device costs a boot."""
    few, many = (in_timeouts(lambda count=count: boot(count)) for count in (1, 1 + DEVICES))
    return (many - few) / DEVICES


def boot(devices: int) -> Callable[[], object]:
    """The boot of an IOMMU with so many devices."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "devices.yaml"
        path.write_text(DEVICE % devices, encoding="utf-8")
        return UnderWay(Point(load(path))).advance
