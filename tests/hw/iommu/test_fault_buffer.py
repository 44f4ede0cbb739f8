"""What a fault makes the request wait for: its record, or, with a buffer, only room for it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.spec.register_map import FQCSR
from tests.hw.iommu.harness import FAULTS, NS, System

LOOKUP, START, BEAT, ANSWER, MEMORY = 2 * NS, 3 * NS, 1 * NS, 5 * NS, 100 * NS
RECORD = START + 3 * BEAT + MEMORY
"""What it takes to write one."""

TOO_WIDE = 1 << 20
TIMING = {"lookup": LOOKUP, "write_start": START, "beat": BEAT, "fault_answer": ANSWER}


class Machine(System):
    """Its requests have a device_id that is too wide for the directory: each faults at its look-up."""

    def __init__(self, executor: Any, turnaround: int = 0, lose: str = "0", **geometry: int) -> None:
        super().__init__(
            timing=TIMING | {"record_turnaround": turnaround},
            geometry=geometry,
            defects={"lose_buffered": lose},
            memory_ps=0,
            write_ps=MEMORY,
            executor=executor,
        )
        self.recorded = self.record_times()

    def answered(self, count: int) -> list[int]:
        """When requests of as many devices, made at the same time, are refused, from then on."""
        start = self.sim.now + 1000 * NS
        txns = [self.request(0x1000, TOO_WIDE, at_ps=start) for _ in range(count)]
        self.run()
        self.recorded[:] = [time - start for time in self.recorded]
        return [self.ended[txn] - start for txn in txns]


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_without_a_buffer_each_request_waits_until_its_record_is_written(executor: Any) -> None:
    machine = Machine(executor)
    tick = 1
    assert machine.answered(2) == [LOOKUP + RECORD + ANSWER, LOOKUP + 2 * RECORD + tick + ANSWER]
    assert machine.recorded == [LOOKUP + RECORD, LOOKUP + 2 * RECORD + tick]


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_with_a_buffer_requests_are_answered_while_their_records_are_written(executor: Any) -> None:
    machine = Machine(executor, fault_buffer=2)
    assert machine.answered(2) == [LOOKUP + ANSWER] * 2
    assert machine.recorded == [LOOKUP + RECORD, LOOKUP + 2 * RECORD]


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_a_request_that_finds_the_buffer_full_waits_for_a_record(executor: Any) -> None:
    machine = Machine(executor, fault_buffer=2)
    tick = 1
    assert machine.answered(4)[2:] == [LOOKUP + RECORD + tick + ANSWER, LOOKUP + 2 * RECORD + tick + ANSWER]
    assert machine.recorded == [LOOKUP + n * RECORD for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_the_next_record_is_begun_a_turnaround_after_the_one_before_it(executor: Any) -> None:
    machine = Machine(executor, turnaround=4 * NS, fault_buffer=2)
    period = RECORD + 4 * NS
    assert machine.answered(4)[2:] == [LOOKUP + n * period + ANSWER for n in (1, 2)]
    assert machine.recorded == [LOOKUP + RECORD + n * period for n in range(4)]
    machine = Machine(executor, turnaround=4 * NS)
    assert machine.answered(2) == [LOOKUP + RECORD + ANSWER, LOOKUP + RECORD + period + ANSWER]
    assert machine.answered(1) == [LOOKUP + RECORD + ANSWER], "the queue has been idle for long"


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_a_record_that_memory_refuses_takes_its_time_and_the_turnaround_behind_it(executor: Any) -> None:
    """The fault behind it, lost since the queue has stopped, waits for its place in the buffer as ever."""
    machine = Machine(executor, turnaround=4 * NS, fault_buffer=1)
    machine.memory.fault("access_fault", FAULTS, 32)
    assert machine.answered(2) == [LOOKUP + ANSWER, LOOKUP + RECORD + 4 * NS + ANSWER]
    assert machine.iommu.fault_queue.lost == 2


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("buffer", [0, 4])
def test_the_recorder_is_busy_from_a_fault_until_the_turnaround_behind_its_record(executor: Any, buffer: int) -> None:
    """At every moment, so that no step of a series has one that is busy for longer than the step."""
    machine = Machine(executor, turnaround=20 * NS, fault_buffer=buffer)
    start = machine.sim.now + 1000 * NS
    for _ in range(2):
        machine.request(0x1000, TOO_WIDE, at_ps=start)
    busy = [0]
    for step in range(40):
        machine.run(start + LOOKUP + step * 10 * NS)
        busy.append(machine.iommu.fault_queue.busy_ps)
    steps = [round((new - old) / NS) for old, new in pairwise(busy)]
    whole, rest = divmod(2 * (RECORD + 20 * NS), 10 * NS)
    assert steps == [0] + [10] * whole + [round(rest / NS)] + [0] * (38 - whole)


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_the_queue_can_be_turned_off_once_its_last_record_is_written_however_many_were_buffered(executor: Any) -> None:
    took = set()
    for count in (1, 4):
        machine = Machine(executor, fault_buffer=4)
        start, queue = machine.sim.now + 1000 * NS, machine.iommu.fault_queue
        for _ in range(count):
            machine.request(0x1000, TOO_WIDE, at_ps=start)
        last = start + LOOKUP + count * RECORD
        machine.run(last)
        assert not queue.idle
        machine.iommu.registers.write(FQCSR.offset, 4, 0)
        machine.run()
        assert queue.idle
        assert (machine.iommu.registers.fqcsr, queue.recorded) == (0, count)
        took.add(machine.sim.now - last)
    assert len(took) == 1


def test_every_fault_is_in_the_queue_in_order() -> None:
    machine = Machine(Agenda, fault_buffer=4)
    for n in range(20):
        machine.request(0x1000 * n, TOO_WIDE, at_ps=machine.sim.now + NS)
    machine.run()
    assert [record.iotval for record in machine.faults()] == [0x1000 * n for n in range(20)]
    assert machine.iommu.fault_queue.recorded == 20


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_defective_hardware_gives_its_buffer_away_while_it_waits(executor: Any) -> None:
    """The first who waits goes 80 ns after a record was sent, since memory answers only after 100."""
    machine = Machine(executor, lose="40 ns", fault_buffer=4)
    assert machine.answered(4) == [LOOKUP + ANSWER] * 4
    assert machine.recorded == [LOOKUP + n * RECORD for n in (1, 2)]
    assert machine.iommu.fault_queue.lost == 2
    machine.recorded.clear()
    assert machine.answered(4) == [LOOKUP + ANSWER] * 4, "all places are free again"


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_who_finds_the_buffer_full_of_defective_hardware_waits_and_is_lost(executor: Any) -> None:
    machine = Machine(executor, lose="40 ns", fault_buffer=1)
    lost = LOOKUP + RECORD - MEMORY + 80 * NS
    assert machine.answered(2) == [LOOKUP + ANSWER, lost + ANSWER]
    assert machine.recorded == [LOOKUP + RECORD]


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize(("count", "after_ps", "lost"), [(1, -1, 1), (1, 0, 1), (2, 0, 1), (1, 1, 0)])
def test_of_those_who_come_as_defective_hardware_gives_a_fault_away_one_is_lost(
    executor: Any, count: int, after_ps: int, lost: int
) -> None:
    machine = Machine(executor, lose="40 ns", fault_buffer=4)
    start = machine.sim.now + 1000 * NS
    for at in (0, *[RECORD - MEMORY + 80 * NS + after_ps] * count):
        machine.request(0x1000, TOO_WIDE, at_ps=start + at)
    machine.run()
    assert machine.iommu.fault_queue.lost == lost
    assert [time - start for time in machine.recorded] == [LOOKUP + n * RECORD for n in range(1, 2 + count - lost)]


def test_a_defective_buffer_is_free_again_after_faults_that_the_queue_does_not_take() -> None:
    machine = Machine(Agenda, lose="40 ns", fault_buffer=1)
    machine.iommu.registers.write(FQCSR.offset, 4, 0)
    machine.run()
    assert [machine.answered(1) for _ in range(3)] == [[LOOKUP + ANSWER]] * 3
    assert machine.iommu.fault_queue.lost == 3
