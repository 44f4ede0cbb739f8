"""The consumer of commands: order, time, what each command asks for, errors and how the queue resumes."""

import pickle
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import CommandExecuted, CommandFetched, QueueDepth
from cosim.hw.iommu.faults import NotImplementedCapability
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.spec.queues import Ats, Command, Iodir, Iofence, Iotinval
from cosim.spec.register_map import CQB, CQCSR, CQH, CQT, DDTP, IPSR
from cosim.spec.registers import Capabilities, Cqcsr, Ddtp, Igs, IommuMode, QueueBase
from tests.hw.iommu.register_bench import FLAG, RING, Bench

STAGE_TWO = Capabilities.of(version=0x10, sv39=1, sv39x4=1, pas=46, igs=Igs.WSI, pd20=1, ats=1, nl=1, s=1)
TIMING = {"command_fetch": 20_000, "invalidate_entry": 40_000, "invalidate_all": 200_000, "fence": 30_000}
PAGE = Iotinval.vma(pscid=1, addr=0x1000)


def consumer(**options: Any) -> Bench:
    bench = Bench(**options)
    bench.enable()
    return bench


class TestInOrder:
    def test_a_command_takes_hold_after_its_fetch_and_its_own_time_and_then_the_head_passes_it(self) -> None:
        bench = consumer(timing=TIMING, memory_ps=80_000, hop_ps=10_000)
        seen: list[Any] = []
        bench.sim.probe(CommandFetched).watch(seen.append)
        bench.sim.probe(CommandExecuted).watch(seen.append)
        bench.registers.watch(CQH.offset, lambda: seen.append((bench.sim.now, int(bench.registers.cqh))))
        bench.submit(PAGE, Iotinval.vma(), rest=False)
        woken = bench.sim.now  # the write took hold a tick ago, and it takes a tick to wake the consumer
        bench.run()
        fetched = woken + 80_000 + 2 * 10_000
        executed = fetched + 20_000 + 40_000
        second = executed + 80_000 + 2 * 10_000
        first_words, second_words = PAGE.words(), Iotinval.vma().words()
        assert seen == [
            CommandFetched(fetched, "iommu0", 0, first_words),
            CommandExecuted(executed, "iommu0", 0, first_words, "iotinval_vma"),
            (executed, 1),
            CommandFetched(second, "iommu0", 1, second_words),
            CommandExecuted(second + 20_000 + 200_000, "iommu0", 1, second_words, "iotinval_vma"),
            (second + 20_000 + 200_000, 2),
        ]

    def test_commands_are_fetched_from_where_the_queue_is_hardwired(self) -> None:
        bench = Bench(hardwired={"cqb": FLAG})
        bench.enable()  # which writes another address
        for n, word in enumerate(Iodir.inval_ddt(7)):
            bench.memory.poke(FLAG + 8 * n, 8, word)
        bench.write(CQT, 1)
        assert bench.translation.done == [("ddt", 7)]

    def test_commands_take_hold_in_the_order_of_the_ring_and_wrap_around(self) -> None:
        bench = consumer()
        for n in range(20):
            bench.submit(Iodir.inval_ddt(n), Iodir.inval_ddt(100 + n))
        assert bench.translation.done == [("ddt", x) for n in range(20) for x in (n, 100 + n)]
        assert bench.registers.cqh == 40 % 8

    def test_an_idle_consumer_costs_nothing(self) -> None:
        bench = consumer(timing=TIMING)
        bench.submit(PAGE)
        assert not bench.sim.env._queue  # nothing is scheduled: nothing polls
        assert bench.registers.cqh == 1

    def test_the_consumer_is_the_same_under_the_plain_executor(self) -> None:
        def log(executor: Any) -> list[Any]:
            bench = Bench(executor=executor, timing=TIMING, memory_ps=80_000)
            bench.enable()
            bench.submit(PAGE, Iofence.c(pr=1), Iodir.inval_ddt(3))
            bench.submit(Iotinval.vma(), Iofence.c(addr=FLAG, data=7))
            return bench.translation.log

        assert log(Plain) == log(Agenda)


