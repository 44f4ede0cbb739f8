"""The fault queue: what a record holds, and what becomes of faults that cannot be recorded (3.2, 6.15)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import FaultRecorded
from cosim.hw.dma.transaction import Request, Transaction
from cosim.hw.iommu.fault_queue import record_of
from cosim.hw.iommu.faults import Fault
from cosim.sim.ranks import Stage
from cosim.spec.faults import Cause, Ttyp
from cosim.spec.queues import FaultRecord
from cosim.spec.register_map import FQB, FQCSR, FQH, FQT, IPSR
from cosim.spec.registers import Fqcsr, QueueBase
from tests.hw.iommu.register_bench import FAULTS, FLAG, Bench

MISSING = Fault(Cause.READ_PAGE_FAULT)


def read(device_id: int = 5, iova: int = 0x4000_0123) -> Transaction:
    return Transaction(device_id, iova, 64)


def recorder(*, log2_entries: int = 3, **options: Any) -> Bench:
    bench = Bench(**options)
    bench.enable_faults(log2_entries=log2_entries)
    return bench


class TestRecords:
    @pytest.mark.parametrize(("process", "privileged"), [(0x54321, True), (0x54321, False), (0, True), (0, False)])
    def test_a_record_says_who_asked_for_what_and_where(self, process: int, privileged: bool) -> None:
        bench = recorder()
        txn = Transaction(0xABCDEF, 0x1234_5678_9ABC, 64, write=True, process_id=process, privileged=privileged)
        bench.report(Fault(Cause.WRITE_PAGE_FAULT, iotval2=0x8888), txn)
        assert bench.record(0) == FaultRecord.of(
            cause=Cause.WRITE_PAGE_FAULT,
            ttyp=Ttyp.UNTRANSLATED_WRITE,
            did=0xABCDEF,
            pv=1,
            pid=process,
            priv=int(privileged),
            iotval=0x1234_5678_9ABC,
            iotval2=0x8888,
        )

    def test_a_record_goes_where_the_queue_is_hardwired(self) -> None:
        bench = recorder(hardwired={"fqb": FLAG})  # which writes another address
        bench.report(MISSING, read())
        assert bench.memory.peek(FLAG, 32)
        assert not bench.memory.peek(FAULTS, 32)

    def test_without_a_process_its_fields_are_zero(self) -> None:
        assert record_of(MISSING, Transaction(1, 0, 4, privileged=True)).fields() | {"iotval": 0} == (
            FaultRecord.of(cause=Cause.READ_PAGE_FAULT, ttyp=Ttyp.UNTRANSLATED_READ, did=1).fields()
        )

    def test_a_fault_that_no_transaction_caused_has_no_device(self) -> None:
        fault = Fault(Cause.MSI_WRITE_ACCESS_FAULT, iotval=0xB000_0000)
        assert record_of(fault, None) == FaultRecord.of(cause=Cause.MSI_WRITE_ACCESS_FAULT, iotval=0xB000_0000)

    @pytest.mark.parametrize(("given_", "iotval"), [(None, 0x4000_0123), (0, 0), (0xB000_0000, 0xB000_0000)])
    def test_a_fault_may_say_itself_where_it_was_met(self, given_: int | None, iotval: int) -> None:
        """Of no transaction that is 0, if nobody says."""
        fault = Fault(Cause.READ_PAGE_FAULT, iotval=given_, iotval2=0x8888)
        assert record_of(fault, read()).iotval == iotval
        alone = FaultRecord.of(cause=Cause.READ_PAGE_FAULT, iotval=given_ or 0, iotval2=0x8888)
        assert record_of(fault, None) == alone

    @pytest.mark.parametrize(
        ("request_", "write", "execute", "ttyp"),
        [
            (Request.UNTRANSLATED, False, True, Ttyp.UNTRANSLATED_EXECUTE),
            (Request.UNTRANSLATED, False, False, Ttyp.UNTRANSLATED_READ),
            (Request.UNTRANSLATED, True, False, Ttyp.UNTRANSLATED_WRITE),
            (Request.TRANSLATED, False, True, Ttyp.TRANSLATED_EXECUTE),
            (Request.TRANSLATED, False, False, Ttyp.TRANSLATED_READ),
            (Request.TRANSLATED, True, False, Ttyp.TRANSLATED_WRITE),
            (Request.ATS, False, False, Ttyp.ATS_REQUEST),
        ],
    )
    def test_the_type_of_the_transaction(self, request_: Request, write: bool, execute: bool, ttyp: Ttyp) -> None:
        txn = Transaction(1, 0, 4, write=write, execute=execute, request=request_)
        assert record_of(MISSING, txn).ttyp == ttyp

    def test_records_follow_one_another_and_wrap_around(self) -> None:
        bench = recorder(log2_entries=1)
        for n in range(5):
            bench.report(MISSING, read(device_id=n))
            assert bench.record(n % 2).did == n
            assert bench.registers.fqt == (n + 1) % 2
            bench.write(FQH, (n + 1) % 2)

    def test_a_record_is_complete_in_memory_before_the_tail_moves(self) -> None:
        bench = recorder(memory_ps=80_000, hop_ps=10_000)
        seen: list[Any] = []
        bench.registers.watch(FQT.offset, lambda: seen.append((bench.record(0).cause, int(bench.registers.fqt))))
        bench.report(MISSING, read())
        assert seen == [(Cause.READ_PAGE_FAULT, 1)]

    def test_faults_met_at_the_same_time_have_a_record_each(self) -> None:
        bench = recorder(memory_ps=80_000)
        initiator = bench.sim.initiator("devices")
        for n in range(3):
            bench.sim.start(bench.faults.report(MISSING, read(device_id=n)), initiator.rank(Stage.TRANSACTION))
        bench.run()
        assert [bench.record(n).did for n in range(3)] == [0, 1, 2]
        assert bench.registers.fqt == 3


class TestWhatIsNotReported:
    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(cause=st.sampled_from(Cause), dtf=st.booleans())
    def test_dtf_suppresses_the_causes_that_depend_on_the_context(self, cause: Cause, dtf: bool) -> None:
        """The table of causes, column "Reported if DTF is 1?"."""
        always = {256, 257, 258, 259, 268, 272, 273}
        bench = recorder()
        bench.report(Fault(cause, dtf=dtf), read())
        assert bench.registers.fqt == (not dtf or cause in always)
        assert bench.faults.lost == 0

    def test_nothing_is_recorded_while_the_queue_is_off(self) -> None:
        bench = Bench()
        bench.report(MISSING, read())
        assert bench.registers.fqt == 0
        assert bench.faults.lost == 1
        assert bench.read(IPSR) == 0

    def test_a_fault_that_no_transaction_caused_is_told_with_what_its_record_says(self) -> None:
        bench = recorder()
        seen: list[FaultRecorded] = []
        bench.sim.probe(FaultRecorded).watch(seen.append)
        for iotval in (0xB000_0000, None):
            bench.report(Fault(Cause.MSI_WRITE_ACCESS_FAULT, iotval=iotval))
        assert [(event.device_id, event.iova, event.ttyp) for event in seen] == [(0, 0xB000_0000, 0), (0, 0, 0)]

    def test_a_fault_is_told_whether_or_not_it_is_recorded(self) -> None:
        bench = recorder(log2_entries=1)
        seen: list[FaultRecorded] = []
        bench.sim.probe(FaultRecorded).watch(seen.append)
        kept_back = Fault(Cause.READ_PAGE_FAULT, dtf=True)
        for fault in (kept_back, MISSING, MISSING, Fault(Cause.DDT_NOT_VALID)):
            bench.report(fault, read())
        told = [(event.cause, event.recorded, event.reported) for event in seen]
        assert told == [(13, False, False), (13, True, True), (13, False, True), (258, False, True)]
        assert {(each.who, each.device_id, each.iova, each.ttyp) for each in seen} == {("iommu0", 5, 0x4000_0123, 2)}
        assert bench.faults.causes == {13: 3, 258: 1}
        assert (bench.faults.kept_back, bench.faults.recorded, bench.faults.lost) == (1, 1, 2)


class TestOverflow:
    def test_a_fault_that_finds_the_queue_full_is_lost_and_so_are_all_until_the_bit_is_cleared(self) -> None:
        bench = recorder(log2_entries=2)
        for n in range(4):
            bench.report(MISSING, read(device_id=n))
        assert bench.registers.fqt == 3
        assert bench.registers.fqcsr == Fqcsr.of(fqen=1, fie=1, fqon=1, fqof=1)
        bench.write(FQH, 3)
        bench.report(MISSING, read(device_id=8))
        assert bench.registers.fqt == 3, "there is room again, but the bit is still set"
        bench.write(FQCSR, Fqcsr.of(fqen=1, fie=1, fqof=1))
        bench.report(MISSING, read(device_id=9))
        assert bench.registers.fqt == 0
        assert bench.record(3).did == 9
        assert (bench.faults.recorded, bench.faults.lost) == (4, 2)

    @pytest.mark.parametrize(("refused", "error"), [(False, Fqcsr.of(fqof=1)), (True, Fqcsr.of(fqmf=1))])
    def test_the_fault_at_which_the_queue_fails_is_told_with_the_error_that_it_has_set(
        self, refused: bool, error: int
    ) -> None:
        bench = recorder(log2_entries=1)
        seen: list[FaultRecorded] = []
        bench.sim.probe(FaultRecorded).watch(seen.append)
        bench.report(MISSING, read())
        if refused:
            bench.write(FQH, 1)
            bench.memory.fault("access_fault", FAULTS, 64)
        bench.report(MISSING, read())
        on = Fqcsr.of(fqen=1, fie=1, fqon=1)
        assert [(event.recorded, event.fqcsr) for event in seen] == [(True, on), (False, on | error)]

    def test_a_queue_that_stands_in_an_error_says_since_when_it_does(self) -> None:
        """Cleared, the error is gone, whatever is still in the queue; the next overflow is an error of its own."""
        bench = recorder(log2_entries=1)
        queue = bench.faults.queue
        bench.report(MISSING, read())
        assert queue.errors() == []
        bench.report(MISSING, read())
        (first,) = queue.errors()
        assert (first.name, first.entries) == ("iommu0.fqcsr.fqof", 1)
        bench.write(FQCSR, Fqcsr.of(fqen=1, fie=1, fqof=1))
        assert queue.errors() == []
        bench.sim.env.run(until=bench.sim.now + 500)
        bench.report(MISSING, read())
        (second,) = queue.errors()
        assert second.since_ps >= first.since_ps + 500

    def test_a_record_that_memory_refuses_is_lost_and_so_are_all_until_the_bit_is_cleared(self) -> None:
        bench = recorder()
        bench.memory.fault("access_fault", FAULTS, 32)
        bench.report(MISSING, read()), bench.memory.clear_faults()
        bench.report(MISSING, read())
        assert bench.registers.fqt == 0
        assert bench.registers.fqcsr == Fqcsr.of(fqen=1, fie=1, fqon=1, fqmf=1)
        bench.write(FQCSR, Fqcsr.of(fqen=1, fie=1, fqmf=1))
        bench.report(MISSING, read())
        assert bench.registers.fqt == 1

    @settings(derandomize=True, deadline=None, max_examples=30)
    @given(st.lists(st.sampled_from(["fault", "drain", "clear"]), max_size=30))
    def test_the_queue_behaves_as_a_bounded_list(self, steps: list[str]) -> None:
        bench = recorder(log2_entries=2)
        waiting, overflow, n = [], False, 0
        for step in steps:
            if step == "fault":
                n += 1
                bench.report(MISSING, read(device_id=n))
                overflow = overflow or len(waiting) == 3
                waiting += [] if overflow else [n]
            elif step == "drain":
                bench.write(FQH, bench.registers.fqt)
                waiting = []
            else:
                bench.write(FQCSR, Fqcsr.of(fqen=1, fie=1, fqof=1))
                overflow = False
            head, tail = int(bench.registers.fqh), int(bench.registers.fqt)
            assert [bench.record((head + k) % 4).did for k in range((tail - head) % 4)] == waiting
            assert bench.registers.fqcsr.fqof == overflow


class TestTurningOnAndOff:
    def test_a_queue_whose_base_was_never_written_has_the_two_entries_that_the_register_says(self) -> None:
        bench = Bench(hardwired={"fqb": FAULTS})
        bench.write(FQCSR, 1)
        for overflow in (0, 1):
            bench.report(MISSING, read(device_id=overflow))
            assert bench.record(0).did == 0
            assert bench.registers.fqt == 1
            assert bench.registers.fqcsr == Fqcsr.of(fqen=1, fqon=1, fqof=overflow)

    def test_enabling_clears_the_tail_and_the_errors(self) -> None:
        bench = recorder(log2_entries=1)
        bench.report(MISSING, read()), bench.report(MISSING, read())
        bench.write(FQCSR, 0)
        assert bench.registers.fqcsr == Fqcsr.of(fqof=1)
        bench.write(FQCSR, 1)
        assert bench.registers.fqcsr == Fqcsr.of(fqen=1, fqon=1)
        assert bench.registers.fqt == 0

    def test_a_record_on_its_way_is_written_before_the_queue_is_off(self) -> None:
        bench = recorder(memory_ps=1_000_000)
        bench.sim.start(bench.faults.report(MISSING, read()), bench.sim.initiator("nic0").rank(Stage.TRANSACTION))
        bench.run(bench.sim.now + 1000)
        bench.write(FQCSR, 0, rest=False)
        assert bench.registers.fqcsr == Fqcsr.of(fqon=1, busy=1)
        bench.run()
        assert bench.registers.fqcsr == 0
        assert bench.registers.fqt == 1
        assert bench.record(0).cause == Cause.READ_PAGE_FAULT

    def test_the_largest_queue_that_the_hardware_has_bounds_what_software_asks_for(self) -> None:
        bench = Bench(geometry={"fq_log2": 2})
        bench.write(FQB, QueueBase.placed(FAULTS, 64, FaultRecord.SIZE))
        bench.write(FQCSR, 1)
        for n in range(5):
            bench.report(MISSING, read(device_id=n))
        assert bench.registers.fqt == 3
