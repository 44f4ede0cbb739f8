"""Faults of the open RISC-V IOMMU in RTL (target 11), in its cycles: the refusal, the answer, the record, the next one.

`m` in formulas is the memory's latency in cycles (L). That the answer comes 2 cycles after the refusal, and the record
is complete 5 and the write's latency after it, is asserted of each row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cosim.hw.dma.transaction import Status
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.spec.pagetable import Pte
from cosim.spec.registers import IommuMode
from tests.hw.iommu.harness import DATA
from tests.validation.zero_day import CYCLE, IOMMU, Row, Rtl

READ_ONLY = Pte.of(v=1, r=1, u=1, a=1, d=1)
NO_SUCH_MODE = 15 << 60
IOHGATP, TA, FSC, MSIPTP, MSI_ADDR_MASK, MSI_ADDR_PATTERN = 1, 2, 3, 4, 5, 6

Measure = Callable[[int, Any], int]


def bad_entry(level: int, value: int = 0) -> Measure:
    """A page-table entry of `level` is `value`; not valid, if not told otherwise."""

    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor)
        space = rtl.device()
        space.map(0, DATA)
        rtl.translate(0)
        iova = 0x1000 if level == 0 else (1 << 12 + 9 * level) - 0x1000
        rtl.poke(space.pte(iova, level), value)
        return rtl.refused(iova)

    return measure


def bad_leaf(*, write: bool = False, level: int = 0, again: bool = False, **flags: int) -> Measure:
    """A page whose entry lacks something; with `again`, the second request for it."""

    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor)
        space = rtl.device()
        space.map(0, DATA)
        space.map(1 << 30, DATA + 0x1000 * (level > 0), level, Pte.of(**{"v": 1, "r": 1, "u": 1, "a": 1, **flags}))
        rtl.translate(0)
        if again:
            rtl.refused(1 << 30, write=write)
        return rtl.refused(1 << 30, write=write)

    return measure


def no_permission(latency: int, executor: Any) -> int:
    rtl = Rtl(latency, executor)
    rtl.device().map(0x1000, DATA, flags=READ_ONLY)
    rtl.translate(0x1000)
    return rtl.refused(0x1000, write=True)


def bad_context(levels: int = 1, *, extended: bool = False, word: int = 0, value: int = 0) -> Measure:
    """A context in which one doubleword is wrong; not valid, if not told otherwise."""

    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor, levels, extended=extended)
        at = rtl.context(1, rtl.dc())
        rtl.poke(at + 8 * word, value)
        return rtl.refused(0x1000)

    return measure


def bad_pointer(level: int, value: int = 0) -> Measure:
    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor, 3)
        rtl.context(1, rtl.dc())
        rtl.poke(rtl.ddte(1, level), value)
        return rtl.refused(0x1000)

    return measure


def unreadable(level: int) -> Measure:
    """Memory refuses the read of a page-table entry."""

    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor)
        space = rtl.device()
        space.map(0, DATA)
        space.map(0x1000, DATA)
        rtl.translate(0)
        rtl.memory.fault("access_fault", space.pte(0x1000, level), 8)
        return rtl.refused(0x1000)

    return measure


def unreadable_directory(level: int, *, extended: bool = False) -> Measure:
    def measure(latency: int, executor: Any) -> int:
        rtl = Rtl(latency, executor, level + 1, extended=extended)
        rtl.context(1, rtl.dc())
        rtl.memory.fault("access_fault", rtl.ddte(1, level), 8)
        return rtl.refused(0x1000)

    return measure


def turned_off(latency: int, executor: Any) -> int:
    rtl = Rtl(latency, executor)
    rtl.mode(IommuMode.OFF)
    return rtl.refused(0x1000)


def too_wide(latency: int, executor: Any) -> int:
    return Rtl(latency, executor).refused(0x1000, device_id=0x200)


def with_a_process(latency: int, executor: Any) -> int:
    rtl = Rtl(latency, executor)
    rtl.device().map(0x1000, DATA)
    rtl.translate(0x1000)
    return rtl.refused(0x1000, process_id=5)


MEASURED = [
    Row("PTE not valid, level 0", bad_entry(0), lambda m: 3 + 3 * (m + 1)),
    Row("PTE not valid, level 1", bad_entry(1), lambda m: 3 + 2 * (m + 1)),
    Row("PTE not valid, level 2", bad_entry(2), lambda m: 3 + 1 * (m + 1)),
    Row("pointer at level 0", bad_entry(0, value=1), lambda m: 3 + 3 * (m + 1)),
    Row("reserved bit of a pointer", bad_entry(1, value=1 << 60 | 1), lambda m: 3 + 2 * (m + 1)),
    Row("2M page that is not aligned", bad_leaf(level=1), lambda m: 3 + 2 * (m + 1)),
    Row("A not set", bad_leaf(a=0), lambda m: 3 + 3 * (m + 1)),
    Row("D not set", bad_leaf(w=1, write=True), lambda m: 3 + 3 * (m + 1)),
    Row("not writable", bad_leaf(d=1, write=True), lambda m: 3 + 3 * (m + 1)),
    Row("not writable, again", bad_leaf(d=1, write=True, again=True), lambda m: 2),
    Row("neither writable nor dirty, again", bad_leaf(write=True, again=True), lambda m: 3 + 3 * (m + 1)),
    Row("not the user's, again", bad_leaf(u=0, again=True), lambda m: 2),
    Row("no permission in the IOTLB", no_permission, lambda m: 2),
    Row("PTE unreadable, level 0", unreadable(0), lambda m: 3 + 3 * (m + 1)),
    Row("PTE unreadable, level 1", unreadable(1), lambda m: 3 + 2 * (m + 1)),
    Row("PTE unreadable, level 2", unreadable(2), lambda m: 3 + 1 * (m + 1)),
    Row("DC not valid", bad_context(), lambda m: 5 + (m + 1)),
    Row("DC not valid, 2LVL", bad_context(2), lambda m: 5 + 2 * (m + 1)),
    Row("DC not valid, 3LVL", bad_context(3), lambda m: 5 + 3 * (m + 1)),
    Row("DC not valid, extended", bad_context(extended=True), lambda m: 8 + (m + 1)),
    Row("DC not valid, extended, 3LVL", bad_context(3, extended=True), lambda m: 8 + 3 * (m + 1)),
    Row("DC misconfigured, tc", bad_context(value=3), lambda m: 5 + (m + 1)),
    Row("DC misconfigured, iohgatp", bad_context(word=IOHGATP, value=NO_SUCH_MODE), lambda m: 5 + (m + 1)),
    Row("DC misconfigured, ta", bad_context(word=TA, value=1), lambda m: 5 + (m + 1)),
    Row("DC misconfigured, fsc", bad_context(word=FSC, value=NO_SUCH_MODE), lambda m: 6 + (m + 1)),
    Row(
        "DC misconfigured, fsc, extended",
        bad_context(extended=True, word=FSC, value=NO_SUCH_MODE),
        lambda m: 8 + (m + 1),
    ),
    Row(
        "DC misconfigured, msiptp",
        bad_context(extended=True, word=MSIPTP, value=NO_SUCH_MODE),
        lambda m: 8 + (m + 1),
    ),
    Row(
        "DC misconfigured, msi_addr_mask",
        bad_context(extended=True, word=MSI_ADDR_MASK, value=1 << 63),
        lambda m: 8 + (m + 1),
    ),
    Row(
        "DC misconfigured, msi_addr_pattern",
        bad_context(extended=True, word=MSI_ADDR_PATTERN, value=1 << 63),
        lambda m: 9 + (m + 1),
    ),
    Row("DC unreadable", unreadable_directory(0), lambda m: 5 + (m + 1)),
    Row("DC unreadable, extended", unreadable_directory(0, extended=True), lambda m: 8 + (m + 1)),
    Row("ddte not valid, level 2 of 3LVL", bad_pointer(2), lambda m: 3 + 1 * (m + 1)),
    Row("ddte not valid, level 1 of 3LVL", bad_pointer(1), lambda m: 3 + 2 * (m + 1)),
    Row("ddte misconfigured, level 2 of 3LVL", bad_pointer(2, value=3), lambda m: 3 + 1 * (m + 1)),
    Row("ddte misconfigured, level 1 of 3LVL", bad_pointer(1, value=3), lambda m: 3 + 2 * (m + 1)),
    Row("ddte unreadable, level 2 of 3LVL", unreadable_directory(2), lambda m: 3 + 1 * (m + 1)),
    Row("ddte unreadable, level 1 of 2LVL", unreadable_directory(1), lambda m: 3 + 1 * (m + 1)),
    Row("off", turned_off, lambda m: 2),
    Row("device_id too wide", too_wide, lambda m: 2),
    Row("process without a process directory", with_a_process, lambda m: 2),
]


LATENCIES = (1, 2, 10, 50)
"""Of the memory, in cycles."""


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row.what)
def test_every_cycle_count_of_the_rtl_comes_out(row: Row, executor: Any) -> None:
    measured = {latency: row.measure(latency, executor) for latency in LATENCIES}
    assert measured == {latency: row.formula(latency) for latency in LATENCIES}


# --- Records one after the other --------------------------------------------------------------------------------------


def series(count: int, write_latency: int, executor: Any, *, write: bool = False) -> tuple[list[int], list[int]]:
    """When `count` requests that arrive together are refused, which the IOTLB does not let in; and their records."""
    rtl = Rtl(10, executor, write_latency=write_latency)
    rtl.device().map(0x1000, DATA, flags=READ_ONLY if write else Pte.of(v=1, r=1, a=1))
    txn = rtl.translate(0x1000)
    assert (txn.status is Status.UR) is not write
    rtl.recorded.clear()
    start, txns = rtl.arriving(*[(0x1000, write)] * count)
    assert all(txn.status is Status.UR for txn in txns)
    answered = [(rtl.ended[txn] - IOMMU.timing.fault_answer - start) // CYCLE for txn in txns]
    return answered, [(time - start) // CYCLE for time in rtl.recorded]


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(
    ("write_latency", "records"),
    [(1, [8, 15, 22, 29, 36, 43]), (2, [9, 17, 25]), (7, [14, 29]), (20, [27])],
    ids=lambda value: str(value),
)
def test_faults_back_to_back_are_recorded_one_after_the_other_or_lost(
    write_latency: int, records: list[int], write: bool, executor: Any
) -> None:
    assert series(6, write_latency, executor, write=write) == ([2, 5, 8, 11, 14, 17], records)


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_who_finds_four_records_unwritten_waits_and_is_not_recorded(executor: Any) -> None:
    refused, records = series(12, 1, executor)
    assert refused == [2, 5, 8, 11, 14, 17, 23, 26, 30, 33, 37, 40]
    assert records == [8 + 7 * n for n in range(9)]


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize(("latency", "records"), [(1, [21]), (2, [24, 37]), (10, [48, 85])])
def test_faults_of_walks_back_to_back(latency: int, records: list[int], executor: Any) -> None:
    rtl = Rtl(latency, executor)
    rtl.device().map(0, DATA)
    rtl.translate(0)
    start, _ = rtl.arriving((0x4000, False), (0x5000, False))
    assert [(time - start) // CYCLE for time in rtl.recorded] == records