class TestBursts:
    """One read brings several commands (`command_burst`)."""

    def fetched(self, bench: Bench) -> list[tuple[int, int]]:
        """The time and the index of each command that is fetched from now on."""
        seen: list[tuple[int, int]] = []
        bench.sim.probe(CommandFetched).watch(lambda event: seen.append((event.time, event.index)))
        return seen

    def test_commands_that_came_with_another_take_no_read_of_their_own(self) -> None:
        bench = consumer(timing={**TIMING, "beat": 1_000}, memory_ps=80_000, geometry={"command_burst": 4})
        fetched, executed = self.fetched(bench), list[tuple[int, int]]()
        bench.sim.probe(CommandExecuted).watch(lambda event: executed.append((event.time, event.index)))
        bench.submit(*map(Iodir.inval_ddt, range(6)), rest=False)
        first = bench.sim.now + 80_000
        bench.run()
        each = 20_000 + 40_000
        second = first + 7 * 1_000 + 4 * each + 80_000
        assert fetched == [(first, n) for n in range(4)] + [(second, n) for n in (4, 5)]
        begun = [first + 7 * 1_000] * 4 + [second + 3 * 1_000] * 2
        assert executed == [(at + (1 + n % 4) * each, n) for n, at in enumerate(begun)]

    def test_a_read_brings_what_there_is_up_to_the_end_of_the_ring(self) -> None:
        bench = consumer(memory_ps=80_000, geometry={"command_burst": 64})
        bench.submit(*map(Iodir.inval_ddt, range(5)))
        fetched = self.fetched(bench)
        bench.submit(*map(Iodir.inval_ddt, range(5, 10)))
        assert [index for _, index in fetched] == [5, 6, 7, 0, 1]
        times = [time for time, _ in fetched]
        assert times[0] == times[2] < times[3] == times[4]
        assert bench.translation.done == [("ddt", n) for n in range(10)]

    def test_what_was_read_behind_an_illegal_command_is_read_again(self) -> None:
        bench = consumer(geometry={"command_burst": 8})
        bench.submit(Iodir.inval_ddt(1), ILLEGAL["an unknown opcode"], Iodir.inval_ddt(3))
        for n, word in enumerate((*Iodir.inval_ddt(2), *Iodir.inval_ddt(4))):
            bench.memory.poke(RING + 16 + 8 * n, 8, word)
        bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1, cmd_ill=1))
        assert bench.translation.done == [("ddt", 1), ("ddt", 2), ("ddt", 4)]

    def test_what_was_read_is_forgotten_when_the_queue_is_turned_off(self) -> None:
        bench = consumer(geometry={"command_burst": 8})
        bench.translation.pending.shut()
        bench.submit(Iofence.c(), Iodir.inval_ddt(1))
        bench.write(CQCSR, 0)
        bench.translation.pending.open()
        bench.run()
        for n, word in enumerate((*Iodir.inval_ddt(5), *Iodir.inval_ddt(6))):
            bench.memory.poke(RING + 8 * n, 8, word)
        bench.write(CQCSR, 3)
        assert [entry for entry in bench.translation.done if entry[0] == "ddt"] == [("ddt", 5), ("ddt", 6)]

    def test_if_memory_refuses_the_read_none_of_its_commands_is_carried_out(self) -> None:
        bench = consumer(geometry={"command_burst": 8})
        bench.memory.fault("access_fault", RING + 16, 16)
        bench.submit(Iodir.inval_ddt(1), Iodir.inval_ddt(2))
        assert bench.registers.cqcsr.cqmf
        assert (bench.registers.cqh, bench.translation.done) == (0, [])
        bench.memory.clear_faults()
        bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1, cqmf=1))
        assert bench.translation.done == [("ddt", 1), ("ddt", 2)]


class TestFences:
    def test_a_fence_takes_its_own_time_while_what_it_waits_for_is_under_way(self) -> None:
        bench = consumer(timing=TIMING)
        bench.translation.pending.shut()
        bench.submit(Iofence.c(), rest=False)
        bench.run(bench.sim.now + 1_000_000)
        bench.translation.pending.open()
        bench.run(bench.sim.now + 10)
        assert bench.registers.cqh == 1

    def test_cqh_has_passed_a_fence_that_interrupts_when_it_does(self) -> None:
        bench = consumer()
        seen: list[tuple[int, int]] = []
        bench.registers.watch(IPSR.offset, lambda: seen.append((bench.registers.ipsr.cip, int(bench.registers.cqh))))
        bench.submit(Iofence.c(wsi=1))
        assert seen == [(1, 1)]


