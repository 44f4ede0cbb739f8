"""The register file: what each access kind does, what is absent, what is legal (chapter 6 of the specification)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import RegisterChanged, RegisterRead, RegisterWritten
from cosim.hw.iommu.faults import NotImplementedCapability
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.registers import RegisterFile
from cosim.hw.iommu.warl import Reset
from cosim.sim.simulation import Sim
from cosim.sim.transport import AccessKind, Response
from cosim.spec.bits import FieldAccess
from cosim.spec.register_map import (
    CAPABILITIES,
    CQB,
    CQCSR,
    CQH,
    CQT,
    DDTP,
    FCTL,
    FQB,
    FQCSR,
    FQH,
    FQT,
    ICVEC,
    IOCOUNTINH,
    IOCOUNTOVF,
    IOHPMCTR,
    IOHPMCYCLES,
    IOHPMEVT,
    IOMMU_QOSID,
    IPSR,
    MSI_ADDR,
    MSI_DATA,
    PQB,
    PQCSR,
    PQH,
    PQT,
    REGISTERS,
    TR_REQ_CTL,
    TR_REQ_IOVA,
)
from cosim.spec.registers import Capabilities, Ddtp, Fctl, Igs, IommuMode, QueueBase
from cosim.units.quantities import NS
from tests.hw.iommu.register_bench import BASE, Bench

EVERYTHING = Capabilities.of(
    version=0x10, sv39=1, pas=46, igs=Igs.BOTH, ats=1, hpm=1, dbg=1, qosid=1, msi_flat=1, sv39x4=1, end=1
)
BARE = Capabilities.of(version=0x10, sv39=1, pas=46, igs=Igs.WSI)
ONES = (1 << 64) - 1


def register_file(capabilities: Capabilities = EVERYTHING, **reset: int) -> RegisterFile:
    options = IommuOptions.model_validate({"kind": "iommu", "base": BASE})
    return RegisterFile(Sim(), "iommu0", options, capabilities=capabilities, reset=Reset(**reset))


def test_capabilities_are_what_the_options_say() -> None:
    options = {"kind": "iommu", "base": BASE, "capabilities": {"sv57": False, "igs": "both", "pas": 40}}
    registers = RegisterFile(Sim(), "iommu0", IommuOptions.model_validate(options))
    assert registers.capabilities == Capabilities.of(version=0x10, sv39=1, sv48=1, igs=Igs.BOTH, pas=40)


def test_capabilities_cannot_be_written() -> None:
    registers = register_file()
    registers.write(CAPABILITIES.offset, 8, ONES)
    assert registers.read(CAPABILITIES.offset, 8) == EVERYTHING


def test_the_end_of_a_queue_that_the_iommu_moves_cannot_be_written() -> None:
    registers = register_file()
    for base in (CQB, FQB, PQB):
        registers.write(base.offset, 8, QueueBase.placed(0x1000, 16, 16))
    for index, moved in ((CQH, 0), (CQT, 3), (FQH, 3), (FQT, 0), (PQH, 3), (PQT, 0)):
        registers.write(index.offset, 4, 3)
        assert registers.read(index.offset, 4) == moved


def test_either_half_of_a_register_can_be_accessed_alone() -> None:
    registers = register_file()
    registers.write(CQB.offset + 4, 4, 0x1)
    registers.write(CQB.offset, 4, 0x12345C03)
    assert registers.read(CQB.offset, 8) == 0x1_1234_5C03
    registers.write(CQB.offset, 4, 0x345C07)
    assert registers.cqb == 0x1_0034_5C07


QUIET = sorted(set(REGISTERS) - {"cqcsr", "fqcsr", "pqcsr", "ddtp", "ipsr", "tr_req_ctl"})


@settings(derandomize=True, deadline=None, max_examples=70)
@given(name=st.sampled_from(QUIET), values=st.lists(st.integers(0, ONES), min_size=1, max_size=4))
def test_a_write_of_eight_bytes_is_a_write_of_the_high_half_and_then_of_the_low_one(name: str, values: Any) -> None:
    whole, halves = register_file(qosid_mask=0xFFF), register_file(qosid_mask=0xFFF)
    offset = REGISTERS[name].offset & ~7
    for value in values:
        whole.write(offset, 8, value)
        halves.write(offset + 4, 4, value >> 32)
        halves.write(offset, 4, value & 0xFFFF_FFFF)
        assert whole.read(offset, 8) == halves.read(offset + 4, 4) << 32 | halves.read(offset, 4)


def test_of_eight_bytes_over_two_registers_the_high_one_is_written_first() -> None:
    registers, order = register_file(), list[str]()
    for register in (CQCSR, FQCSR):
        registers.on_write(register, lambda old, new, name=register.name: order.append(name))
    registers.write(CQCSR.offset, 8, 0)
    assert order == ["fqcsr", "cqcsr"]


@settings(derandomize=True, deadline=None, max_examples=70)
@given(name=st.sampled_from(sorted(REGISTERS)), value=st.integers(0, ONES))
def test_reserved_and_read_only_bits_never_take_what_is_written(name: str, value: int) -> None:
    registers, register = register_file(), REGISTERS[name]
    before = registers.read(register.offset, register.size)
    if name != "tr_req_ctl":
        registers.write(register.offset, register.size, value & (1 << 8 * register.size) - 1)
    after = registers.read(register.offset, register.size)
    assert not after & register.layout.RESERVED
    for field in register.layout.FIELDS.values():
        if field.access.name in ("RO", "WPRI"):
            assert field.get(after) == field.get(before)


@pytest.mark.parametrize("offset", [1024, 2048, 4088, 628, 688])
def test_reserved_offsets_read_zero_whatever_is_written(offset: int) -> None:
    registers = register_file()
    before = {name: registers.value(register) for name, register in REGISTERS.items()}
    registers.write(offset, 4, 0xFFFF_FFFF)
    registers.poke(BASE + offset, 4, 0xFFFF_FFFF)
    assert registers.read(offset, 4) == registers.peek(BASE + offset, 4) == 0
    assert before == {name: registers.value(register) for name, register in REGISTERS.items()}


@pytest.mark.parametrize(
    "register",
    [IOCOUNTINH, IOHPMCYCLES, IOHPMCTR[1], IOHPMEVT[31], TR_REQ_IOVA, TR_REQ_CTL, IOMMU_QOSID, PQCSR, MSI_ADDR[3]],
    ids=lambda register: register.name,
)
def test_an_optional_register_that_is_absent_reads_zero_and_ignores_writes(register: Any) -> None:
    registers = register_file(BARE)
    registers.write(register.offset, register.size, ONES >> 64 - 8 * register.size)
    assert registers.read(register.offset, register.size) == 0


def test_an_optional_register_that_is_present_holds_what_is_written() -> None:
    registers = register_file(qosid_mask=0x0FFF_0FFF)
    for register in (IOHPMCTR[1], IOMMU_QOSID, MSI_DATA[7], TR_REQ_IOVA):
        registers.write(register.offset, register.size, 0x1000)
        expected = 0x1000 & 0x0FFF_0FFF if register is IOMMU_QOSID else 0x1000
        assert registers.read(register.offset, register.size) == expected


class TestWhatIsLegal:
    def test_a_queue_tells_how_long_it_can_be(self) -> None:
        bench = Bench(geometry={"cq_log2": 10, "fq_log2": 7})
        bench.write(CQB, ONES), bench.write(FQB, ONES)
        assert bench.registers.cqb.entries == 1 << 10
        assert bench.registers.fqb.entries == 1 << 7

    def test_a_page_number_has_the_bits_of_the_physical_address_space(self) -> None:
        registers = register_file(EVERYTHING.replace(pas=34))
        registers.write(CQB.offset, 8, 0x1_1234_5C03)
        assert registers.read(CQB.offset, 8) == 0x1234_5C03

    @pytest.mark.parametrize("register", [CQB, FQB, PQB, DDTP], ids=lambda register: register.name)
    def test_a_hardwired_page_number_reads_back_whatever_is_written(self, register: Any) -> None:
        """From reset on, and in either half; the other fields are as writable as ever."""
        ppn = 0x1_2345_6789
        registers = register_file(**{f"{register.name}_ppn": ppn})
        other = register_file()
        for size, offset, value in ((8, 0, 0), (8, 0, 0x80003 << 10 | 1), (4, 4, 0xFF), (4, 0, 2), (8, 0, 0x1F)):
            assert register.layout(registers.value(register)).ppn == ppn
            registers.write(register.offset + offset, size, value)
            other.write(register.offset + offset, size, value)
            assert registers.value(register) == registers.value(register).replace(ppn=ppn)
            assert registers.value(register).replace(ppn=0) == other.value(register).replace(ppn=0)
        assert register.layout(registers.value(register)).ppn == ppn

    def test_a_page_number_is_hardwired_in_the_register_that_the_options_name_and_in_no_other(self) -> None:
        for name in ("cqb", "fqb", "ddtp"):
            registers = Bench(hardwired={name: 0x0200_4000}).registers
            held = {register.name: register.layout(registers.value(register)).ppn for register in (CQB, FQB, DDTP)}
            assert held == {"cqb": 0, "fqb": 0, "ddtp": 0} | {name: 0x2004}

    def test_an_absent_base_reads_zero_though_it_is_hardwired(self) -> None:
        assert register_file(BARE, pqb_ppn=0x2004).read(PQB.offset, 8) == 0

    def test_the_index_of_a_queue_has_as_many_bits_as_the_queue_needs(self) -> None:
        registers = register_file()
        registers.write(CQB.offset, 8, QueueBase.placed(0x8000_0000, 32, 16))
        registers.write(CQT.offset, 4, 0xFFFF_FFFF)
        assert registers.cqt == 31
        registers.write(CQB.offset, 8, QueueBase.placed(0x8000_0000, 4, 16))
        assert registers.cqt == 3

    def test_a_directory_deeper_than_this_iommu_has_leaves_the_mode(self) -> None:
        """And the page number is what was written."""
        registers = register_file(ddtp_max_iommu_mode=IommuMode.LVL2)
        held = {IommuMode.LVL3: IommuMode.OFF, IommuMode.LVL2: IommuMode.LVL2, 9: IommuMode.LVL2}
        for ppn, mode in enumerate(held, 0x80000):
            registers.write(DDTP.offset, 8, Ddtp.of(iommu_mode=mode, ppn=ppn))
            assert (registers.ddtp.iommu_mode, registers.ddtp.ppn) == (held[mode], ppn)

    @pytest.mark.parametrize("register", [CQCSR, FQCSR, PQCSR], ids=lambda register: register.name)
    def test_an_error_of_a_queue_that_is_on_stays_until_a_1_is_written_there(self, register: Any) -> None:
        """Whatever else is written; to turn the queue on clears it as well."""
        registers, errors = register_file(), register.layout.ACCESS[FieldAccess.RW1C]
        for held, written, left in ((1, 1, errors), (1, 3, errors), (1, 3 | errors, 0), (0, 2, errors), (0, 3, 0)):
            registers.put(register, held | errors)
            registers.write(register.offset, 4, written)
            assert registers.value(register) & errors == left

    @pytest.mark.parametrize(("igs", "writable"), [(Igs.MSI, False), (Igs.WSI, False), (Igs.BOTH, True)])
    def test_wires_or_messages_can_be_chosen_only_where_both_exist(self, igs: Igs, writable: bool) -> None:
        registers = register_file(EVERYTHING.replace(igs=igs))
        registers.write(FCTL.offset, 4, 0)
        assert registers.fctl.wsi == (not writable)

    @pytest.mark.parametrize("gxl_writable", [0, 1])
    def test_gxl_takes_a_write_only_where_it_is_not_hardwired(self, gxl_writable: int) -> None:
        registers = register_file(gxl_writable=gxl_writable)
        registers.write(FCTL.offset, 4, Fctl.of(gxl=1))
        assert registers.fctl.gxl == gxl_writable

    def test_a_vector_has_as_many_bits_as_there_are_vectors(self) -> None:
        registers = register_file(icvec_bits=2)
        registers.write(ICVEC.offset, 8, 0x1234)
        assert registers.icvec == 0x1230
        registers.write(MSI_DATA[3].offset, 4, 5), registers.write(MSI_DATA[4].offset, 4, 5)
        assert registers.value(MSI_DATA[3]) == 5
        assert registers.value(MSI_DATA[4]) == 0

    def test_only_counters_that_exist_hold_anything(self) -> None:
        registers = register_file(hpm_event_counters=2, hpm_counter_bits=36, hpm_max_event_id=8)
        for register in (IOHPMCTR[2], IOHPMCTR[3], IOCOUNTINH):
            registers.write(register.offset, register.size, ONES >> 64 - 8 * register.size)
        assert registers.value(IOHPMCTR[2]) == (1 << 36) - 1
        assert registers.value(IOHPMCTR[3]) == 0
        assert registers.value(IOCOUNTINH) == 0b111
        registers.write(IOHPMEVT[1].offset, 8, 8), registers.write(IOHPMEVT[1].offset, 8, 9)
        assert registers.value(IOHPMEVT[1]).eventid == 8

    def test_overflow_bits_are_shadowed_together(self) -> None:
        registers = register_file()
        registers.write(IOHPMEVT[3].offset, 8, 1 << 63), registers.write(IOHPMCYCLES.offset, 8, 1 << 63)
        assert registers.value(IOCOUNTOVF) == 1 << 3 | 1
        registers.write(IOHPMCYCLES.offset, 8, 0)
        assert registers.value(IOCOUNTOVF) == 1 << 3


class TestDdtp:
    def test_busy_lasts_as_long_as_the_change_takes(self) -> None:
        bench = Bench(timing={"busy": 500_000})
        bench.write(DDTP, Ddtp.of(iommu_mode=IommuMode.BARE), rest=False)
        written = bench.sim.now - 1
        assert bench.registers.ddtp.iommu_mode == IommuMode.BARE
        bench.run(written + 1 + 500_000)
        assert bench.registers.ddtp.busy
        bench.run(written + 1 + 500_000 + 1)
        assert not bench.registers.ddtp.busy

    def test_a_write_while_busy_is_ignored(self) -> None:
        bench = Bench(timing={"busy": 500_000})
        bench.write(DDTP, Ddtp.of(iommu_mode=IommuMode.BARE), rest=False)
        bench.write(DDTP, Ddtp.of(iommu_mode=IommuMode.LVL1, ppn=1))
        assert bench.registers.ddtp == Ddtp.of(iommu_mode=IommuMode.BARE)

    def test_the_high_half_may_be_written_first(self) -> None:
        bench = Bench(timing={"busy": 500_000})
        bench.issue(AccessKind.WRITE, BASE + DDTP.offset + 4, 4, 2), bench.soon()
        bench.issue(AccessKind.WRITE, BASE + DDTP.offset, 4, 0x1DDC02), bench.soon()
        bench.run()
        assert bench.registers.ddtp == 0x2_001D_DC02

    def test_off_is_reached_when_all_that_was_processed_is_committed(self) -> None:
        bench = Bench(timing={"busy": 1000})
        bench.write(DDTP, Ddtp.of(iommu_mode=IommuMode.BARE))
        bench.translation.pending.shut()
        bench.write(DDTP, Ddtp.of(iommu_mode=IommuMode.OFF))
        assert bench.translation.done == [("settle", True, True)]
        assert bench.registers.ddtp.busy
        bench.translation.pending.open()
        bench.run()
        assert not bench.registers.ddtp.busy


class TestOnTheBus:
    @pytest.mark.parametrize(("offset", "size"), [(2, 4), (4, 8), (9, 4), (0, 16)])
    def test_an_access_that_is_misaligned_or_of_another_size_is_refused(self, offset: int, size: int) -> None:
        bench = Bench()
        access = bench.issue(AccessKind.READ, BASE + offset, size)
        bench.run()
        assert access.response is Response.ACCESS_FAULT
        assert access.value == 0

    def test_eight_bytes_over_two_registers_are_two_accesses(self) -> None:
        bench = Bench()
        bench.write(CQB, QueueBase.placed(0x8000_0000, 16, 16))
        bench.issue(AccessKind.WRITE, BASE + 32, 8, 5 << 32 | 7), bench.soon()
        access = bench.issue(AccessKind.READ, BASE + 32, 8)
        bench.run()
        assert access.value == 5 << 32

    def test_accesses_are_served_one_after_the_other(self) -> None:
        bench = Bench(timing={"register_access": 5000})
        done: list[tuple[int, int]] = []
        for n in range(3):
            access = bench.issue(AccessKind.READ, BASE + IPSR.offset, 4)
            access.on_commit = lambda access, n=n: done.append((n, bench.sim.now))  # type: ignore[misc]
        bench.run()
        assert done == [(0, 5001), (1, 10_001), (2, 15_001)]

    def test_accesses_that_come_at_once_note_how_long_they_have_waited_and_not_what_they_take(self) -> None:
        bench = Bench(timing={"register_access": 5000})
        accesses = [bench.issue(AccessKind.READ, BASE + IPSR.offset, 4) for _ in range(3)]
        bench.run()
        assert [access.waited_ps for access in accesses] == [0, 5000, 10_000]

    def test_an_atomic_is_refused_and_changes_nothing(self) -> None:
        bench = Bench()
        access = bench.issue(AccessKind.CAS, BASE + CQT.offset, 4, 0, 1)
        bench.run()
        assert (access.response, bench.registers.cqt) == (Response.ACCESS_FAULT, 0)

    def test_each_access_is_told_with_what_was_written_and_by_whom_before_what_it_brings_about(self) -> None:
        """Not what was refused."""
        bench = Bench(timing={"register_access": 5000})
        seen: list[Any] = []
        for event in (RegisterWritten, RegisterRead, RegisterChanged):
            bench.sim.probe(event).watch(seen.append)
        bench.registers.on_write(CQB, lambda old, new: seen.append((int(old), int(new))))
        before, held = int(bench.registers.cqb), 0x5C03
        bench.write(CQB, held)
        bench.read(FQH)
        for kind in (AccessKind.READ, AccessKind.WRITE):
            bench.issue(kind, BASE + CQB.offset + 2, 4, 1)
            bench.run()
        assert seen == [
            RegisterWritten(5001, "iommu0", 24, 8, held, "cpu0"),
            RegisterChanged(5001, "iommu0", "cqb", held),
            (before, held),
            RegisterRead(10_002, "iommu0", 48, 4, 0, "cpu0"),
        ]


class TestWatching:
    def test_a_watcher_is_called_when_the_value_changes_and_not_otherwise(self) -> None:
        registers = register_file()
        seen: list[int] = []
        stop = registers.watch(BASE + ICVEC.offset, lambda: seen.append(int(registers.icvec)))
        registers.write(ICVEC.offset, 8, 0x21)
        registers.write(ICVEC.offset, 8, 0x21)
        registers.put(ICVEC, 0x10)
        stop(), stop()
        registers.put(ICVEC, 0)
        assert seen == [0x21, 0x10]

    def test_an_index_that_stalls_is_all_ones_to_software_for_as_long_and_who_waits_for_it_is_told(self) -> None:
        registers = register_file()
        registers.put(FQT, 3)
        told: list[int] = []
        registers.watch(BASE + FQT.offset, lambda: told.append(registers.sim.now))
        registers.stall(FQT, 10 * NS, 5 * NS)
        shown: list[int] = []
        for time in (9 * NS, 11 * NS, 14 * NS, 16 * NS):
            registers.sim.env.run(until=time)
            shown.append(registers.read(FQT.offset, 4))
        assert shown == [3, 0xFFFF_FFFF, 0xFFFF_FFFF, 3]
        registers.stall(FQT, 12 * NS, 2 * NS)  # that time has passed: from the next tick on
        registers.sim.env.run()
        assert told == [10 * NS, 15 * NS, 16 * NS + 1, 18 * NS + 1]
        assert registers.fqt == 3

    def test_debug_access_changes_a_register_without_effects(self) -> None:
        registers = register_file()
        registers.poke(BASE + CQCSR.offset, 4, 1 << 16)
        assert registers.peek(BASE + CQCSR.offset, 4) == 1 << 16
        registers.poke(BASE + CQB.offset, 4, 5)
        registers.poke(BASE + CQB.offset + 4, 4, 7)
        assert registers.peek(BASE + CQB.offset, 8) == 7 << 32 | 5
        registers.poke(BASE + CQB.offset, 4, 6)
        assert registers.peek(BASE + CQB.offset, 8) == 7 << 32 | 6


class TestWhatIsNotImplemented:
    def test_starting_a_debug_translation_says_so(self) -> None:
        with pytest.raises(NotImplementedCapability, match="DBG"):
            register_file().write(TR_REQ_CTL.offset, 8, 1)
