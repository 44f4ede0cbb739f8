"""Any sequence of register writes, commands and faults leaves the IOMMU in a state that the manual allows."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.warl import Reset
from cosim.sim.ranks import Stage
from cosim.spec.faults import Cause
from cosim.spec.queues import Command, FaultRecord, Iodir, Iofence, Iotinval
from cosim.spec.register_map import (
    CQB,
    CQCSR,
    CQT,
    DDTP,
    FQB,
    FQCSR,
    FQH,
    ICVEC,
    IPSR,
    MSI_ADDR,
    MSI_VEC_CTL,
    REGISTERS,
)
from cosim.spec.registers import Capabilities, Igs, Interrupt, QueueBase
from tests.hw.iommu.register_bench import DRAM, FAULTS, FLAG, RING, Bench

BOTH = Capabilities.of(version=0x10, sv39=1, pas=46, igs=Igs.BOTH, ats=1, hpm=1, qosid=1)

commands = st.sampled_from(
    [
        Iotinval.vma(),
        Iotinval.vma(pscid=3, addr=0x5000),
        Iodir.inval_ddt(1),
        Iofence.c(pr=1, pw=1),
        Iofence.c(addr=FLAG, data=1),
        Iofence.c(wsi=1),
        Iofence.c(addr=0x1000),  # there is no memory
        Command((0, 0)),
    ]
)
sensible = st.one_of(
    st.tuples(st.just(CQB), st.sampled_from([QueueBase.placed(RING, n, 16) for n in (2, 8)])),
    st.tuples(st.just(FQB), st.sampled_from([QueueBase.placed(FAULTS, n, FaultRecord.SIZE) for n in (2, 8)])),
    st.tuples(st.sampled_from([CQCSR, FQCSR]), st.sampled_from([0, 1, 3, 0xF03])),
    st.tuples(st.sampled_from([CQT, FQH, DDTP]), st.integers(0, 7)),
    st.tuples(st.just(IPSR), st.integers(0, 15)),
    st.tuples(st.just(ICVEC), st.integers(0, 0xFFFF)),
    st.tuples(st.just(MSI_VEC_CTL[1]), st.integers(0, 1)),
)
anything = st.tuples(st.sampled_from(list(REGISTERS.values())), st.integers(0, (1 << 64) - 1)).map(
    lambda pair: (pair[0], pair[1] & (1 << 8 * pair[0].size) - 1)
)
step = st.one_of(
    st.tuples(st.just("write"), sensible),
    st.tuples(st.just("write"), anything),
    st.tuples(st.just("submit"), commands),
    st.tuples(st.just("fault"), st.sampled_from([Cause.READ_PAGE_FAULT, Cause.DDT_NOT_VALID])),
    st.tuples(st.just("wait"), st.integers(1, 1_000_000)),
)


class Machine:
    """A bench in a hurry: steps do not wait for one another."""

    def __init__(self, wsi: bool) -> None:
        timing = {"busy": 50_000, "command_fetch": 20_000, "invalidate_all": 90_000, "fence": 7_000, "interrupt": 9_000}
        self.bench = Bench(capabilities=BOTH, reset=Reset(fctl=2 * wsi), timing=timing, memory_ps=30_000)
        self.initiator = self.bench.sim.initiator("devices")
        for n in range(4):
            self.bench.write(MSI_ADDR[n], DRAM + 0x40000 + 16 * n)

    def apply(self, what: str, operand: Any) -> None:
        bench = self.bench
        if what == "write":
            bench.write(*operand, rest=False)
        elif what == "submit":
            bench.submit(operand, rest=False)
        elif what == "fault":
            fault = Fault(operand)
            rank = self.initiator.rank(Stage.TRANSACTION)
            bench.sim.start(bench.faults.report(fault, Transaction(1, 0x1000, 64)), rank)
        else:
            bench.run(bench.sim.now + operand)

    def check_rest(self) -> None:
        """What holds once nothing is under way any more."""
        bench = self.bench
        bench.run()
        registers = bench.registers
        for ring, csr in ((bench.commands.queue, registers.cqcsr), (bench.faults.queue, registers.fqcsr)):
            assert not csr.busy
            assert ring.slot.free == 1
            assert not ring.enabled or ring.index < registers.value(ring.place.base).entries
        assert registers.cqcsr.cqon == registers.cqcsr.cqen
        assert registers.fqcsr.fqon == registers.fqcsr.fqen
        assert not registers.ddtp.busy
        assert not bench.commands.ready, "whatever can be done is done"
        cqcsr, fqcsr = registers.cqcsr, registers.fqcsr
        if cqcsr.cie and (cqcsr.cqmf or cqcsr.cmd_ill or cqcsr.cmd_to or cqcsr.fence_w_ip):
            assert registers.ipsr.cip
        if fqcsr.fie and (fqcsr.fqof or fqcsr.fqmf):
            assert registers.ipsr.fip
        levels = dict.fromkeys(range(16), False) | {vector: level for _, vector, level in bench.wires}
        pending = {source.vector(registers.icvec) for source in Interrupt if registers.ipsr & source.pending}
        assert {vector for vector, level in levels.items() if level} == (pending if registers.fctl.wsi else set())


def run(wsi: bool, steps: list[tuple[str, Any]]) -> None:
    machine = Machine(wsi)
    for what, operand in steps:
        machine.apply(what, operand)
    machine.check_rest()


@settings(derandomize=True, deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(wsi=st.booleans(), steps=st.lists(step, max_size=40))
def test_a_few_sequences(wsi: bool, steps: list[tuple[str, Any]]) -> None:
    run(wsi, steps)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(wsi=st.booleans(), steps=st.lists(step, min_size=20, max_size=100))
def test_many_sequences(wsi: bool, steps: list[tuple[str, Any]]) -> None:
    run(wsi, steps)
