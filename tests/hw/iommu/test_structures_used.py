"""What an IOMMU tells of the directory and the queues that it uses, and when."""

from __future__ import annotations

import pytest

from cosim.events import StructureUsed
from cosim.hw.iommu.warl import Reset
from cosim.spec.register_map import CQB, CQCSR, DDTP, FQB, FQCSR, Register
from cosim.spec.registers import Ddtp, IommuMode, QueueBase, QueueCsr
from tests.hw.iommu.register_bench import DRAM, NS, Bench

BUSY = 100 * NS
ROOT = DRAM + 0x3000


def told(bench: Bench) -> list[StructureUsed]:
    found: list[StructureUsed] = []
    bench.sim.probe(StructureUsed).watch(found.append)
    return found


def ddtp(mode: IommuMode, address: int = ROOT) -> Ddtp:
    return Ddtp.of(iommu_mode=mode, ppn=address >> 12)


@pytest.mark.parametrize(("base", "csr", "entry"), [(CQB, CQCSR, 16), (FQB, FQCSR, 32)], ids=["cq", "fq"])
def test_a_queue_is_in_use_from_when_it_is_on_until_it_is_off(
    base: Register[QueueBase], csr: Register[QueueCsr], entry: int
) -> None:
    bench = Bench(timing={"busy": BUSY})
    found = told(bench)
    states: list[QueueCsr] = []
    bench.sim.probe(StructureUsed).watch(lambda _: states.append(QueueCsr(bench.registers.value(csr))))
    bench.write(base, QueueBase.placed(DRAM + 0x8000, 512, entry))
    assert found == []
    for value in (1, 0):
        bench.write(csr, value)
    on, off = found
    assert (on.register, on.mode, on.address, on.size) == (base.name, "on", DRAM + 0x8000, 512 * entry)
    assert (off.register, off.mode, off.size) == (base.name, "off", 0)
    assert [(state.on, state.busy) for state in states] == [(1, 0), (0, 0)]
    assert off.time - on.time >= BUSY


def test_a_directory_is_in_use_at_once_and_until_a_change_to_another_mode_is_over() -> None:
    bench = Bench(timing={"busy": BUSY})
    found = told(bench)
    busy: list[int] = []
    bench.sim.probe(StructureUsed).watch(lambda _: busy.append(bench.registers.ddtp.busy))
    for mode in (IommuMode.BARE, IommuMode.LVL3, IommuMode.LVL3, IommuMode.OFF):
        bench.write(DDTP, ddtp(mode))
    assert [(each.mode, each.size) for each in found] == [("bare", 0), ("lvl3", 4096), ("off", 0)]
    assert busy == [0, 1, 0]
    assert found[1].address == ROOT


def test_a_directory_that_is_moved_by_half_of_the_register_is_told() -> None:
    bench = Bench()
    found = told(bench)
    bench.write(DDTP, ddtp(IommuMode.LVL1))
    bench.registers.write(DDTP.offset + 4, 4, 1)
    assert [each.address for each in found] == [ROOT, ROOT & (1 << 34) - 1 | 1 << 34]


def test_what_is_hardwired_is_told_as_that() -> None:
    bench = Bench(reset=Reset(ddtp_ppn=ROOT >> 12, fqb_ppn=DRAM + 0x8000 >> 12))
    found = told(bench)
    for register, value in ((CQB, 9), (FQB, 9), (CQCSR, 1), (FQCSR, 1), (DDTP, ddtp(IommuMode.LVL2, 0))):
        bench.write(register, value)
    assert [(each.register, each.hardwired) for each in found] == [("cqb", False), ("fqb", True), ("ddtp", True)]
    assert found[2].address == ROOT
