"""The fault queue's thread: every record is told once and in order, however often the queue wraps."""

from __future__ import annotations

import re

import pytest

from cosim.events import RegisterWritten
from cosim.hw.dma.transaction import Transaction
from cosim.spec.register_map import FQH, FQT
from cosim.spec.registers import Cqcsr, Interrupt
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.policies.interrupts import COMPLAINTS, COMPLAINTS_PS
from cosim.units.quantities import MS, S
from tests.sw.driver.machine import Machine


def told(machine: Machine) -> list[int]:
    """The IOVAs of the faults that were printed."""
    return [
        int(found[1], 16) for line in machine.log if (found := re.search(r"fault \d+ device .* iotval (\w+)", line))
    ]


def test_records_are_told_in_order_across_the_end_of_the_queue() -> None:
    """A queue of four records: each fault is served before the next one, and the fifth is where the first was."""
    machine = Machine(iommu={"geometry": {"cq_log2": 8, "fq_log2": 2}})
    machine.boot()
    heads: set[int] = set()
    machine.sim.probe(RegisterWritten).watch(lambda event: heads.add(event.value if event.offset == FQH.offset else 0))
    iovas = [0x4000_0000 + 0x1000 * n for n in range(9)]
    for iova in iovas:
        assert machine.read(1, iova) is None
    assert told(machine) == iovas
    assert heads == {0, 1, 2, 3}
    assert machine.iommus[0].registers.fqh == machine.iommus[0].registers.fqt == 9 % 4


def test_ten_faults_are_told_in_five_seconds_and_ten_more_in_the_next() -> None:
    machine = Machine()
    machine.boot()
    for iova in range(0x4000_0000, 0x400F_0000, 0x1_0000):
        machine.read(1, iova)
    assert len(told(machine)) == COMPLAINTS
    machine.read(1, 0x5000_0000, settle_ps=COMPLAINTS_PS)
    machine.read(1, 0x6000_0000)
    assert told(machine)[COMPLAINTS:] == [0x6000_0000]


def test_the_five_seconds_begin_with_the_first_fault_that_is_told() -> None:
    machine = Machine()
    machine.boot()
    machine.go(4 * S)
    for n in range(COMPLAINTS):
        machine.read(1, 0x4000_0000 + 0x1000 * n)
    machine.go(8 * S)
    machine.read(1, 0x5000_0000)
    machine.go(10 * S)
    machine.read(1, 0x6000_0000)
    assert told(machine)[COMPLAINTS:] == [0x6000_0000]


@pytest.mark.parametrize(("shown", "count"), [({100: 3}, 3), ({100: 257, 200: 3}, 0), ({100: 256, 200: 3}, 0)])
def test_a_tail_that_is_no_index_is_waited_for_150_ms_in_all(shown: dict[int, int], count: int) -> None:
    """256 entries have indices up to 255; at these milliseconds it changes."""
    machine = Machine(cpus=2)
    machine.boot()
    registers, iommu = machine.iommus[0].registers, machine.core.iommus["iommu0"]
    began = machine.sim.now
    registers.put(FQT, 256)

    async def changes() -> None:
        for at, index in shown.items():
            await machine.kernel.sleep(began + at * MS - machine.sim.now)
            registers.put(FQT, index)

    machine.start(changes(), "cpu1")
    found = machine.run(machine.driver.policies.interrupts.produced(IommuDevice(iommu.address), 256))
    assert found == (0, count)


@pytest.mark.parametrize(("interrupts", "told_again"), [("prints-and-clears", False), ("v2", True)])
def test_who_has_moved_the_head_back_tells_of_what_stands_there(interrupts: str, told_again: bool) -> None:
    """C12, and what follows: the next fault is told behind sixteen records that were never written."""
    machine = Machine(cells={"interrupts": interrupts})
    machine.boot()
    registers = machine.iommus[0].registers
    for index in (0x8000_0000, 0):
        registers.put(FQT, index)
        machine.iommus[0].interrupts.raise_(Interrupt.FQ)
        machine.go(machine.sim.now + 400 * MS)
    assert told(machine) == [0] * COMPLAINTS * told_again
    assert registers.fqh == 0


def test_an_overflow_is_told_and_cleared() -> None:
    """Ten faults at once, where there is room for three."""
    machine = Machine(iommu={"geometry": {"cq_log2": 8, "fq_log2": 2}})
    machine.boot()
    machine.dma(*(Transaction(1, 0x4000_0000 + 0x1000 * n, 8) for n in range(10)))
    machine.go(machine.sim.now + 1 * MS)
    assert "warning: iommu0: fault queue error: memory fault 0, overflow 1" in machine.log
    assert not machine.iommus[0].registers.fqcsr.fqof


def test_on_a_shared_wire_a_fault_wakes_the_fault_queues_thread_alone() -> None:
    machine = Machine(vectors=1)
    machine.boot()
    machine.read(1, 0x4000_0000)
    assert len(told(machine)) == 1
    assert not any("cqcsr" in line for line in machine.trace())


@pytest.mark.parametrize("error", ["cqmf", "cmd_to", "cmd_ill", "fence_w_ip", None])
def test_whatever_stops_or_interrupts_for_the_command_queue_is_told_and_cleared(error: str | None) -> None:
    """Each alone; where there is nothing, the interrupt is acknowledged and nothing is told.

    It is acknowledged once and at last: while the error is there it would come again.
    """
    machine = Machine()
    machine.boot()
    registers = machine.iommus[0].registers
    registers.cqcsr = Cqcsr.of(cqen=1, cie=1, cqon=1, **({error: 1} if error else {}))
    machine.trace()
    machine.run(machine.driver.policies.interrupts.cmdq_process(machine.driver, machine.core.iommus["iommu0"]))
    names = {"cqmf": "memory fault", "cmd_to": "time-out", "cmd_ill": "illegal", "fence_w_ip": "fence interrupt"}
    wanted = ", ".join(f"{name} {int(error == field)}" for field, name in names.items())
    assert machine.log == ([f"warning: iommu0: command queue error: {wanted}"] if error else [])
    assert registers.cqcsr == Cqcsr.of(cqen=1, cie=1, cqon=1)
    does = [line.partition("=")[0] for line in machine.trace()]
    assert does == ["R cqcsr", *["W cqcsr"] * bool(error), "W ipsr"]
