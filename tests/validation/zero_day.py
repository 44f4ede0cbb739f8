"""The open RISC-V IOMMU of `topologies/zero_day_rtl.yaml` alone with a memory, for tests that count its cycles."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from cosim.events import CommandExecuted
from cosim.hw.dma.transaction import Status, Transaction
from cosim.spec.queues import Command
from cosim.spec.register_map import CQB, CQCSR, CQT
from cosim.spec.registers import QueueBase
from cosim.system.load import load
from tests.hw.iommu.harness import DRAM, NS, System

CYCLE = 1 * NS
IOMMU = load("zero_day_rtl").of_kind("iommu")["iommu0"]
RING, FLAG = DRAM + 0x8_0000, DRAM + 0x9_0000
LW = 7


class Rtl(System):
    """The smallest machine with the topology's IOMMU in it; `levels` and `extended` are those of its directory."""

    def __init__(
        self, latency: int, executor: Any, levels: int = 1, *, extended: bool = False, write_latency: int = LW
    ) -> None:
        super().__init__(
            levels=levels,
            capabilities={"msi_flat": int(extended), "ats": 0},
            timing=dict(IOMMU.timing),
            geometry=IOMMU.geometry.model_dump(),
            defects=IOMMU.defects.model_dump(),
            memory_ps=latency * CYCLE,
            write_ps=write_latency * CYCLE,
            executor=executor,
        )
        self.recorded = self.record_times()

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

    def arriving(self, *requests: tuple[int, bool]) -> tuple[int, list[Transaction]]:
        """Requests (IOVA, whether it writes) that arrive one tick after the other, carried out; when that was."""
        start = self.sim.now + 100 * CYCLE
        txns = [
            self.request(iova, write=write, at_ps=start + n, translate_only=True)
            for n, (iova, write) in enumerate(requests)
        ]
        self.run()
        return start, txns

    def together(self, *requests: tuple[int, bool]) -> list[int]:
        """When requests are translated, or answered, that arrive together, in cycles from then on."""
        start, txns = self.arriving(*requests)
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
