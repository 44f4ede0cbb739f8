"""Cycle parity with an open RISC-V IOMMU in RTL (target 11): what `topologies/zero_day_rtl.yaml` says must come out.

`m` in formulas is the memory's latency in cycles (L), LW that of a write. `MEASURED` are the cycle counts of the RTL;
`PREDICTED` follows from the same parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from cosim.events import CommandExecuted, DmaDone, FaultRecorded
from cosim.hw.transaction import Status
from cosim.sim.agenda import Agenda
from cosim.sim.kernel import Plain, Sim
from cosim.spec.pagetable import Pte
from cosim.spec.queues import Command, Iodir, Iofence, Iotinval
from cosim.spec.register_map import CQB, CQCSR, CQT
from cosim.spec.registers import QueueBase
from cosim.study.run import Point, run
from cosim.system.load import load
from tests.hw.iommu.harness import DATA, DRAM, NS, System

CYCLE = 1 * NS
IOMMU = load("zero_day_rtl").of_kind("iommu")["iommu0"]
RING, FLAG = DRAM + 0x8_0000, DRAM + 0x9_0000
LW = 7
UNPRIVILEGED = Pte.of(v=1, r=1, u=1, a=1, d=1)


class Rtl(System):
    """The smallest machine with the topology's IOMMU in it; `levels` and `extended` are those of its directory."""

    def __init__(self, latency: int, executor: Any, levels: int = 1, *, extended: bool = False) -> None:
        super().__init__(
            levels=levels,
            capabilities={"msi_flat": int(extended), "ats": 0},
            timing=dict(IOMMU.timing),
            geometry=IOMMU.geometry.model_dump(),
            defects=IOMMU.defects.model_dump(),
            memory_ps=latency * CYCLE,
            write_ps=LW * CYCLE,
            executor=executor,
        )
        self.recorded: list[int] = []
        self.sim.probe(FaultRecorded).watch(lambda event: self.recorded.append(event.time))

    def takes(self, iova: int, device_id: int = 1, **request: Any) -> int:
        """Cycles from a request's address to the translated one, or to the answer that it is refused."""
        return cycles(self.latency(self.translate(iova, device_id, **request)))

    def refused(self, iova: int, **request: Any) -> int:
        """Cycles to the refusal: the answer comes `fault_answer` later, the record five and LW."""
        txn = self.translate(iova, **request)
        assert txn.status is Status.UR
        refused = cycles(self.latency(txn) - IOMMU.timing.fault_answer)
        assert cycles(self.recorded[-1] - txn.issued) == refused + 5 + LW
        return refused

    def together(self, *requests: tuple[int, bool]) -> list[int]:
        """When requests (IOVA, whether it writes) are translated that arrive one tick after the other, in cycles."""
        start = self.sim.now + 100 * CYCLE
        txns = [
            self.request(iova, write=write, at_ps=start + n, translate_only=True)
            for n, (iova, write) in enumerate(requests)
        ]
        self.run()
        return [(self.ended[txn] - start) // CYCLE for txn in txns]

    def period(self, command: Command) -> int:
        """Cycles from one command to the next of the same kind."""
        done: list[int] = []
        self.sim.probe(CommandExecuted).watch(lambda event: done.append(event.time))
        registers = self.iommu.registers
        registers.write(CQB.offset, 8, QueueBase.placed(RING, 16, Command.SIZE))
        registers.write(CQCSR.offset, 4, 1)
        self.run()
        for n in range(8):
            for word in range(2):
                self.poke(RING + 16 * n + 8 * word, command[word])
        registers.write(CQT.offset, 4, 8)
        self.run()
        (period,) = {after - before for before, after in pairwise(done)}
        return cycles(period)


def cycles(ps: int) -> int:
    """Whole cycles, exactly."""
    assert ps % CYCLE == 0
    return ps // CYCLE


class Row(NamedTuple):
    """One line of the table: what is measured, and the formula."""

    what: str
    measure: Callable[[int, Any], int | list[int]]
    formula: Callable[[int], int | list[int]]


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


def cold(levels: int) -> Callable[[int, Any], int]:
    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor, levels)
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