class TestDecoding:
    @settings(derandomize=True, deadline=None, max_examples=20)
    @given(
        pscid=st.none() | st.integers(0, (1 << 20) - 1),
        gscid=st.none() | st.integers(0, (1 << 16) - 1),
        addr=st.none() | st.integers(0, (1 << 52) - 1).map(lambda page: page << 12),
        nl=st.integers(0, 1),
    )
    def test_iotinval_vma_arrives_with_every_combination_of_operands(
        self, pscid: int | None, gscid: int | None, addr: int | None, nl: int
    ) -> None:
        bench = consumer(capabilities=STAGE_TWO)
        command = Iotinval.vma(pscid=pscid, gscid=gscid, addr=addr, nl=nl)
        bench.submit(command)
        assert bench.translation.done == [("vma", command)]

    def test_directory_commands_arrive_with_their_operands(self) -> None:
        bench = consumer(capabilities=STAGE_TWO)
        bench.submit(Iodir.inval_ddt(), Iodir.inval_ddt(0xABCDEF), Iodir.inval_pdt(5, 0xFFFFF), Iotinval.gvma(gscid=2))
        assert bench.translation.done == [
            ("ddt", None),
            ("ddt", 0xABCDEF),
            ("pdt", 5, 0xFFFFF),
            ("gvma", Iotinval.gvma(gscid=2)),
        ]

    def test_each_command_is_counted_under_its_name(self) -> None:
        bench = consumer(capabilities=STAGE_TWO)
        bench.submit(Iodir.inval_ddt(), Iodir.inval_pdt(5, 1), PAGE, Iotinval.gvma(), Iofence.c(), Iofence.c())
        assert bench.commands.counts == {
            **dict.fromkeys(("iodir_inval_ddt", "iodir_inval_pdt", "iotinval_vma", "iotinval_gvma"), 1),
            "iofence": 2,
        }

    def test_an_ats_command_says_that_it_is_not_implemented(self) -> None:
        bench = consumer(capabilities=STAGE_TWO)
        with pytest.raises(NotImplementedCapability, match="ATS"):
            bench.submit(Ats.inval(1))


ILLEGAL = {
    "an unknown opcode": Command((0x1F, 0)),
    "an unknown function": Command((0x181, 0)),
    "a reserved bit": Command((0x801, 0)),
    "NL where there is no such extension": Iotinval.vma(nl=1),
    "a range where there is no such extension": Iotinval.vma(addr=0x4000, pages_lg2=2),
    "PSCV in IOTINVAL.GVMA": Iotinval.gvma().replace(pscv=1),
    "PID in IODIR.INVAL_DDT": Iodir.inval_ddt(1).replace(pid=1),
    "IODIR.INVAL_PDT without a device": Iodir.inval_pdt(1, 1).replace(dv=0),
    "IODIR.INVAL_PDT where there is no process directory": Iodir.inval_pdt(1, 0),
    "IOTINVAL.GVMA where there is no second stage": Iotinval.gvma(),
    "ATS where there is none": Ats.inval(1),
}


