"""The consumer of commands where it fails or is held up: what is counted and told, and what a stall stops."""

from typing import Any

from cosim.events import CommandExecuted, CommandPassed, QueueFailed
from cosim.spec.queues import Command, Iodir, Iofence, Iotinval
from cosim.spec.register_map import CQCSR, CQT
from cosim.spec.registers import Cqcsr
from tests.hw.iommu.register_bench import FLAG, RING, Bench

TIMING = {"command_fetch": 20_000, "invalidate_entry": 40_000, "invalidate_all": 200_000, "fence": 30_000}
PAGE = Iotinval.vma(pscid=1, addr=0x1000)
ILLEGAL = Command((0x1F, 0))


def consumer(**options: Any) -> Bench:
    bench = Bench(**options)
    bench.enable()
    return bench


def test_an_illegal_command_that_is_taken_back_is_no_error_once_the_bit_is_cleared() -> None:
    """Nothing is in the queue then that could fail again."""
    bench = consumer()
    bench.submit(ILLEGAL)
    bench.write(CQT, 0)
    assert [error.entries for error in bench.commands.queue.errors()] == [0]
    bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1, cmd_ill=1))
    assert bench.commands.queue.errors() == []


def test_who_watches_is_told_of_each_command_and_of_a_failure_where_it_stands() -> None:
    bench = consumer()
    seen: list[tuple[str, int]] = []
    for event in (CommandExecuted, CommandPassed, QueueFailed):
        bench.sim.probe(event).watch(lambda told: seen.append((type(told).__name__, told.index)))
    bench.submit(Iodir.inval_ddt(1), Iofence.c(), ILLEGAL)
    done = [(what, index) for index in (0, 1) for what in ("CommandExecuted", "CommandPassed")]
    assert seen == [*done, ("QueueFailed", 2)]


def test_each_try_that_memory_refused_is_counted_of_a_fetch_and_of_the_store_of_a_fence() -> None:
    bench = consumer()
    bench.memory.fault("access_fault", FLAG, 4)
    bench.submit(Iofence.c(addr=FLAG))
    assert bench.commands.counts == {"memory_faults": 1}
    bench.memory.fault("access_fault", RING, 16)
    bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1, cqmf=1))
    assert bench.commands.counts == {"memory_faults": 2}


def test_the_first_command_at_or_after_the_time_is_held_up_and_no_other() -> None:
    bench = consumer(timing=TIMING)
    bench.commands.stall(1_000_000, 7_000_000)
    bench.submit(PAGE)
    assert bench.sim.now < 1_000_000
    bench.run(2_000_000)
    bench.submit(PAGE, PAGE)
    times = [time for time, *_ in bench.translation.log]
    assert times[1] == 2_000_000 + 3 + 7_000_000 + 1 + 20_000 + 40_000
    assert times[2] == times[1] + 1 + 20_000 + 40_000
    assert bench.commands.stalled_ps == 7_000_000


def test_several_durations_hold_up_as_many_commands() -> None:
    bench = consumer()
    bench.commands.stall(0, 5_000_000, 3_000_000)
    bench.submit(PAGE, PAGE, PAGE)
    times = [time // 1_000_000 for time, *_ in bench.translation.log]
    assert times == [5, 8, 8]


def test_a_stalled_queue_that_is_disabled_stays_on_until_the_stall_is_over() -> None:
    bench = consumer()
    bench.commands.stall(0, 5_000_000)
    bench.submit(PAGE, rest=False)
    bench.write(CQCSR, 0, rest=False)
    bench.run(4_900_000)
    assert bench.registers.cqcsr == Cqcsr.of(cqon=1, busy=1)
    bench.run()
    assert bench.registers.cqcsr == 0
    assert bench.translation.done == [], "a command that was not fetched is not carried out"


def test_stalls_come_in_the_order_of_their_times_whichever_was_asked_for_first() -> None:
    bench = consumer()
    bench.commands.stall(10_000_000, 3_000_000)
    bench.commands.stall(0, 5_000_000)
    bench.submit(PAGE)
    bench.run(10_000_000)
    bench.submit(PAGE)
    assert [time // 1_000_000 for time, *_ in bench.translation.log] == [5, 13]
