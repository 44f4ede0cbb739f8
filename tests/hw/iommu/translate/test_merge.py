"""Misses that meet at a table: who reads, who waits, where ways part, and that each is judged for itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import Translated
from cosim.hw.dma.transaction import Status
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.spec.faults import Cause
from cosim.spec.pagetable import SV39, Pte
from cosim.spec.queues import Iotinval
from tests.hw.iommu.harness import DATA, LEAF, System

READ = 100_000
GB, MB2, KB4 = 1 << 30, 1 << 21, 1 << 12
NO_POINTERS = {"nonleaf_entries": 0, "ddt_nonleaf_entries": 0}


def warm(executor: Any = Agenda, **geometry: Any) -> tuple[System, Any]:
    """A system whose context is cached and whose memory is slow; whoever fills the IOTLB takes a while for that."""
    system = System(memory_ps=READ, timing={"fill": 500}, geometry={**NO_POINTERS, **geometry}, executor=executor)
    space = system.device(sade=1)
    space.map(255 << 30, DATA)
    system.translate(255 << 30)
    return system, space


def together(system: System, *requests: tuple[int, dict[str, Any]], apart_ps: int = 10) -> list[Any]:
    """Requests a little after one another, carried out."""
    start = system.sim.now + 1_000_000
    txns = [
        system.request(iova, at_ps=start + n * apart_ps, translate_only=True, **request)
        for n, (iova, request) in enumerate(requests)
    ]
    system.run()
    return txns


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_requests_for_one_page_share_one_walk(executor: Any) -> None:
    system, space = warm(executor)
    space.map(KB4, DATA)
    hits: list[str] = []
    system.sim.probe(Translated).watch(lambda event: hits.append(event.hit))
    txns = [*together(system, *[(KB4 + 8 * n, {}) for n in range(5)])]
    assert [txn.address for txn in txns] == [DATA + 8 * n for n in range(5)]
    assert system.count("walks", "walk_reads", "merged", "iotlb.fills") == (2, 6, 4, 2)
    assert hits == ["walk"] + ["merged"] * 4
    assert all(set(txn.parts) == {"iotlb", "merge_wait"} for txn in txns[1:])
    assert "merge_wait" not in txns[0].parts


@pytest.mark.parametrize(("apart", "reads"), [(KB4, 4), (MB2, 5), (GB, 6)])
def test_requests_for_different_pages_share_the_tables_above(apart: int, reads: int) -> None:
    """The second request waits for each entry that the first one reads for both, and goes on by itself."""
    system, space = warm()
    for n in range(2):
        space.map(n * apart, DATA + n * KB4)
    before = system.count("walk_reads")[0]
    first, second = together(system, (0, {}), (apart, {}))
    assert (first.address, second.address) == (DATA, DATA + KB4)
    assert system.count("walk_reads")[0] - before == reads
    shared = 6 - reads
    assert second.parts.get("merge_wait", 0) > (shared - 1) * READ if shared else "merge_wait" not in second.parts


def test_what_a_pointer_above_says_of_all_below_it_goes_with_both_where_ways_part() -> None:
    """G in the entry of 1 GiB, which the first request reads for the second one as well."""
    system, space = warm()
    for n in range(2):
        space.map(n * KB4, DATA + n * KB4)
    at = space.pte(0, 2)
    system.poke(at, system.peek(at) | LEAF.replace(g=1) & ~LEAF)
    together(system, (0, {}), (KB4, {}))
    assert system.count("merged") == (1,)
    assert [bool(system.probe(n * KB4, pscid=99)) for n in range(2)] == [True, True]


def test_a_request_that_comes_too_late_for_a_shared_entry_reads_it_itself() -> None:
    system, space = warm()
    for n in range(2):
        space.map(n * KB4, DATA)
    before = system.count("walk_reads")[0]
    together(system, (0, {}), (KB4, {}), apart_ps=5 * READ // 2)  # the first is at its leaf by then
    assert system.count("walk_reads")[0] - before == 6


def test_a_request_joins_a_walk_to_its_page_however_far_that_has_come() -> None:
    system, space = warm()
    space.map(0, DATA)
    before = system.count("walk_reads")[0]
    _, second = together(system, (0, {}), (8, {}), apart_ps=5 * READ // 2)  # the first is at its leaf by then
    assert system.count("walk_reads")[0] - before == 3
    assert 0 < second.parts["merge_wait"] < READ


def test_the_size_of_a_leaf_is_learnt_by_reading_it() -> None:
    """Two requests in one superpage merge at the entry above their own pages, and one read serves both."""
    system, space = warm()
    space.map(0, DATA, 1)
    before = system.count("walk_reads")[0]
    first, second = together(system, (0x1000, {}), (0x1FF000, {}))
    assert (first.address, second.address) == (DATA + 0x1000, DATA + 0x1FF000)
    assert system.count("walk_reads")[0] - before == 2


def test_many_ways_part_at_each_level() -> None:
    system, space = warm(walkers=16)
    pages = [g * GB + m * MB2 + k * KB4 for g in range(2) for m in range(2) for k in range(2)]
    for n, page in enumerate(pages):
        space.map(page, DATA + n * KB4)
    before = system.count("walk_reads")[0]
    txns = together(system, *[(page, {}) for page in pages])
    assert [txn.address for txn in txns] == [DATA + n * KB4 for n in range(8)]
    assert system.count("walk_reads")[0] - before == 2 + 4 + 8


def test_each_request_is_judged_by_its_own_permissions() -> None:
    system, space = warm()
    space.map(0, DATA, flags=LEAF.replace(w=0, x=0))
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        requests = [{}, {"write": True}, {"execute": True}]
        txns = together(system, *[(0, requests[n]) for n in order])
        statuses = {n: txn.status for n, txn in zip(order, txns, strict=True)}
        assert statuses == {0: Status.SUCCESS, 1: Status.UR, 2: Status.UR}
        system.invalidate(Iotinval.vma())
    assert sorted(system.causes()) == sorted([Cause.WRITE_PAGE_FAULT, Cause.INSTRUCTION_PAGE_FAULT] * 3)


def test_each_request_has_a_fault_record_of_its_own() -> None:
    system, _ = warm()
    together(system, (0x1000, {}), (0x1008, {"write": True}), (0x1010, {"execute": True}))
    assert [(record.cause, record.iotval) for record in system.faults()] == [
        (Cause.READ_PAGE_FAULT, 0x1000),
        (Cause.WRITE_PAGE_FAULT, 0x1008),
        (Cause.INSTRUCTION_PAGE_FAULT, 0x1010),
    ]
    assert system.count("walks") == (2,)


@pytest.mark.parametrize("writes", [(False, True), (True, False), (True, True), (False, False)])
def test_each_request_sets_the_bits_that_it_needs(writes: tuple[bool, bool]) -> None:
    system, space = warm()
    at = space.map(0, DATA, flags=LEAF.replace(a=0, d=0))
    txns = together(system, *[(0, {"write": write}) for write in writes])
    assert [txn.status for txn in txns] == [Status.SUCCESS] * 2
    pte = Pte(system.peek(at))
    assert (pte.a, pte.d) == (1, int(any(writes)))
    assert system.count("ad_updates") == (1 + (writes == (False, True)),)


def test_walks_of_the_directory_merge_as_well() -> None:
    system = System(levels=3, memory_ps=READ, geometry=NO_POINTERS)
    for device_id in (1, 2, 0x80):
        system.context(device_id, system.dc())
    start = system.sim.now + 1_000_000
    txns = [
        system.request(0x40, device, at_ps=start + n, translate_only=True) for n, device in enumerate((1, 1, 2, 0x80))
    ]
    system.run()
    assert {txn.status for txn in txns} == {Status.SUCCESS}
    assert system.count("ddt_reads") == (3 + 1 + 2,)  # 2 shares all but its context with 1, 0x80 the root's entry only
    assert system.count("ddt_walks") == (3,)


def test_a_request_joins_a_walk_that_still_waits_for_a_walker() -> None:
    system, space = warm(walkers=1)
    for page in (0, MB2):
        space.map(page, DATA + page)
    system.iommu.translation.walker.slots.take()
    start = system.sim.now + 1_000_000
    txns = [system.request(iova, at_ps=start + n, translate_only=True) for n, iova in enumerate((MB2, MB2 + 8))]
    system.at(start + 5 * READ, system.iommu.translation.walker.slots.release)
    before = system.count("walk_reads")[0]
    system.run()
    assert [txn.address for txn in txns] == [DATA + MB2, DATA + MB2 + 8]
    assert system.count("walk_reads")[0] - before == 3
    assert "walker_wait" in txns[0].parts
    assert "merge_wait" in txns[1].parts


def test_walks_beyond_the_walkers_wait_for_one() -> None:
    def ends(walkers: int) -> list[int]:
        system, space = warm(walkers=walkers)
        for n in range(3):
            space.map(n * GB, DATA)
        txns = together(system, *[(n * GB, {}) for n in range(3)])
        return [round(system.latency(txn) / READ) for txn in txns]

    assert ends(4) == [3, 3, 3]
    assert ends(1) == [3, 6, 9]
    assert ends(2) == [3, 3, 6]


PAGES = [g * GB + m * MB2 + k * KB4 for g in range(2) for m in range(2) for k in range(3)]


@settings(derandomize=True, deadline=None, max_examples=6)
@given(
    st.lists(st.tuples(st.sampled_from(PAGES), st.integers(0, 4 * READ), st.booleans()), min_size=1, max_size=12),
    st.sampled_from([1, 2, 8]),
    st.sampled_from([0, 1, 8]),
    st.sets(st.sampled_from(PAGES)),
)
def test_merging_changes_no_answer(
    requests: list[tuple[int, int, bool]], walkers: int, pointers: int, unmapped: set[int]
) -> None:
    """Whatever meets whatever, each request gets what it would have got alone, at the same time in both executors."""
    answers = []
    for executor in (Plain, Agenda):
        system, space = warm(executor, walkers=walkers, nonleaf_entries=pointers)
        for n, page in enumerate(PAGES):
            space.map(page, DATA + n * KB4)
            if page in unmapped:
                space.unmap(page)
        start = system.sim.now + 1_000_000
        txns = [system.request(page, write=write, at_ps=start + after) for page, after, write in requests]
        system.run()
        for txn, (page, _, _) in zip(txns, requests, strict=True):
            expected = None if page in unmapped else DATA + PAGES.index(page) * KB4
            assert txn.address == expected
            assert sum(txn.parts.values()) == system.latency(txn)
        answers.append([(system.ended[txn], txn.parts) for txn in txns])
        assert system.count("walk_reads")[0] <= 3 + 3 * len(requests)
    assert answers[0] == answers[1]


def test_a_merged_walk_never_mixes_address_spaces() -> None:
    system = System(memory_ps=READ, geometry=NO_POINTERS)
    for device_id in (1, 2):
        system.device(device_id, SV39, pscid=device_id).map(0, DATA + device_id * KB4)
    start = system.sim.now + 1_000_000
    txns = [system.request(0, device_id, at_ps=start) for device_id in (1, 2)]
    system.run()
    assert [txn.address for txn in txns] == [DATA + KB4, DATA + 2 * KB4]
