"""The consumer of commands where it may do as it likes: out of order, when a schedule holds it, and with defects."""

from typing import Any

import pytest

from cosim.events import CommandExecuted, CommandPassed
from cosim.hw.iommu.command_order import OutOfOrder
from cosim.sim.chooser import Chooser, Scheduled
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.task import Routine
from cosim.spec.queues import Iodir, Iofence, Iotinval
from cosim.spec.register_map import CQCSR
from tests.hw.iommu.register_bench import FLAG, RING, Bench
from tests.hw.iommu.test_commands import STAGE_TWO, TIMING, consumer


class TestOutOfOrder:
    def order(self, latitude: str, seed: int) -> list[Any]:
        bench = Bench(chooser=Chooser(seed), timing=TIMING, latitude={"out_of_order": latitude})
        bench.enable(log2_entries=4)
        bench.submit(*(Iodir.inval_ddt(n) for n in range(6)), Iofence.c(), Iodir.inval_ddt(9))
        return bench.translation.done

    def test_commands_overtake_one_another_but_never_a_fence(self) -> None:
        orders = [self.order("on", seed) for seed in range(8)]
        assert any(order != sorted(order[:6]) + order[6:] for order in orders)
        for order in orders:
            assert sorted(order[:6]) == [("ddt", n) for n in range(6)]
            assert order[6:] == [("settle", False, False), ("ddt", 9)]

    def test_each_waits_for_any_time_up_to_the_longest(self) -> None:
        """No wait at all takes a tick, as one of a tick does."""
        begun = set[int]()

        def waits(seed: int) -> None:
            sim = Sim(Chooser(seed))
            order = OutOfOrder(sim, "iommu0", 3)

            def invalidate() -> Routine:
                begun.add(sim.now)
                yield from ()

            sim.start(order.carry_out(invalidate(), lambda: None), sim.initiator("iommu0").rank(Stage.COMMAND))
            sim.env.run()

        for seed in range(40):
            waits(seed)
        assert begun == {min(begun) - 1 + waited for waited in (1, 2, 3)}

    def test_without_the_latitude_they_never_do(self) -> None:
        for seed in range(8):
            assert self.order("off", seed)[:6] == [("ddt", n) for n in range(6)]

    def test_a_schedule_that_holds_a_command_lets_the_next_one_overtake_it(self) -> None:
        def order(latitude: str) -> list[Any]:
            schedule = Scheduled(0, {"iommu0.exec#0": 2})
            bench = Bench(chooser=schedule, hold_ps=1_000_000, latitude={"out_of_order": latitude})
            bench.enable()
            bench.sim.explore()
            bench.submit(Iodir.inval_ddt(1), Iodir.inval_ddt(2), Iofence.c())
            return bench.translation.done[:2]

        assert order("explore") == [("ddt", 2), ("ddt", 1)]
        assert order("off") == [("ddt", 1), ("ddt", 2)]

    def test_the_head_passes_what_is_still_under_way_and_says_so(self) -> None:
        schedule = Scheduled(0, {"iommu0.exec#0": 2})
        bench = Bench(chooser=schedule, hold_ps=1_000_000, latitude={"out_of_order": "explore"})
        seen: list[Any] = []
        bench.sim.probe(CommandExecuted).watch(lambda event: seen.append(("executed", event.index)))
        bench.sim.probe(CommandPassed).watch(lambda event: seen.append(("passed", event.index)))
        bench.enable()
        bench.sim.explore()
        bench.submit(Iodir.inval_ddt(1), Iodir.inval_ddt(2), Iofence.c())
        assert seen == [("passed", 0), ("passed", 1), ("executed", 1), ("executed", 0), ("executed", 2), ("passed", 2)]

    def test_no_more_than_eight_are_under_way_at_once(self) -> None:
        schedule = Scheduled(0, {f"iommu0.exec#{n}": 2 for n in range(8)})
        bench = Bench(chooser=schedule, hold_ps=1_000_000, latitude={"out_of_order": "explore"})
        bench.enable(log2_entries=4)
        bench.sim.explore()
        bench.submit(*(Iodir.inval_ddt(n) for n in range(12)), rest=False)
        bench.run(500_000)
        assert bench.registers.cqh == 8
        bench.run()
        assert bench.registers.cqh == len(bench.translation.done) == 12

    def test_the_queue_is_not_off_while_a_command_is_under_way(self) -> None:
        schedule = Scheduled(0, {"iommu0.exec#0": 2})
        bench = Bench(chooser=schedule, hold_ps=1_000_000, latitude={"out_of_order": "explore"})
        bench.enable()
        bench.sim.explore()
        bench.submit(Iodir.inval_ddt(1), rest=False)
        bench.run(500_000)
        assert bench.registers.cqh == 1, "the head passes a command that is decoded"
        bench.write(CQCSR, 0, rest=False)
        bench.run(900_000)
        assert bench.registers.cqcsr.cqon
        bench.run()
        assert not bench.registers.cqcsr.cqon
        assert bench.translation.done == [("ddt", 1)]