class TestIllegalCommands:
    def test_the_queue_stands_in_that_error_from_the_first_try_until_the_command_is_passed(self) -> None:
        """Clearing the bit has the command fetched again: between two tries the queue is no better off."""
        bench = consumer(timing=TIMING)
        queue = bench.commands.queue
        bench.submit(Iodir.inval_ddt(1), ILLEGAL["an unknown opcode"], Iodir.inval_ddt(3))
        (error,) = queue.errors()
        assert (error.name, error.entries) == ("iommu0.cqcsr.cmd_ill", 2)
        assert pickle.loads(pickle.dumps(error)) == error, "results go from process to process"
        failed = bench.sim.now
        assert error.since_ps <= failed
        bench.registers.put(CQCSR, Cqcsr.of(cqen=1, cie=1, cqon=1))
        assert not bench.registers.cqcsr.cmd_ill
        assert queue.errors() == [error]
        bench.sim.env.run()
        assert bench.registers.cqcsr.cmd_ill
        assert queue.errors() == [error]
        bench.memory.poke(RING + 16, 8, Iodir.inval_ddt(2)[0])
        found: list[tuple[int, list[Any]]] = []
        bench.registers.watch(CQH.offset, lambda: found.append((int(bench.registers.cqh), queue.errors())))
        bench.registers.put(CQCSR, Cqcsr.of(cqen=1, cie=1, cqon=1))
        bench.sim.env.run()
        assert found == [(2, []), (3, [])], "passed, it is no error of the command behind it"

    @pytest.mark.parametrize("command", ILLEGAL.values(), ids=ILLEGAL)
    def test_it_stops_the_queue_at_the_command_until_it_is_replaced_and_the_error_cleared(
        self, command: Command
    ) -> None:
        bench = consumer()
        bench.submit(Iodir.inval_ddt(1), command, Iodir.inval_ddt(3))
        assert bench.registers.cqh == 1
        assert bench.registers.cqcsr == Cqcsr.of(cqen=1, cie=1, cqon=1, cmd_ill=1)
        assert bench.read(IPSR) == 1
        assert bench.translation.done == [("ddt", 1)]

        bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1, cmd_ill=1))
        assert bench.registers.cqcsr.cmd_ill, "the command is still there, and is fetched again"
        assert bench.commands.counts["illegal"] == 2

        for n, word in enumerate(Iodir.inval_ddt(2)):
            bench.memory.poke(RING + 16 + 8 * n, 8, word)
        bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1, cmd_ill=1))
        assert bench.translation.done == [("ddt", 1), ("ddt", 2), ("ddt", 3)]
        assert bench.registers.cqh == 3

    def test_a_device_id_wider_than_the_directory_is_illegal_and_one_that_fits_is_not(self) -> None:
        bench = consumer()
        bench.write(DDTP, Ddtp.of(iommu_mode=IommuMode.LVL1))
        bench.submit(Iodir.inval_ddt(127))
        assert not bench.registers.cqcsr.cmd_ill
        bench.submit(Iodir.inval_ddt(128))
        assert bench.registers.cqcsr.cmd_ill

    def test_more_commands_do_not_wake_a_queue_that_is_stopped(self) -> None:
        bench = consumer()
        bench.submit(Command((0, 0)))
        bench.submit(Iodir.inval_ddt(1))
        assert bench.translation.done == []
        assert bench.registers.cqh == 0


class TestMemoryFaults:
    @pytest.mark.parametrize("kind", ["access_fault", "corrupt"])
    def test_a_command_that_cannot_be_read_stops_the_queue_until_the_bit_is_cleared(self, kind: Any) -> None:
        bench = consumer()
        bench.memory.fault(kind, RING + 16, 16)
        bench.submit(Iodir.inval_ddt(1), Iodir.inval_ddt(2))
        assert bench.registers.cqh == 1
        assert bench.registers.cqcsr.cqmf
        bench.memory.clear_faults()
        bench.run()
        assert bench.registers.cqh == 1, "only software gets the queue going again"
        bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1, cqmf=1))
        assert bench.registers.cqh == 2
        assert bench.translation.done == [("ddt", 1), ("ddt", 2)]

    def test_a_ring_where_there_is_no_memory_is_a_memory_fault(self) -> None:
        bench = Bench()
        bench.write(CQB, QueueBase.placed(0x4000_0000, 8, Command.SIZE))
        bench.write(CQCSR, 1)
        bench.write(CQT, 1)
        assert bench.registers.cqcsr.cqmf