def bad_pte(level: int) -> Callable[[int, Any], int]:
    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor)
        space = rtl.device()
        space.map(0, DATA)
        rtl.translate(0)
        rtl.poke(space.pte(0, level), 0)
        return rtl.refused(0x1000 if level == 0 else (1 << 12 + 9 * level) - 0x1000)

    return measure


def no_permission(latency: int, executor: Any) -> int:
    rtl = Rtl(latency, executor)
    rtl.device().map(0x1000, DATA, flags=UNPRIVILEGED)
    rtl.translate(0x1000)
    return rtl.refused(0x1000, write=True)


def bad_context(levels: int = 1, *, extended: bool = False, word: int = 0, value: int = 0) -> Callable[[int, Any], int]:
    """A context in which one doubleword is wrong; not valid, if not told otherwise."""

    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor, levels, extended=extended)
        at = rtl.context(1, rtl.dc())
        rtl.poke(at + 8 * word, value)
        return rtl.refused(0x1000)

    return measure


def bad_pointer(levels: int, level: int) -> Callable[[int, Any], int]:
    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor, levels)
        rtl.context(1, rtl.dc())
        rtl.poke(rtl.ddte(1, level), 0)
        return rtl.refused(0x1000)

    return measure


READ_MISS, READ_HIT, WRITE_HIT, READ_FAULT = (0x2000, False), (0x1000, False), (0x1000, True), (0x4000, False)
FSC, MSIPTP = 3, 4
NO_SUCH_MODE = 15 << 60

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
]
PREDICTED = [
    Row("context 3LVL and first stage 4K", cold(3), lambda m: 8 + 6 * (m + 1)),
    Row("period of IOFENCE, AV=1", period(Iofence.c(addr=FLAG, data=1)), lambda m: m + LW + 6),
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
    Row(
        "a hit behind a fault",
        one_after_the_other(READ_FAULT, READ_HIT),
        lambda m: [(fault := 3 + 3 * (m + 1)) + 2, fault + 3],
    ),
    Row("PTE not valid, level 0", bad_pte(0), lambda m: 3 + 3 * (m + 1)),
    Row("PTE not valid, level 1", bad_pte(1), lambda m: 3 + 2 * (m + 1)),
    Row("PTE not valid, level 2", bad_pte(2), lambda m: 3 + 1 * (m + 1)),
    Row("no permission in the IOTLB", no_permission, lambda m: 2),
    Row("DC not valid", bad_context(), lambda m: 5 + (m + 1)),
    Row("DC not valid, 3LVL", bad_context(3), lambda m: 5 + 3 * (m + 1)),
    Row("DC not valid, extended", bad_context(extended=True), lambda m: 8 + (m + 1)),
    Row("DC misconfigured, tc", bad_context(value=3), lambda m: 5 + (m + 1)),
    Row("DC misconfigured, fsc", bad_context(word=FSC, value=NO_SUCH_MODE), lambda m: 6 + (m + 1)),
    Row(
        "DC misconfigured, fsc, extended",
        bad_context(extended=True, word=FSC, value=NO_SUCH_MODE),
        lambda m: 8 + (m + 1),
    ),
    Row("ddte not valid, level 2 of 3LVL", bad_pointer(3, 2), lambda m: 3 + 1 * (m + 1)),
    Row("ddte not valid, level 1 of 3LVL", bad_pointer(3, 1), lambda m: 3 + 2 * (m + 1)),
]


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("latency", [1, 2, 10, 50])
@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row.what)
def test_every_cycle_count_of_the_rtl_comes_out(row: Row, latency: int, executor: Any) -> None:
    assert row.measure(latency, executor) == row.formula(latency)


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("latency", [1, 2, 10, 50])
@pytest.mark.parametrize("row", PREDICTED, ids=lambda row: row.what)
def test_the_same_parameters_predict(row: Row, latency: int, executor: Any) -> None:
    assert row.measure(latency, executor) == row.formula(latency)


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