class TestActions:
    def test_fetches_and_executions_are_actions_with_stable_names(self) -> None:
        bench = Bench(chooser=Scheduled(0, {}), hold_ps=1000)
        bench.enable()
        names: list[str] = []
        bench.sim.actions.watchers.append(lambda taken: names.append(taken.name))
        bench.sim.explore()
        bench.submit(Iodir.inval_ddt(1), Iofence.c(addr=FLAG))
        assert [name for name in names if name.startswith("iommu0")] == [
            *("iommu0.fetch#0", "iommu0.exec#0", "iommu0.cqh#0"),
            *("iommu0.fetch#1", "iommu0.fence#0", "iommu0.exec#1", "iommu0.cqh#1"),
        ]

    def test_a_held_fetch_reads_what_is_there_when_it_takes_hold(self) -> None:
        bench = Bench(chooser=Scheduled(0, {"iommu0.fetch#0": 2}), hold_ps=1_000_000)
        bench.enable()
        bench.sim.explore()
        bench.submit(Iodir.inval_ddt(1), rest=False)
        bench.run(500_000)
        bench.memory.poke(RING, 8, Iodir.inval_ddt(2)[0])
        bench.run()
        assert bench.translation.done == [("ddt", 2)]


class TestDefects:
    def test_a_lost_invalidation_is_the_one_that_was_named(self) -> None:
        bench = consumer(defects={"lose_invalidation": 2})
        bench.submit(*(Iotinval.vma(pscid=n) for n in (1, 2, 3)))
        assert [command.pscid for _, command in bench.translation.done] == [1, 3]
        assert bench.registers.cqh == 3

    @pytest.mark.parametrize(
        ("defects", "lost"),
        [({}, None), ({"lose_invalidation": 1}, 2), ({"lose_invalidation": 2}, 3), ({"keep_context": True}, 0)],
    )
    def test_hardware_that_loses_a_command_carries_out_all_others(self, defects: Any, lost: int | None) -> None:
        bench = consumer(capabilities=STAGE_TWO, defects=defects)
        page, guest = Iotinval.vma(pscid=1), Iotinval.gvma(gscid=2)
        bench.submit(Iodir.inval_ddt(1), Iodir.inval_pdt(1, 3), page, guest, Iofence.c(pr=1))
        all_done = [("ddt", 1), ("pdt", 1, 3), ("vma", page), ("gvma", guest), ("settle", True, False)]
        assert bench.translation.done == [done for n, done in enumerate(all_done) if n != lost]
        assert bench.registers.cqh == 5

    def test_an_early_fence_waits_for_nothing(self) -> None:
        bench = consumer(defects={"early_fence": True})
        bench.translation.pending.shut()
        bench.submit(Iofence.c(pr=1, pw=1))
        assert bench.registers.cqh == 1
        assert bench.translation.done == []