class TestTurningOnAndOff:
    def test_on_follows_the_enable_when_the_time_of_the_change_has_passed_and_off_likewise(self) -> None:
        bench = Bench(timing={"busy": 500_000})
        bench.write(CQB, QueueBase.placed(RING, 8, Command.SIZE))
        on = Cqcsr.of(cqen=1, cie=1, cqon=1)
        for value, turning, turned in ((3, on.replace(cqon=0, busy=1), on), (0, Cqcsr.of(cqon=1, busy=1), 0)):
            bench.write(CQCSR, value, rest=False)
            written = bench.sim.now - 1
            assert bench.registers.cqcsr == turning
            bench.run(written + 500_000)
            assert bench.registers.cqcsr == turning
            bench.run(written + 500_000 + 2 - value % 2)  # to be off takes a tick more, as nobody must be at work
            assert bench.registers.cqcsr == turned

    def test_enabling_resets_the_head_and_the_errors_but_not_the_tail(self) -> None:
        bench = consumer()
        bench.submit(Iodir.inval_ddt(1), Iodir.inval_ddt(2), Command((0, 0)))
        assert bench.registers.cqh == 2
        bench.write(CQCSR, 0)
        assert not bench.registers.cqcsr.cqon
        assert bench.registers.cqcsr.cmd_ill, "turning off clears nothing"
        bench.translation.log.clear()
        bench.write(CQCSR, 1)
        assert bench.translation.done == [("ddt", 1), ("ddt", 2)], "a stale tail makes old commands run again"
        assert bench.registers.cqh == 2

    def test_what_was_begun_is_finished_before_the_queue_is_off(self) -> None:
        bench = consumer(timing={"busy": 50_000})
        bench.translation.pending.shut()
        bench.submit(Iofence.c(), Iodir.inval_ddt(1))
        bench.write(CQCSR, 0)
        assert bench.registers.cqcsr == Cqcsr.of(cqon=1, busy=1)
        bench.translation.pending.open()
        bench.run(bench.sim.now + 10)
        assert bench.registers.cqcsr == 0
        assert bench.registers.cqh == 1
        assert ("ddt", 1) not in bench.translation.done

    def test_a_write_while_busy_is_ignored(self) -> None:
        bench = Bench(timing={"busy": 500_000})
        bench.write(CQCSR, 3, rest=False)
        bench.write(CQCSR, 0)
        assert bench.registers.cqcsr == Cqcsr.of(cqen=1, cie=1, cqon=1)

    def test_the_base_of_a_queue_can_be_changed_only_while_the_queue_is_off(self) -> None:
        bench = consumer()
        base = bench.registers.cqb
        bench.write(CQB, QueueBase.placed(FLAG, 16, Command.SIZE))
        bench.registers.write(CQB.offset + 4, 4, 1)  # nor half of it
        assert bench.registers.cqb == base
        bench.write(CQCSR, 0), bench.write(CQB, QueueBase.placed(FLAG, 16, Command.SIZE))
        assert bench.registers.cqb != base

    def test_commands_queued_before_the_queue_is_on_run_once_it_is(self) -> None:
        bench = Bench(timing={"busy": 500_000})
        bench.write(CQB, QueueBase.placed(RING, 8, Command.SIZE))
        bench.submit(Iodir.inval_ddt(1))
        assert bench.translation.done == []
        bench.write(CQCSR, 1)
        assert bench.translation.done == [("ddt", 1)]


class TestOccupancy:
    def test_the_depth_is_told_at_each_change_and_its_integral_is_kept(self) -> None:
        bench = consumer(timing=TIMING, memory_ps=80_000)
        seen: list[QueueDepth] = []
        bench.sim.probe(QueueDepth).watch(seen.append)
        bench.submit(PAGE, PAGE, PAGE)
        bench.submit(PAGE)
        assert [event.depth for event in seen] == [3, 2, 1, 0, 1, 0]
        assert {event.who for event in seen} == {"iommu0.cq"}
        integral = sum(a.depth * (b.time - a.time) for a, b in pairwise(seen))
        assert bench.commands.queue.occupancy == integral > 0

    def test_what_is_in_the_queue_counts_up_to_this_moment(self) -> None:
        """Also while nothing changes: here the queue is off, and keeps the command that it holds."""
        bench = Bench()
        bench.write(CQT, 1)
        before, began = bench.commands.queue.occupancy, bench.sim.now
        bench.run(began + 1_000_000)
        assert bench.commands.queue.occupancy - before == 1_000_000
