"""`ipsr`, and the wires and messages that follow it (6.22, 6.30, 6.31)."""

from typing import Any

import pytest

from cosim.events import InterruptRaised
from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.warl import Reset
from cosim.spec.faults import Cause
from cosim.spec.queues import Command, FaultRecord, Iofence
from cosim.spec.register_map import CQCSR, CQT, FCTL, FQCSR, FQH, ICVEC, IPSR, MSI_ADDR, MSI_DATA, MSI_VEC_CTL
from cosim.spec.registers import Capabilities, Cqcsr, Fctl, Fqcsr, Igs, Interrupt
from tests.hw.iommu.register_bench import DRAM, Bench

BOTH = Capabilities.of(version=0x10, sv39=1, pas=46, igs=Igs.BOTH)
MISSING = Fault(Cause.READ_PAGE_FAULT)
MAILBOX = DRAM + 0x40000
BAD = Command((0, 0))


def wired(**options: Any) -> Bench:
    bench = Bench(**options)
    bench.enable()
    bench.enable_faults()
    return bench


def messaging(**options: Any) -> Bench:
    """Vector n stores 0x50 + n at MAILBOX + 16 n."""
    bench = Bench(capabilities=BOTH, reset=Reset(fctl=0, be_writable=1), **options)
    for n in range(8):
        bench.write(MSI_ADDR[n], MAILBOX + 16 * n)
        bench.write(MSI_DATA[n], 0x50 + n)
    bench.enable()
    bench.enable_faults()
    return bench


def fault(bench: Bench, device_id: int = 1) -> None:
    bench.report(MISSING, Transaction(device_id, 0x1000, 64))


def mailbox(bench: Bench, vector: int) -> int:
    """What the message of a vector stored; it is taken out."""
    value = bench.memory.peek(MAILBOX + 16 * vector, 4)
    bench.memory.poke(MAILBOX + 16 * vector, 4, 0)
    return value


class TestPending:
    def test_a_bit_that_is_cleared_while_its_condition_holds_rises_again(self) -> None:
        bench = wired()
        bench.submit(BAD)
        assert bench.read(IPSR) == 1
        bench.write(IPSR, 1)
        assert bench.read(IPSR) == 1
        bench.submit(Iofence.c())
        bench.write(CQCSR, Cqcsr.of(cqen=0, cie=1, cmd_ill=1))
        bench.write(IPSR, 1)
        assert bench.read(IPSR) == 0

    def test_a_record_is_an_event_and_not_a_condition(self) -> None:
        bench = wired()
        fault(bench)
        assert bench.read(IPSR) == 2
        bench.write(IPSR, 2)
        assert bench.read(IPSR) == 0, "though the record has not been taken out"
        fault(bench)
        assert bench.read(IPSR) == 2

    def test_a_full_queue_is_a_condition(self) -> None:
        bench = Bench()
        bench.enable_faults(log2_entries=1)
        fault(bench), fault(bench)
        bench.write(IPSR, 2)
        assert bench.read(IPSR) == 2
        bench.write(FQCSR, Fqcsr.of(fqen=1, fie=1, fqof=1))
        bench.write(IPSR, 2)
        assert bench.read(IPSR) == 0

    def test_without_the_enable_nothing_is_pending(self) -> None:
        bench = Bench()
        bench.enable(interrupts=False), bench.enable_faults(interrupts=False)
        bench.submit(BAD), fault(bench)
        assert bench.read(IPSR) == 0

    def test_enabling_interrupts_reports_an_error_that_is_there_already_but_no_old_record(self) -> None:
        bench = Bench()
        bench.enable(interrupts=False), bench.enable_faults(interrupts=False)
        bench.submit(BAD), fault(bench)
        bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1)), bench.write(FQCSR, Fqcsr.of(fqen=1, fie=1))
        assert bench.read(IPSR) == 1

    def test_a_queue_that_is_turned_on_reports_no_error_from_before(self) -> None:
        bench = Bench()
        bench.enable(interrupts=False), bench.enable_faults(interrupts=False, log2_entries=1)
        bench.submit(BAD), fault(bench), fault(bench)
        bench.write(CQCSR, 0), bench.write(FQCSR, 0)
        assert bench.registers.cqcsr.cmd_ill
        assert bench.registers.fqcsr.fqof
        bench.write(CQT, 0)
        bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1)), bench.write(FQCSR, Fqcsr.of(fqen=1, fie=1))
        assert bench.read(IPSR) == 0


class TestWires:
    def test_a_pending_bit_is_a_level_on_the_wire_of_its_vector(self) -> None:
        bench = wired(timing={"interrupt": 100_000})
        bench.write(ICVEC, 0x2310 & 0x3333)
        fault(bench)
        raised = bench.sim.now - 100_000
        assert bench.wires == [(raised + 100_000, 1, True)]
        fault(bench)
        assert len(bench.wires) == 1
        bench.write(IPSR, 2)
        assert [level for _, _, level in bench.wires] == [True, False]

    def test_two_causes_on_one_wire_keep_it_high_together(self) -> None:
        bench = wired()
        fault(bench), bench.submit(BAD)
        assert bench.read(IPSR) == 3
        assert [entry[1:] for entry in bench.wires] == [(0, True)]
        bench.write(IPSR, 2)
        assert bench.read(IPSR) == 1
        assert [entry[1:] for entry in bench.wires] == [(0, True)]
        bench.write(CQCSR, Cqcsr.of(cqen=0, cmd_ill=1)), bench.write(IPSR, 1)
        assert [entry[1:] for entry in bench.wires] == [(0, True), (0, False)]

    def test_changing_the_vector_moves_the_level(self) -> None:
        bench = wired()
        fault(bench)
        bench.write(ICVEC, 0x0030)
        assert [entry[1:] for entry in bench.wires] == [(0, True), (0, False), (3, True)]

    def test_each_rise_is_told_and_counted(self) -> None:
        bench = wired()
        seen: list[InterruptRaised] = []
        bench.sim.probe(InterruptRaised).watch(seen.append)
        fault(bench), bench.write(IPSR, 2), fault(bench)
        assert [(event.source, event.vector, event.message) for event in seen] == [("fip", 0, False)] * 2
        assert bench.interrupts.counts == {"fip": 2}


