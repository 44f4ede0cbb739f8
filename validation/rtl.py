"""Cycle counts of an open RISC-V IOMMU in RTL: every case of tests/validation, at four latencies of memory."""

from __future__ import annotations

from collections.abc import Iterator

from cosim.sim.agenda import Agenda
from tests.validation import test_zero_day_faults, test_zero_day_rtl
from validation.runs import Runs
from validation.target import Outcome, Row, Target

LATENCIES = (1, 2, 10, 50)
CASES = (*test_zero_day_rtl.MEASURED, *test_zero_day_faults.MEASURED)


def run(runs: Runs) -> Outcome:
    """All cases; they are counted in a bench, and are no runs of a system."""
    return Outcome(list(_rows()), "cycles")


def _rows() -> Iterator[Row]:
    for case in CASES:
        found = [_listed(case.measure(latency, Agenda)) for latency in LATENCIES]
        wanted = [_listed(case.formula(latency)) for latency in LATENCIES]
        for request in range(len(wanted[0])):
            series = case.what if len(wanted[0]) == 1 else f"{case.what}, {request + 1}"
            for latency, here, there in zip(LATENCIES, found, wanted, strict=True):
                yield Row(series, f"L = {latency}", there[request], here[request])


def _listed(cycles: int | list[int]) -> list[int]:
    return cycles if isinstance(cycles, list) else [cycles]


TARGET = Target(
    "zero-day-rtl",
    "Cycle counts of an open RISC-V IOMMU in RTL",
    "exact",
    "[zero-day-labs/riscv-iommu](https://github.com/zero-day-labs/riscv-iommu) commit 18ad30a7, unmodified, simulated "
    "cycle by cycle with Verilator 5.48; its memory answers L cycles after it has taken an address",
    "The options of `topologies/zero_day_rtl.yaml` are cycles of the RTL, read off a hit, a walk, a context and a "
    "command; everything else follows from them. Cycles from a request's address to the translated one, or to its "
    "refusal; of several requests that arrive together, when each is translated; of commands, from one to the next.",
    run,
    limits="Two stages, process directories and MSI page tables were measured as well, and are not modelled: the "
    "topology lists the formulas.",
)
