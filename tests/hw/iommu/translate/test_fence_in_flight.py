"""Fences against walks and accesses under way (3.1.2): neither one by an old translation, nor a read of old tables."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from cosim.events import DmaCommitted, FreedTouched
from cosim.hw.dma.transaction import Status
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.spec.queues import Iotinval
from tests.hw.iommu.harness import LEAF, System
from tests.hw.iommu.translate.test_invalidate_in_flight import (
    HOP,
    IN_WALK,
    MB2,
    NEW,
    OLD,
    PAGE,
    READ,
    TIMES,
    WALK,
    machine,
    remap,
)


def free(system: System, *tables: int) -> None:
    """Software frees tables, at once: whoever reads one from now on is told."""
    for table in tables:
        system.memory.poison(table, PAGE, "cpu0.free", "table")


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("write", [False, True])
def test_a_fence_waits_for_accesses_by_old_translations(write: bool, executor: Any) -> None:
    for after in TIMES:
        system, space = machine(executor=executor)
        committed: list[tuple[int, int]] = []
        system.sim.probe(DmaCommitted).watch(lambda e, committed=committed: committed.append((e.time, e.address)))
        start = system.sim.now + 1_000_000
        system.request(0, at_ps=start, write=write)
        system.at(start + after, remap(space, Iotinval.vma(pscid=1, addr=0)))
        done = system.fence(pr=not write, pw=write, at_ps=start + after + 1)
        system.run()
        assert all(address == NEW or time < done[0] for time, address in committed)
        assert len(committed) == 1


def test_a_fence_without_pr_and_pw_waits_for_no_access() -> None:
    for pr, pw, write, waits in ((0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 1), (1, 0, 1, 0), (0, 1, 1, 1), (1, 1, 1, 1)):
        system, _ = machine()
        system.translate(0)
        start = system.sim.now + 1_000_000
        system.request(0, at_ps=start, write=bool(write))
        done = system.fence(bool(pr), bool(pw), at_ps=start + 10)
        system.run()
        assert (done[0] - start > READ) == bool(waits)


def test_a_fence_waits_for_no_request_that_was_translated_after_it_began() -> None:
    system, _ = machine()
    system.translate(0)
    start = system.sim.now + 1_000_000
    for n in range(10):
        system.request(0, at_ps=start + n * READ // 2)
    done = system.fence(True, True, at_ps=start + 10)
    system.run()
    assert start + READ < done[0] < start + READ + 3 * HOP


def test_a_fence_waits_for_what_an_earlier_fence_did_not_ask_for() -> None:
    system, _ = machine()
    system.translate(0)
    start = system.sim.now + 1_000_000
    txn = system.request(0, at_ps=start, write=True)
    reads_only = system.fence(True, False, at_ps=start + 10)
    system.request(0, at_ps=start + 20)
    both = system.fence(False, True, at_ps=start + 30)
    system.run()
    assert reads_only[0] < start + HOP
    assert system.ended[txn] < both[0] <= system.ended[txn] + 2


def test_fences_that_overlap_each_wait_for_their_own() -> None:
    system, _ = machine()
    system.translate(0)
    start = system.sim.now + 1_000_000
    ends = [system.request(0, at_ps=start + n * READ // 2) for n in range(3)]
    fences = [system.fence(True, True, at_ps=start + n * READ // 2 + 10) for n in range(3)]
    system.run()
    for txn, done in zip(ends, fences, strict=True):
        assert 0 < done[0] - system.ended[txn] <= 2


def test_a_fence_waits_for_the_access_that_an_overtaken_walk_has_under_way_and_for_none_that_is_over() -> None:
    """Three reads, and a swap that sets D; after each the walker is at work for as long as an access takes."""
    one = READ + 2 * HOP
    for after in range(one + 1_000, 8 * one, 2_900):
        system, space = machine(timing={"walk_step": one, "fill": one})
        system.context(1, system.dc(space, sade=1))
        system.invalidations.invalidate_ddt(1)
        space.map(0, OLD, flags=LEAF.replace(d=0))
        system.translate(MB2)
        start = system.sim.now + 1_000_000
        system.request(0, at_ps=start, write=True)
        system.at(start + after, lambda system=system: system.invalidate(Iotinval.vma(pscid=1)))
        done = system.fence(True, True, at_ps=start + after + 1)
        system.run()
        begun, passed = divmod(after, one)
        under_way = begun % 2 == 0
        assert 0 < done[0] - start - after - (one - passed if under_way else 0) <= 2


@pytest.mark.parametrize("across", ["off", "on"])
@pytest.mark.parametrize("pointers", ["none", "cold", "warm"])
@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_no_freed_table_is_read_once_a_fence_is_complete(executor: Any, pointers: str, across: str) -> None:
    """Software unlinks a table, invalidates without address, waits for the fence, and frees the table."""
    touched: list[FreedTouched] = []
    for after in IN_WALK:
        system, space = machine(
            executor=executor,
            geometry={"nonleaf_entries": 0 if pointers == "none" else 4},
            latitude={"walk_across_invalidation": across},
        )
        if pointers == "warm":
            space.map(PAGE, OLD)
            system.translate(PAGE)
        else:
            system.invalidate(Iotinval.vma())
        system.sim.probe(FreedTouched).watch(touched.append)
        tables = [system.peek(space.pte(0, level)) >> 10 << 12 for level in (2, 1)]
        start = system.sim.now + 1_000_000
        for n in range(3):
            system.request(8 * n, at_ps=start + n)
        root = space.pte(0, 2)

        def unlink(system: System = system, root: int = root) -> None:
            system.poke(root, 0)
            system.invalidate(Iotinval.vma(pscid=1))

        system.at(start + after, unlink)
        system.fence(True, True, at_ps=start + after + 1, then=partial(free, system, *tables))
        system.run()
        assert system.translate(0).status is Status.UR
    assert not touched


def test_no_old_directory_or_page_table_is_read_once_a_fence_after_iodir_is_complete() -> None:
    """A request that located its context before IODIR must not walk by it after the fence."""
    touched: list[FreedTouched] = []
    for after in range(-HOP, 2 * WALK, 2_900):
        system = System(memory_ps=READ, hop_ps=HOP, levels=2)
        system.sim.probe(FreedTouched).watch(touched.append)
        old, new = system.device(0x81, pscid=1), system.space(pscid=2)
        old.map(0, OLD)
        new.map(0, NEW)
        tables = [old.root, *(system.peek(old.pte(0, level)) >> 10 << 12 for level in (2, 1))]
        start = system.sim.now + 1_000_000
        first, second = (system.request(0, 0x81, at_ps=start + n) for n in range(2))

        def attach(system: System = system, new: Any = new) -> None:
            system.context(0x81, system.dc(new))
            system.invalidations.invalidate_ddt(0x81)

        system.at(start + after, attach)
        system.fence(True, True, at_ps=start + after + 1, then=partial(free, system, *tables))
        system.run()
        assert {first.address, second.address} <= {OLD, NEW}
        assert second.address == NEW or second.translated <= start + after
        assert system.translate(0, 0x81).address == NEW
    assert not touched


def test_turning_the_iommu_off_leaves_no_walk_in_the_old_directory() -> None:
    for after in IN_WALK:
        system, space = machine()
        start = system.sim.now + 1_000_000
        txn = system.request(0, at_ps=start)
        touched: list[FreedTouched] = []
        system.sim.probe(FreedTouched).watch(touched.append)

        def off(system: System = system) -> None:
            system.iommu.registers.write(16, 8, 0)

        system.at(start + after, off)
        system.fence(True, True, at_ps=start + after + 1, then=partial(free, system, space.root))
        system.run()
        assert txn.status is Status.UR
        assert not touched


def test_those_who_had_joined_a_walk_whose_entry_changes_before_d_is_set_start_again_as_well() -> None:
    system, space = machine()
    system.context(1, system.dc(space, sade=1))
    system.invalidations.invalidate_ddt(1)
    space.map(0, OLD, flags=LEAF.replace(d=0))
    system.translate(MB2)
    start = system.sim.now + 1_000_000
    write = system.request(0, at_ps=start, write=True, translate_only=True)
    read = system.request(0, at_ps=start + 1, translate_only=True)
    system.at(start + WALK + HOP, lambda: space.map(0, NEW, flags=LEAF.replace(d=0)))
    system.run()
    assert "merge_wait" in read.parts
    assert (write.address, read.address) == (NEW, NEW)


@pytest.mark.parametrize("across", ["off", "on"])
def test_a_request_that_an_invalidation_went_past_and_that_faults_holds_up_no_fence(across: str) -> None:
    """It has held what it had read; with its fault it lets go of that."""
    for after in IN_WALK:
        system, space = machine(latitude={"walk_across_invalidation": across})
        space.unmap(0)
        start = system.sim.now + 1_000_000
        system.request(0, at_ps=start)
        system.at(start + after, lambda system=system: system.invalidate(Iotinval.vma(pscid=1)))
        done = system.fence(True, True, at_ps=start + after + 1)
        system.run()
        assert len(done) == 1


def test_a_walk_that_is_overtaken_while_its_next_read_waits_does_not_make_it() -> None:
    """The fence does not wait for that, and the table may be freed by then."""
    system, _ = machine(timing={"walk_read_interval": 3 * READ})
    start = system.sim.now + 1_000_000
    (before,) = system.count("walk_reads")
    system.request(0, at_ps=start, translate_only=True)
    system.at(start + 2 * READ, lambda: system.invalidate(Iotinval.vma(pscid=1)))
    done = system.fence(True, True, at_ps=start + 2 * READ + 1)
    system.run()
    assert done[0] < start + 3 * READ
    assert system.count("walk_reads", "restarts") == (before + 1 + 3, 1)


def test_a_walk_that_is_overtaken_while_it_waits_for_a_walker_reads_no_table_that_is_freed() -> None:
    """It knows its last table by a pointer that was cached, and the fence does not wait for it."""
    system, space = machine(geometry={"nonleaf_entries": 4, "walkers": 1})
    touched: list[FreedTouched] = []
    system.sim.probe(FreedTouched).watch(touched.append)
    root, table = space.pte(0, 2), system.peek(space.pte(MB2, 1)) >> 10 << 12
    start = system.sim.now + 1_000_000
    first, second = (system.request(iova, at_ps=start + n) for n, iova in enumerate((0, MB2 + PAGE)))

    def unlink() -> None:
        system.poke(root, 0)
        system.invalidate(Iotinval.vma(pscid=1))

    system.at(start + READ // 2, unlink)
    system.fence(True, True, at_ps=start + READ // 2 + 1, then=partial(free, system, table))
    system.run()
    assert (first.status, second.status) == (Status.UR, Status.UR)
    assert not touched
