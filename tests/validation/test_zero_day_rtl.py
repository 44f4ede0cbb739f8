"""Cycle parity with an open RISC-V IOMMU in RTL (target 11): what `topologies/zero_day_rtl.yaml` says must come out.

`m` in formulas is the memory's latency in cycles (L), LW that of a write. All are cycle counts of the RTL; faults are
in `test_zero_day_faults`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cosim.events import DmaDone
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.sim.simulation import Sim
from cosim.spec.queues import Command, Iodir, Iofence, Iotinval
from cosim.study.run.run import Point, run
from cosim.system.load import load
from tests.hw.iommu.harness import DATA
from tests.validation.zero_day import CYCLE, FLAG, LW, Row, Rtl, cycles


def hit(latency: int, executor: Any) -> int:
    rtl = Rtl(latency, executor)
    rtl.device().map(0x1000, DATA)
    rtl.translate(0x1000)
    return rtl.takes(0x1000)


def bare_hit(latency: int, executor: Any) -> int:
    rtl = Rtl(latency, executor)
    rtl.context(1, rtl.dc())
    rtl.translate(0x1000)
    return rtl.takes(0x2000)


def first_stage(level: int) -> Callable[[int, Any], int]:
    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor)
        space = rtl.device()
        space.map(0x4000_0000, 0x8000_0000, level)
        space.map(0, 0x8000_0000)
        rtl.translate(0)  # the context is cached from here on
        return rtl.takes(0x4000_0000)

    return measure


def context(levels: int, *, extended: bool = False) -> Callable[[int, Any], int]:
    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor, levels, extended=extended)
        rtl.context(1, rtl.dc())
        return rtl.takes(0x1000)

    return measure


def cold(levels: int, *, extended: bool = False) -> Callable[[int, Any], int]:
    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor, levels, extended=extended)
        rtl.device().map(0x1000, DATA)
        return rtl.takes(0x1000)

    return measure


def period(command: Command) -> Callable[[int, Any], int]:
    return lambda latency, executor: Rtl(latency, executor).period(command)


def one_after_the_other(*requests: tuple[int, bool]) -> Callable[[int, Any], list[int]]:
    """Page 1 is cached, pages 2 and 3 are not, page 4 is not mapped."""

    def measure(latency: int, executor: Any) -> list[int]:
        rtl = Rtl(latency, executor)
        space = rtl.device()
        for page in (1, 2, 3):
            space.map(page << 12, DATA)
        rtl.translate(0x1000)
        return rtl.together(*requests)

    return measure


def invalidated(latency: int, executor: Any) -> list[int]:
    rtl = Rtl(latency, executor)
    space = rtl.device()
    space.map(0x1000, DATA)
    space.map(0x2000, DATA)
    rtl.translate(0x1000)
    start = rtl.sim.now + 100 * CYCLE
    txn = rtl.request(0x2000, at_ps=start, translate_only=True)
    rtl.at(start + (3 + 2 * (latency + 1)) * CYCLE, lambda: rtl.invalidate(Iotinval.vma()))
    rtl.run()
    return [cycles(rtl.latency(txn)), rtl.takes(0x2000)]


READ_MISS, READ_HIT, WRITE_HIT, READ_FAULT = (0x2000, False), (0x1000, False), (0x1000, True), (0x4000, False)
WRITE_MISS = (0x2000, True)

MEASURED = [
    Row("IOTLB hit", hit, lambda m: 2),
    Row("Bare, context cached", bare_hit, lambda m: 2),
    Row("first stage, 4K", first_stage(0), lambda m: 3 + 3 * (m + 1)),
    Row("first stage, 2M", first_stage(1), lambda m: 3 + 2 * (m + 1)),
    Row("first stage, 1G", first_stage(2), lambda m: 3 + 1 * (m + 1)),
    Row("context, base format, 1LVL", context(1), lambda m: 7 + 1 * (m + 1)),
    Row("context, base format, 2LVL", context(2), lambda m: 7 + 2 * (m + 1)),
    Row("context, base format, 3LVL", context(3), lambda m: 7 + 3 * (m + 1)),
    Row("context, extended format, 1LVL", context(1, extended=True), lambda m: 10 + 1 * (m + 1)),
    Row("context, extended format, 2LVL", context(2, extended=True), lambda m: 10 + 2 * (m + 1)),
    Row("context, extended format, 3LVL", context(3, extended=True), lambda m: 10 + 3 * (m + 1)),
    Row("context 1LVL and first stage 4K", cold(1), lambda m: 8 + 4 * (m + 1)),
    Row("period of IOTINVAL", period(Iotinval.vma()), lambda m: m + 4),
    Row("period of IOTINVAL of an address", period(Iotinval.vma(pscid=1, addr=0x1000)), lambda m: m + 4),
    Row("period of IODIR", period(Iodir.inval_ddt(1)), lambda m: m + 4),
    Row("period of IOFENCE, AV=0", period(Iofence.c(pr=1, pw=1)), lambda m: m + 4),
    Row("hits back to back", one_after_the_other(*[READ_HIT] * 4), lambda m: [2, 5, 8, 11]),
    Row("context 3LVL and first stage 4K", cold(3), lambda m: 8 + 6 * (m + 1)),
    Row("extended context 1LVL and first stage 4K", cold(1, extended=True), lambda m: 11 + 4 * (m + 1)),
    Row("IOTINVAL during a walk, and the page again", invalidated, lambda m: [3 + 3 * (m + 1), 2]),
    Row("period of IOFENCE, AV=1", period(Iofence.c(addr=FLAG, data=1)), lambda m: m + LW + 6),
    Row("period of IOFENCE, AV=1 and PR, PW", period(Iofence.c(pr=1, pw=1, addr=FLAG, data=1)), lambda m: m + LW + 6),
    Row(
        "a hit behind a miss",
        one_after_the_other(READ_MISS, READ_HIT),
        lambda m: [(miss := 3 + 3 * (m + 1)), miss + 3],
    ),
    Row(
        "a miss behind a miss",
        one_after_the_other(READ_MISS, (0x3000, False)),
        lambda m: [(miss := 3 + 3 * (m + 1)), 2 * miss + 1],
    ),
    Row(
        "reads before a write",
        one_after_the_other(READ_MISS, WRITE_HIT, READ_HIT, READ_HIT),
        lambda m: [(miss := 3 + 3 * (m + 1)), miss + 9, miss + 3, miss + 6],
    ),
    Row("a write behind a read", one_after_the_other(READ_HIT, WRITE_HIT), lambda m: [2, 5]),
    Row(
        "a read before a write that came first",
        one_after_the_other(WRITE_MISS, READ_HIT, WRITE_HIT),
        lambda m: [(miss := 3 + 3 * (m + 1)), miss + 3, miss + 6],
    ),
    Row(
        "a hit behind a fault",
        one_after_the_other(READ_FAULT, READ_HIT),
        lambda m: [(fault := 3 + 3 * (m + 1)) + 2, fault + 3],
    ),
]


LATENCIES = (1, 2, 10, 50)
"""Of the memory, in cycles."""


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row.what)
def test_every_cycle_count_of_the_rtl_comes_out(row: Row, executor: Any) -> None:
    measured = {latency: row.measure(latency, executor) for latency in LATENCIES}
    assert measured == {latency: row.formula(latency) for latency in LATENCIES}


# --- The same in a full system ----------------------------------------------------------------------------------------


QUICK = ["threads=[]", "run.until=35 us", "iommu0.geometry.cq_log2=6", "iommu0.geometry.fq_log2=6"]
"""Small queues, since it is them that boot spends its time on."""


def translations(*sets: str) -> list[int]:
    """What the translation of each DMA request of a run took, in cycles, in order."""
    topology = load("zero_day_rtl", sets=[*QUICK, *sets])
    found: list[int] = []

    def watch(sim: Sim) -> None:
        def done(event: DmaDone) -> None:
            found.append(cycles(sum(event.parts.get(part, 0) for part in ("queue", "iotlb", "ddt", "walk"))))

        sim.probe(DmaDone).watch(done)

    assert run(Point(topology), watchers=[watch]).outcome == "ok"
    assert len(found) > 32
    return found


@pytest.mark.parametrize("executor", ["plain", "agenda"])
@pytest.mark.parametrize("latency", [1, 10, 50])
def test_a_system_run_shows_the_same_cycles(latency: int, executor: str) -> None:
    sets = [f"dram0.latency={latency} ns", f"run.executor={executor}"]
    first, *others = translations(*sets)
    assert first == 8 + 6 * (latency + 1), "3LVL and 4K, cold"
    assert set(others) == {3 + 3 * (latency + 1)}, "32 pages in 16 entries, one after the other"


def test_a_system_run_with_one_level_of_directory_and_a_window_that_fits() -> None:
    found = translations("iommu0.geometry.ddt_levels=1", "nic0.traffic.window=32 KiB")
    assert found[0] == 8 + 4 * 11
    assert set(found[1:8]) == {3 + 3 * 11}
    assert set(found[8:]) == {2}


def test_a_system_run_with_large_pages() -> None:
    found = translations("nic0.traffic.page=2 MiB", "nic0.traffic.window=40 MiB", "nic0.traffic.stride=2 MiB")
    assert set(found[1:]) == {3 + 2 * 11}