class TestMessages:
    def test_a_bit_that_rises_stores_the_data_of_its_vector_once(self) -> None:
        bench = messaging()
        bench.write(ICVEC, 0x3210)
        fault(bench)
        assert mailbox(bench, 1) == 0x51
        fault(bench)
        assert mailbox(bench, 1) == 0, "the bit was pending already"
        bench.write(IPSR, 2), fault(bench)
        assert mailbox(bench, 1) == 0x51
        assert bench.wires == []

    def test_clearing_a_bit_whose_condition_holds_sends_another(self) -> None:
        bench = messaging()
        bench.submit(BAD)
        assert mailbox(bench, 0) == 0x50
        bench.write(IPSR, 1)
        assert mailbox(bench, 0) == 0x50

    def test_a_masked_message_is_sent_when_it_is_unmasked_and_then_once(self) -> None:
        bench = messaging()
        bench.write(MSI_VEC_CTL[0], 1)
        fault(bench), bench.write(IPSR, 2), fault(bench)
        assert mailbox(bench, 0) == 0
        bench.write(MSI_VEC_CTL[0], 1)
        assert mailbox(bench, 0) == 0
        bench.write(MSI_VEC_CTL[0], 0)
        assert mailbox(bench, 0) == 0x50
        bench.write(MSI_VEC_CTL[0], 1), bench.write(MSI_VEC_CTL[0], 0)
        assert mailbox(bench, 0) == 0

    def test_unmasking_one_vector_sends_nothing_for_another(self) -> None:
        bench = messaging()
        bench.write(MSI_VEC_CTL[0], 1), bench.write(MSI_VEC_CTL[1], 1)
        fault(bench)
        bench.write(MSI_VEC_CTL[1], 0)
        assert mailbox(bench, 1) == mailbox(bench, 0) == 0

    def test_each_vector_withholds_its_own_message(self) -> None:
        bench = messaging()
        bench.write(ICVEC, 0x3210)
        bench.write(MSI_VEC_CTL[1], 1)
        fault(bench), bench.write(MSI_VEC_CTL[0], 0)
        assert mailbox(bench, 1) == mailbox(bench, 0) == 0
        bench.write(MSI_VEC_CTL[1], 0)
        assert (mailbox(bench, 0), mailbox(bench, 1)) == (0, 0x51)

    def test_the_message_leaves_behind_the_record_that_it_announces(self) -> None:
        bench = messaging(memory_ps=80_000)
        seen: list[int] = []
        bench.memory.watch(MAILBOX, lambda: seen.append(bench.record(0).cause))
        fault(bench)
        assert seen == [Cause.READ_PAGE_FAULT]

    @pytest.mark.parametrize(("be", "stored"), [(0, 0x50), (1, 0x50 << 24)])
    def test_a_message_is_in_the_order_of_fctl(self, be: int, stored: int) -> None:
        bench = messaging()
        bench.write(FCTL, Fctl.of(be=be))
        fault(bench)
        assert mailbox(bench, 0) == stored

    def test_a_message_takes_the_time_to_be_put_on_the_bus(self) -> None:
        def took(write_start: int) -> int:
            bench, times = messaging(timing={"write_start": write_start}), list[int]()
            bench.registers.watch(IPSR.offset, lambda: times.append(bench.sim.now))
            bench.memory.watch(MAILBOX, lambda: times.append(bench.sim.now))
            fault(bench)
            pending, stored = times
            return stored - pending

        assert took(30_000) - took(20_000) == 10_000

    def test_a_message_that_memory_refuses_is_a_fault_of_no_device(self) -> None:
        bench = messaging()
        bench.memory.fault("access_fault", MAILBOX, 4)
        fault(bench)
        assert bench.registers.fqt == 2
        assert bench.record(1) == FaultRecord.of(cause=Cause.MSI_WRITE_ACCESS_FAULT, iotval=MAILBOX)

    def test_refused_messages_do_not_beget_one_another_without_end(self) -> None:
        bench = messaging()
        bench.write(MSI_ADDR[0], 0)
        for n in range(3):
            fault(bench)
            bench.write(FQH, bench.registers.fqt), bench.write(IPSR, 2)
            assert bench.faults.causes == {13: n + 1, 273: n + 1}


@pytest.mark.parametrize("source", list(Interrupt))
def test_each_cause_has_a_bit_and_a_vector_of_its_own(source: Interrupt) -> None:
    bench = messaging()
    bench.write(ICVEC, 0x4567)
    bench.interrupts.raise_(source)
    bench.run()
    assert bench.read(IPSR) == 1 << source
    vector = (0x4567 >> 4 * source) & 7
    assert mailbox(bench, vector) == 0x50 + vector


def test_switching_to_messages_drops_the_levels() -> None:
    bench = Bench(capabilities=BOTH, reset=Reset(fctl=2))
    bench.enable_faults()
    fault(bench)
    bench.write(FCTL, 0)
    assert [entry[1:] for entry in bench.wires] == [(0, True), (0, False)]
