"""What an IOMMU does is in conflict with what software and devices do there, and with nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.hw.iommu.faults import Fault
from cosim.sim.actions import Taken
from cosim.sim.chooser import Scheduled
from cosim.sim.footprints import conflict
from cosim.sim.transport import AccessKind
from cosim.spec.faults import Cause
from cosim.spec.queues import Command, Iodir, Iofence, Iotinval
from cosim.spec.register_map import CQCSR, CQH, CQT, DDTP, FQB, FQCSR, FQH, FQT, IPSR, REGISTERS
from tests.hw.iommu.harness import DATA, LEAF, System
from tests.hw.iommu.register_bench import BASE, FLAG, Bench

PAGE = 4096
HOLD = 1_000_000


class Explored(Bench):
    """Registers and queues, turned on before exploring begins."""

    def __init__(self, schedule: dict[str, int] | None = None, **options: Any) -> None:
        super().__init__(chooser=Scheduled(0, schedule or {}), hold_ps=HOLD, **options)
        self.enable()
        self.enable_faults()
        self.taken: list[Taken] = []
        self.sim.actions.watchers.append(self.taken.append)
        self.sim.explore()

    def of(self, name: str) -> Taken:
        return next(taken for taken in self.taken if taken.name == name)

    def conflicting(self, name: str) -> set[str]:
        """The agents of what conflicts with an effect."""
        return {taken.agent for taken in self.taken if conflict(taken, self.of(name))}


def test_head_and_tail_are_in_conflict_only_where_they_are_the_same_register() -> None:
    bench = Explored()
    bench.submit(Iodir.inval_ddt(1))
    bench.read(CQH)
    bench.read(CQT)
    bench.issue(AccessKind.READ, BASE + CQH.offset, 8)
    bench.run()
    write, head, tail, both = (bench.of(f"cpu0.mmio#{number}") for number in range(4))
    executed, moved = bench.of("iommu0.exec#0"), bench.of("iommu0.cqh#0")
    assert [each.footprint for each in (head, tail)] == [(("iommu0", "cqh"),), (("iommu0", "cqt"),)]
    for by_hardware in (executed, moved):
        assert [conflict(by_hardware, each) for each in (write, head, tail, both)] == [False, True, False, True]


@pytest.mark.parametrize("defects", [{"lose_invalidation": 1}, {"keep_context": True}], ids=str)
@pytest.mark.parametrize("command", [Iodir.inval_ddt(1), Iotinval.vma()], ids=["iodir", "iotinval"])
def test_a_command_that_is_lost_touches_what_it_names_all_the_same(command: Command, defects: dict[str, Any]) -> None:
    benches = [Explored(defects=given) for given in ({}, defects)]
    for bench in benches:
        bench.submit(command)
    right, defective = (bench.of("iommu0.exec#0").footprint for bench in benches)
    assert right == defective


def test_half_a_register_is_that_register() -> None:
    registers = Explored().registers
    halves = [registers.footprint(BASE + DDTP.offset + offset, 4) for offset in (0, 4)]
    assert halves == [(("iommu0", "ddtp"),)] * 2
    assert registers.footprint(BASE + DDTP.offset, 8) == (("iommu0", "ddtp"),)


def test_where_no_register_is_nothing_is_touched() -> None:
    registers, end = Explored().registers, max(register.offset + register.size for register in REGISTERS.values())
    assert registers.footprint(BASE + end, 8) == registers.footprint(BASE + end, 4) == ()
    ((_, name),) = registers.footprint(BASE + end - 4, 8)
    assert REGISTERS[name].offset + REGISTERS[name].size == end


def test_a_doorbell_is_in_conflict_with_the_fetch_that_sees_it() -> None:
    bench = Explored()
    bench.submit(Iodir.inval_ddt(1))
    doorbell = bench.of("cpu0.mmio#0")
    assert doorbell.footprint == (("iommu0", "cqt"),)
    assert conflict(doorbell, bench.of("iommu0.fetch#0"))
    assert not conflict(doorbell, bench.of("iommu0.exec#0"))


def test_a_read_of_the_head_that_is_held_for_a_conflict_sees_the_command_executed() -> None:
    bench = Explored({"cpu0.mmio#1": 1}, timing={"invalidate_entry": 500_000})
    bench.submit(Iodir.inval_ddt(1), rest=False)
    assert bench.read(CQH) == 1
    assert bench.of("cpu0.mmio#1").time == bench.of("iommu0.exec#0").time + 1 + 1


def test_out_of_order_the_head_moves_apart_from_the_execution() -> None:
    bench = Explored(latitude={"out_of_order": "explore"})
    bench.submit(Iodir.inval_ddt(1), Iofence.c(addr=FLAG))
    bench.read(CQH)
    assert not conflict(bench.of("iommu0.exec#0"), bench.of("cpu0.mmio#1"))
    assert conflict(bench.of("iommu0.cqh#0"), bench.of("cpu0.mmio#1"))
    assert conflict(bench.of("iommu0.exec#1"), bench.of("cpu0.mmio#1")), "a fence moves it itself"


def test_registers_that_hardware_changes_are_in_conflict_with_their_readers() -> None:
    bench = Explored()
    bench.submit(Iofence.c(wsi=1))
    for register in (CQCSR, IPSR):
        bench.read(register)
    assert bench.conflicting("cpu0.mmio#1") == {"iommu0.cqcsr", "iommu0.exec"}
    assert bench.conflicting("cpu0.mmio#2") == {"iommu0.ipsr"}


def test_a_fault_record_is_in_conflict_with_what_makes_room_for_it_or_turns_the_queue_on_and_off() -> None:
    """Also with a look at the errors of the queue, and with nothing else that is read there."""
    bench = Explored()
    bench.report(Fault(Cause.DDT_NOT_VALID))
    bench.write(FQH, 1)
    for register in (FQT, FQCSR, FQB):
        bench.read(register)
    bench.write(FQCSR, 0)
    head, tail, look, base, off = (bench.of(f"cpu0.mmio#{number}") for number in range(5))
    record = bench.of("iommu0.record#0")
    assert [conflict(record, each) for each in (head, tail, look, base, off)] == [True, False, True, False, True]
    assert bench.conflicting(tail.name) == {"iommu0.fqt"}


def test_what_queues_do_before_exploring_begins_has_no_number_and_is_not_held() -> None:
    names = ("iommu0.fetch#0", "iommu0.exec#0", "iommu0.fence#0", "iommu0.record#0")
    bench, start = Explored(dict.fromkeys(names, 2)), 0
    for exploring, holds in ((False, 0), (True, len(names))):
        bench.sim.exploring, start = exploring, bench.sim.now
        bench.submit(Iofence.c(addr=FLAG))
        bench.report(Fault(Cause.DDT_NOT_VALID))
        assert holds * HOLD <= bench.sim.now - start < (holds + 1) * HOLD
        assert [name for name in names if any(taken.name == name for taken in bench.taken)] == list(names[:holds])


# --- Translation -----------------------------------------------------------------------------------------------------


class Translating(System):
    """Two devices with an address space each, nothing cached."""

    def __init__(self, schedule: dict[str, int] | None = None, **options: Any) -> None:
        super().__init__(chooser=Scheduled(0, schedule or {}), hold_ps=HOLD, **options)
        for device in (1, 2):
            space = self.device(device, pscid=device)
            space.map(0, DATA + device * PAGE)
        self.taken: list[Taken] = []
        self.sim.actions.watchers.append(self.taken.append)
        self.sim.explore()

    def touched(self, agent: str) -> list[tuple[Any, ...]]:
        return [taken.footprint for taken in self.taken if taken.agent == agent]


def test_a_request_asks_for_each_look_up_read_and_fill() -> None:
    system = Translating()
    system.translate(0)
    assert [taken.name for taken in system.taken if taken.asks] == [
        *("nic1.issue#0", "nic1.walk#0", "nic1.fill#0", "nic1.lookup#0"),
        *("nic1.walk#1", "nic1.nonleaf#0", "nic1.walk#2", "nic1.nonleaf#1", "nic1.walk#3", "nic1.fill#1"),
    ]
    assert {taken.agent for taken in system.taken if taken.asks and taken.changes} == {"nic1.nonleaf", "nic1.fill"}


def test_for_a_request_of_nobody_the_iommu_asks_in_its_own_name() -> None:
    system = Translating()
    system.device(3, pscid=3, sade=1).map(0, DATA, flags=LEAF.replace(a=0))
    system.request(0, 3).master = ""
    system.run()
    asked = {taken.agent: taken.owner for taken in system.taken if taken.asks}
    assert asked == {
        **{f"iommu0.{verb}": "iommu0" for verb in ("issue", "lookup", "fill")},
        **dict.fromkeys(("iommu0.walker.walk", "iommu0.walker.nonleaf", "iommu0.ad"), "iommu0.walker"),
        "iommu0": "iommu0",
    }, "the last one is the access itself"


@pytest.mark.parametrize(("contexts", "leaves"), [(0, 0), (0, 8), (8, 0), (8, 8)])
def test_a_cache_that_is_not_there_is_not_filled(contexts: int, leaves: int) -> None:
    system = Translating(geometry={"ddtc_entries": contexts, "iotlb_entries": leaves})
    system.translate(0)
    filled = {kind for footprint in system.touched("nic1.fill") for _, kind, *_ in footprint}
    assert filled == {kind for kind, entries in (("ddtc", contexts), ("iotlb", leaves)) if entries}


@pytest.mark.parametrize(("nonleaf", "ddt_nonleaf", "asked"), [(0, 0, 0), (8, 0, 2), (0, 8, 2), (8, 8, 4)])
def test_without_caches_of_pointers_their_fills_do_not_ask(nonleaf: int, ddt_nonleaf: int, asked: int) -> None:
    system = Translating(levels=3, geometry={"nonleaf_entries": nonleaf, "ddt_nonleaf_entries": ddt_nonleaf})
    system.translate(0)
    assert len(system.touched("nic1.nonleaf")) == asked


COMMANDS: list[tuple[Any, set[str]]] = [
    (Iotinval.vma(pscid=1), {"nic1.lookup", "nic1.walk", "nic1.nonleaf", "nic1.fill"}),
    (Iotinval.vma(pscid=2), set()),
    (Iotinval.vma(), {"nic1.lookup", "nic1.walk", "nic1.nonleaf", "nic1.fill"}),
    (Iodir.inval_ddt(1), {"nic1.issue", "nic1.walk", "nic1.fill"}),
    (Iodir.inval_ddt(2), set()),
    (Iodir.inval_ddt(), {"nic1.issue", "nic1.walk", "nic1.fill"}),
]


@pytest.mark.parametrize(("command", "agents"), COMMANDS, ids=[str(command) for command, _ in COMMANDS])
def test_an_invalidation_is_in_conflict_with_the_walks_and_fills_that_it_may_overtake(
    command: Any, agents: set[str]
) -> None:
    system = Translating()
    system.translate(0)
    footprint = system.invalidations.footprint(command)
    executed = Taken(0, "iommu0.exec#0", "iommu0.commands", footprint, True, 0, "", 0, 0, True)
    assert {taken.agent for taken in system.taken if conflict(taken, executed)} == agents


def test_a_write_of_ddtp_is_in_conflict_with_look_ups_and_with_walks_of_the_directory() -> None:
    system = Translating()
    system.translate(0)
    footprint = system.iommu.registers.footprint(BASE + DDTP.offset, 8)
    write = Taken(0, "cpu0.t0.mw#0", "cpu0.t0", footprint, True, 8, "", 0, 0, True)
    assert [taken.name for taken in system.taken if conflict(taken, write)] == ["nic1.issue#0", "nic1.walk#0"]


def test_a_fill_of_one_device_is_no_conflict_for_the_walk_of_another() -> None:
    """Both meet invalidations alone."""
    system = Translating()
    system.translate(0, device_id=2)
    system.translate(0, device_id=1)
    ours, others = ([taken for taken in system.taken if taken.owner != f"nic{n}" and taken.asks] for n in (2, 1))
    assert not any(conflict(one, other) for one in ours for other in others)


def test_a_request_whose_issue_is_held_touches_what_is_cached_when_it_takes_hold() -> None:
    system = Translating({"nic1.issue#0": 2})
    held = system.request(0, at_ps=system.sim.now + 1_000)
    system.request(0, at_ps=system.sim.now + 2_000)
    system.run()
    later, first = system.touched("nic1.issue")
    assert held.address == DATA + PAGE
    assert ("iommu0", "iotlb", -1, 1) not in later, "the second request, which goes first and finds nothing cached"
    assert ("iommu0", "iotlb", -1, 1) in first


def test_a_fill_of_a_pointer_that_is_held_past_an_invalidation_is_not_made() -> None:
    system = Translating({"nic1.nonleaf#0": 2}, memory_ps=10_000)
    txn = system.request(0, at_ps=system.sim.now + 1_000)
    system.at(system.sim.now + HOLD // 2, lambda: system.invalidate(Iotinval.vma(pscid=1)))
    system.run()
    assert txn.address == DATA + PAGE
    assert system.count("restarts", "nonleaf2.hits") == (1, 0), "the walk that started again began at the root"


def test_a_look_up_that_is_held_past_an_invalidation_of_the_context_starts_again() -> None:
    system = Translating({"nic1.lookup#0": 2})
    txn = system.request(0, at_ps=system.sim.now + 1_000)
    system.at(system.sim.now + HOLD // 2, lambda: system.invalidations.invalidate_ddt(1))
    system.run()
    assert txn.address == DATA + PAGE
    assert system.count("restarts") == (1,)


def test_exploring_without_a_schedule_takes_no_time_anywhere() -> None:
    times = []
    for exploring in (False, True):
        system = Translating()
        system.sim.exploring = exploring
        txns = [system.request(0, at_ps=system.sim.now + 1_000 + 7 * n) for n in range(5)]
        system.run()
        times.append([(txn.translated, system.sim.now) for txn in txns])
    assert times[0] == times[1]
