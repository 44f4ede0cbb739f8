"""Structures in memory in either byte order: `fctl.be` for the directory and the queues, `tc.sbe` for page tables."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.hw.dma.transaction import Status
from cosim.hw.iommu.byte_order import both_orders, swapped
from cosim.hw.iommu.warl import Reset
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.spec.faults import Cause
from cosim.spec.pagetable import PAGE, SV32, SV39, Pte, Scheme
from cosim.spec.queues import FaultRecord, Iofence
from cosim.spec.register_map import CQB, CQCSR, CQT, FCTL
from cosim.spec.registers import QueueBase
from tests.hw.iommu.harness import DATA, DRAM, FAULTS, LEAF, System

RING, FLAG = DRAM + 0x8_0000, DRAM + 0x9_0000
AD = Pte.of(a=1, d=1)


class BiEndian(System):
    """An IOMMU with capabilities.END, and software that writes each structure in the order that it is told."""

    def __init__(
        self, be: int, sbe: int, scheme: Scheme = SV39, *, flags: int = LEAF, sade: int = 0, **options: Any
    ) -> None:
        super().__init__(levels=2, capabilities={"end": 1}, reset=Reset(be_writable=1, gxl_writable=1), **options)
        self.iommu.registers.write(FCTL.offset, 4, self.iommu.registers.fctl.replace(be=be))
        self.first_stage = self.device(1, scheme, sbe=sbe, sade=sade)
        self.leaf = self.first_stage.map(0x1000, DATA, flags=flags)
        for table in [self.ddte(1, level) & -PAGE for level in range(self.levels)]:
            self.turn(table, PAGE, be)
        for table in [self.first_stage.pte(0x1000, level) & -PAGE for level in range(scheme.levels)]:
            self.turn(table, PAGE, sbe, scheme.pte_size)

    def turn(self, address: int, size: int, big: int, word: int = 8) -> None:
        """Bring words that are little-endian in memory into the other order."""
        for at in range(address, address + size, word) if big else ():
            self.poke(at, swapped((self.peek(at, word),), word)[0], word)

    def peek_in(self, address: int, big: int, size: int = 8) -> int:
        """What memory holds there in that order."""
        word = self.peek(address, size)
        return swapped((word,), size)[0] if big else word


def test_words_are_turned_each_by_itself() -> None:
    assert swapped((0x0102030405060708, 1), 16) == (0x0807060504030201, 1 << 56)
    assert swapped((0x01020304,), 4) == (0x04030201,)


def test_whoever_looks_at_memory_by_the_big_endian_way_finds_and_leaves_words_in_that_order() -> None:
    system = System()
    straight, turned = (way.route(DATA, 8).target for way in both_orders(system.bus.port("debugger")))
    turned.poke(DATA, 8, 0x0102030405060708)
    turned.poke(DATA + 4, 4, 0x0A0B0C0D)
    assert straight.peek(DATA, 8) == system.peek(DATA) == 0x0D0C0B0A_04030201
    assert turned.peek(DATA, 4) == 0x01020304


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("scheme", [SV32, SV39], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("sbe", [0, 1])
@pytest.mark.parametrize("be", [0, 1])
def test_a_request_is_translated_whatever_the_orders(be: int, sbe: int, scheme: Scheme, executor: Any) -> None:
    assert BiEndian(be, sbe, scheme, executor=executor).translate(0x1040).address == DATA + 0x40


def test_a_page_table_in_the_wrong_order_is_not_valid() -> None:
    system = BiEndian(be=1, sbe=1)
    system.turn(system.leaf, 8, 1)
    assert system.translate(0x1000).status is Status.UR


@pytest.mark.parametrize("scheme", [SV32, SV39], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("sbe", [0, 1])
def test_hardware_sets_a_and_d_in_the_order_of_the_table(sbe: int, scheme: Scheme) -> None:
    system = BiEndian(0, sbe, scheme, flags=LEAF & ~AD, sade=1)
    assert system.dma(0x1000, write=True).status is Status.SUCCESS
    assert system.peek_in(system.leaf, sbe, scheme.pte_size) & AD == AD


@pytest.mark.parametrize("be", [0, 1])
def test_commands_records_and_the_data_of_a_fence_are_in_the_order_of_fctl(be: int) -> None:
    system = BiEndian(be, sbe=0)
    registers = system.iommu.registers
    registers.write(CQB.offset, 8, QueueBase.placed(RING, 16, 16))
    registers.write(CQCSR.offset, 4, 1)
    system.run()
    for n, word in enumerate(Iofence.c(addr=FLAG, data=0x12345678)):
        system.poke(RING + 8 * n, word)
    system.turn(RING, 16, be)
    registers.write(CQT.offset, 4, 1)
    system.translate(0x5000)
    assert registers.cqh.index == 1
    assert system.peek_in(FLAG, be, 4) == 0x12345678
    record = FaultRecord(system.peek_in(FAULTS + 8 * n, be) for n in range(4))
    assert (record.cause, record.did, record.iotval) == (Cause.READ_PAGE_FAULT, 1, 0x5000)
