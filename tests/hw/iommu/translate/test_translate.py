"""The process to translate an IOVA: its steps in order, who is let in, and the accessed and dirty bits."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from cosim.events import CacheLookup, Translated, WalkDone
from cosim.hw.dma.transaction import Request, Status, Transaction
from cosim.hw.iommu.faults import NotImplementedCapability
from cosim.hw.iommu.translate.address_space import AddressSpace
from cosim.hw.iommu.translate.page_table import grants_of
from cosim.hw.iommu.translate.steps import needed_by
from cosim.hw.memory.memory import FaultKind
from cosim.spec.faults import Cause
from cosim.spec.pagetable import SV32, SV39, Pte, Scheme
from cosim.spec.queues import Iotinval
from cosim.spec.registers import IommuMode
from tests.hw.iommu.harness import DATA, DRAM, LEAF, System

ATS = {
    "ats": 1,
    "t2gpa": 1,
    "pd8": 1,
    "pd17": 1,
    "pd20": 1,
    "sv39x4": 1,
    "end": 1,
}
A, D = Pte.a.mask, Pte.d.mask


def refused(system: System, **request: Any) -> int:
    """The cause with which a request of device 1 is refused."""
    txn = system.translate(0x1000, **request)
    assert txn.status is Status.UR
    return system.causes()[-1]


# --- Types of transactions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Request.TRANSLATED, Request.ATS])
def test_bare_mode_takes_untranslated_requests_only(kind: Request) -> None:
    system = System(capabilities=ATS)
    system.mode(IommuMode.BARE)
    assert refused(system, kind=kind) == Cause.TTYP_DISALLOWED
    assert system.translate(0x1000).status is Status.SUCCESS


@pytest.mark.parametrize("kind", [Request.TRANSLATED, Request.ATS])
def test_a_context_without_ats_takes_untranslated_requests_only(kind: Request) -> None:
    system = System(capabilities=ATS)
    system.device().map(0x1000, DATA)
    assert refused(system, kind=kind) == Cause.TTYP_DISALLOWED
    assert system.translate(0x1000).status is Status.SUCCESS


def test_a_translated_request_passes_unchanged_where_the_context_allows_ats() -> None:
    system = System(capabilities=ATS)
    system.device(en_ats=1).map(0x1000, DATA)
    assert system.translate(0x1008, kind=Request.TRANSLATED, write=True).address == 0x1008
    assert system.count("walk_reads") == (0,)


def test_a_process_id_needs_a_process_directory() -> None:
    system = System()
    system.device().map(0x1000, DATA)
    assert refused(system, process_id=0) == Cause.TTYP_DISALLOWED


@pytest.mark.parametrize(("mode", "width"), [(1, 8), (2, 17), (3, 20)])
def test_a_process_id_may_not_be_wider_than_the_process_directory(mode: int, width: int) -> None:
    system = System(capabilities=ATS)
    system.context(1, system.dc(pdtv=1).replace(fsc=mode << 60))
    for bit in range(width, 20):
        assert refused(system, process_id=1 << bit) == Cause.TTYP_DISALLOWED


@pytest.mark.parametrize(("mode", "name"), [(1, "PD8"), (2, "PD17"), (3, "PD20")])
def test_walking_a_process_directory_names_the_capability_that_is_missing(mode: int, name: str) -> None:
    system = System(capabilities=ATS)
    system.context(1, system.dc(pdtv=1).replace(fsc=mode << 60))
    assert system.translate(0x1234).address == 0x1234  # no process, no default process: the first stage is Bare
    with pytest.raises(NotImplementedCapability, match=name):
        system.translate(0x1234, process_id=1)


def test_the_default_process_makes_every_request_walk_the_process_directory() -> None:
    system = System(capabilities=ATS)
    system.context(1, system.dc(pdtv=1, dpe=1).replace(fsc=1 << 60))
    with pytest.raises(NotImplementedCapability, match="PD8"):
        system.translate(0x1234)


def test_a_bare_process_directory_is_no_first_stage() -> None:
    system = System(capabilities=ATS)
    system.context(1, system.dc(pdtv=1, dpe=1))
    assert system.translate(0x1234, process_id=77).address == 0x1234


def test_exercising_what_is_missing_names_it_and_having_it_does_not() -> None:
    system = System(capabilities=ATS)
    system.context(1, system.dc().replace(iohgatp=8 << 60 | 0x80004))
    assert refused(system, process_id=3) == Cause.TTYP_DISALLOWED  # located and checked, not exercised
    with pytest.raises(NotImplementedCapability, match="Sv39x4"):
        system.translate(0x1000)
    system.context(2, system.dc(system.space()).replace(iohgatp=8 << 60 | 0x80004))
    assert system.translate(1 << 38, 2).status is Status.UR  # by the first stage, which comes first
    assert system.causes()[-1] == Cause.READ_PAGE_FAULT


def test_what_the_iotlb_has_of_the_host_serves_no_virtual_machine() -> None:
    """Neither knows of the PSCIDs of the other."""
    system = System(capabilities=ATS)
    system.device(1, pscid=1).map(0x1000, DATA)
    system.translate(0x1000)
    system.context(2, system.dc(system.space(pscid=1)).replace(iohgatp=8 << 60 | 0x80004))
    with pytest.raises(NotImplementedCapability, match="Sv39x4"):
        system.translate(0x1000, 2)


@pytest.mark.parametrize("sum_", [False, True])
def test_privilege_opens_the_pages_of_supervisors_and_closes_those_of_users_but_for_sum(sum_: bool) -> None:
    """PC.ta.SUM: with it privilege may read and write a user's page; never may it execute one (2.2.4, "ta")."""
    space = AddressSpace(None, 0, 0, 0, sade=False)
    space.sum = sum_
    for r, w, x, u, privileged in product((0, 1), repeat=5):
        granted = grants_of(Pte.of(v=1, r=r, w=w, x=x, u=u))
        for write, execute, has in ((False, False, r), (True, False, w), (False, True, x)):
            txn = Transaction(1, 0, 8, write=write, execute=execute, process_id=5, privileged=bool(privileged))
            if not privileged:
                expected = has and u
            else:
                expected = has and (not u or (sum_ and not execute))
            assert bool(granted & needed_by(txn, space)) == bool(expected)
            txn.process_id = None  # privilege needs a process
            assert bool(granted & needed_by(txn, space)) == bool(has and u)


# --- Faults and how they are reported ---------------------------------------------------------------------------------


def test_a_fault_record_says_who_asked_for_what() -> None:
    system = System(levels=2)
    system.device(0x1234).map(0x1000, DATA)
    system.translate(0x2FF8, 0x1234, write=True)
    (record,) = system.faults()
    assert (record.cause, record.did, record.iotval, record.ttyp) == (Cause.WRITE_PAGE_FAULT, 0x1234, 0x2FF8, 3)
    assert (record.pv, record.pid, record.iotval2) == (0, 0, 0)


def test_dtf_keeps_the_faults_of_translation_from_being_recorded_and_no_others() -> None:
    system = System(capabilities=ATS)
    space = system.device(dtf=1)
    space.map(0x1000, DATA)
    answers: tuple[FaultKind, ...] = ("corrupt", "access_fault")
    for answer in answers:
        system.memory.fault(answer, space.pte(0x1000), 8)
        assert system.translate(0x1000).status is Status.UR
        system.memory.clear_faults()
    assert system.translate(0x2000).status is Status.UR
    assert system.translate(1 << 60).status is Status.UR
    assert system.translate(0x1000, process_id=1).status is Status.UR
    for kind in (Request.TRANSLATED, Request.ATS):
        assert system.translate(0x1000, kind=kind).status is Status.UR
    assert system.faults() == []
    system.translate(0x1000, 3)
    assert system.causes() == [Cause.DDT_NOT_VALID]
    assert system.count("faults") == (8,)


def test_a_fault_makes_no_access_and_frees_its_place() -> None:
    system = System(geometry={"in_flight": 1})
    system.device().map(0x1000, DATA)
    bad, good = system.request(0x2000), system.request(0x1000)
    reads = system.memory.reads
    system.run()
    assert (bad.status, good.status) == (Status.UR, Status.SUCCESS)
    assert bad.address is None
    assert system.memory.reads - reads == sum(system.count("walk_reads", "ddt_reads")) + 1


# --- Accessed and dirty -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [SV32, SV39], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize(
    ("bits", "write", "faults"),
    [(0, False, True), (0, True, True), (A, False, False), (A, True, True), (A | D, True, False), (D, False, True)],
)
def test_without_sade_a_page_that_lacks_a_or_d_faults_and_stays_as_it_is(
    scheme: Scheme, bits: int, write: bool, faults: bool
) -> None:
    system = System()
    at = system.device(scheme=scheme).map(0x1000, DATA, flags=Pte(LEAF & ~(A | D) | bits))
    before = system.peek(at)
    for _ in range(2):
        txn = system.translate(0x1000, write=write)
        assert (txn.status is Status.UR) == faults
    assert system.peek(at) == before
    assert set(system.causes()) <= {Cause.WRITE_PAGE_FAULT if write else Cause.READ_PAGE_FAULT}


@pytest.mark.parametrize("scheme", [SV32, SV39], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("bits", [0, A, D, A | D])
@pytest.mark.parametrize("write", [False, True])
def test_with_sade_hardware_sets_what_is_missing_and_nothing_else(scheme: Scheme, bits: int, write: bool) -> None:
    system = System()
    flags = Pte(LEAF & ~(A | D) | bits)
    at = system.device(scheme=scheme, sade=1).map(0x1000, DATA, flags=flags)
    before = system.peek(at, scheme.pte_size)
    assert system.translate(0x1000, write=write).status is Status.SUCCESS
    after = system.peek(at, scheme.pte_size)
    assert after == before | A | (D if write else 0)
    assert system.count("ad_updates") == (int(after != before),)


def test_a_page_cached_by_a_read_is_walked_again_by_the_first_write() -> None:
    system = System()
    at = system.device(sade=1).map(0x1000, DATA, flags=LEAF.replace(d=0))
    system.translate(0x1000)
    assert not system.peek(at) & D
    assert system.reads(lambda: system.translate(0x1000, write=True)) == 1
    assert system.peek(at) & D
    assert system.reads(lambda: system.translate(0x1000, write=True)) == 0
    assert system.count("iotlb.hits", "iotlb.misses") == (1, 2)


def test_a_request_without_permission_sets_nothing() -> None:
    system = System()
    at = system.device(sade=1).map(0x1000, DATA, flags=LEAF.replace(w=0, a=0, d=0))
    assert refused(system, write=True) == Cause.WRITE_PAGE_FAULT
    assert not system.peek(at) & (A | D)


def test_an_entry_that_changes_before_its_update_is_walked_again() -> None:
    """The update compares: software that remapped the page between read and update loses nothing."""
    memory_ps = 100_000
    system = System(memory_ps=memory_ps)
    space = system.device(sade=1)
    at = space.map(0x1000, DATA, flags=LEAF.replace(a=0, d=0))
    system.translate(0x5000)  # the context and the pointers are cached
    start = system.sim.now + 1_000_000
    txn = system.request(0x1000, write=True, at_ps=start)
    remapped = LEAF.replace(a=0, d=0, ppn=(DATA >> 12) + 5)
    system.at(start + memory_ps + memory_ps // 2, lambda: system.poke(at, remapped))
    system.run()
    assert txn.address == DATA + 0x5000
    assert system.peek(at) == remapped | A | D
    assert system.count("restarts", "ad_updates") == (1, 1)


def test_the_update_is_in_memory_before_the_access() -> None:
    system = System(memory_ps=1000)
    at = system.device(sade=1).map(0x1000, DATA, flags=LEAF.replace(a=0, d=0))
    seen: list[tuple[int, int]] = []
    system.memory.watch(DATA, lambda: seen.append((system.sim.now, system.peek(at) & (A | D))))
    txn = system.request(0x1000, write=True)
    txn.words = (7,)
    system.run()
    assert [bits for _, bits in seen] == [A | D]


@pytest.mark.parametrize("dtf", [0, 1])
@pytest.mark.parametrize(("write", "cause"), [(False, Cause.READ_ACCESS_FAULT), (True, Cause.WRITE_ACCESS_FAULT)])
def test_an_update_that_memory_refuses_is_an_access_fault(write: bool, cause: Cause, dtf: int) -> None:
    system = System(memory_ps=100_000)
    space = system.device(sade=1, dtf=dtf)
    space.map(0x5000, DATA)
    at = space.map(0x1000, DATA, flags=LEAF.replace(a=0))
    system.translate(0x5000)
    start = system.sim.now + 1_000_000
    txn = system.request(0x1000, write=write, at_ps=start)
    system.at(start + 150_000, lambda: system.memory.fault("access_fault", at, 8))
    system.run()
    assert txn.status is Status.UR
    assert system.causes() == ([] if dtf else [cause])


# --- What can be seen -------------------------------------------------------------------------------------------------


def test_events_tell_how_each_translation_came_about() -> None:
    system = System(levels=2)
    system.device(0x81).map(0x1000, DATA)
    system.context(0x82, system.dc())
    told: list[tuple[Any, ...]] = []
    system.sim.probe(Translated).watch(lambda of: told.append((of.device_id, of.hit, of.pscid, of.gscid)))
    system.sim.probe(WalkDone).watch(lambda event: told.append((event.kind, event.reads, event.fault)))
    system.translate(0x1000, 0x81)
    system.translate(0x1000, 0x81)
    system.translate(0x1000, 0x82)
    system.translate(0x2000, 0x81)
    assert told == [
        ("ddt", 2, False),
        ("page_table", 3, False),
        (0x81, "walk", 1, 0),
        (0x81, "iotlb", 1, 0),
        ("ddt", 1, False),
        (0x82, "bare", 0, 0),
        ("page_table", 1, True),
    ]


def test_every_look_up_is_counted_once_and_seen() -> None:
    system = System()
    space = system.device()
    space.map(0x1000, DATA)
    seen: list[tuple[str, bool]] = []
    system.sim.probe(CacheLookup).watch(lambda event: seen.append((event.who, event.hit)))
    for iova in (0x1000, 0x1000, 0x2000, 0x1008):
        system.translate(iova)
    assert system.count("ddtc.hits", "ddtc.misses", "iotlb.hits", "iotlb.misses", "requests") == (3, 1, 2, 2, 4)
    assert seen.count(("iommu0.iotlb", True)) == 2
    assert seen.count(("iommu0.iotlb", False)) == 2
    assert seen.count(("iommu0.ddtc", False)) == 1


@pytest.mark.parametrize(("reads", "of"), [(1, "context"), (2, "context"), (2, "pages")])
def test_the_look_ups_of_a_request_that_starts_again_are_counted_once(reads: int, of: str) -> None:
    """It has read its context, or a page table as well, when it is overtaken."""
    read, hop = 100_000, 10_000
    system = System(memory_ps=read, hop_ps=hop)
    system.device().map(0x1000, DATA)
    seen: list[str] = []
    system.sim.probe(CacheLookup).watch(lambda event: seen.append(event.who))
    invalidations = system.invalidations
    system.request(0x1000)
    system.at(
        system.sim.now + reads * (read + 2 * hop) - hop // 2,
        lambda: invalidations.invalidate_ddt(1) if of == "context" else system.invalidate(Iotinval.vma()),
    )
    system.run()
    assert system.count("restarts", "requests") == (1, 1)
    assert system.count("ddtc.hits", "ddtc.misses", "iotlb.hits", "iotlb.misses") == (0, 1, 0, 1)
    assert seen == ["iommu0.ddtc", "iommu0.iotlb"]


@pytest.mark.parametrize("defective", [False, True])
def test_only_defective_hardware_keeps_that_a_page_was_not_mapped(defective: bool) -> None:
    system = System(defects={"cache_invalid": defective})
    space = system.device()
    system.translate(0x1000)
    space.map(0x1000, DATA)
    assert (system.translate(0x1000).status is Status.UR) == defective


def test_defective_hardware_caches_invalid_contexts_until_they_are_invalidated() -> None:
    system = System(defects={"cache_invalid": True})
    system.translate(0x1000)
    system.device().map(0x1000, DATA)
    assert system.translate(0x1000).status is Status.UR
    system.invalidations.invalidate_ddt(1)
    assert system.translate(0x1000).status is Status.SUCCESS
    assert system.causes() == [Cause.DDT_NOT_VALID] * 2


@pytest.mark.parametrize("kind", ["access_fault", "corrupt"])
@pytest.mark.parametrize("leaf", [False, True], ids=["context", "leaf"])
def test_even_defective_hardware_keeps_nothing_of_an_entry_that_it_could_not_read(leaf: bool, kind: str) -> None:
    system = System(defects={"cache_invalid": True})
    space = system.space()
    if leaf:
        system.context(1, system.dc(space))
    system.memory.fault(kind, space.pte(0x1000) if leaf else system.ddte(1), 8)  # type: ignore[arg-type]
    assert system.translate(0x1000).status is not Status.SUCCESS
    system.memory.clear_faults()
    system.context(1, system.dc(space))
    space.map(0x1000, DATA)
    assert system.translate(0x1000).status is Status.SUCCESS


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(("pas", "status"), [(31, Status.ACCESS_FAULT), (32, Status.SUCCESS)])
def test_an_address_of_more_bits_than_the_iommu_has_is_refused_though_something_is_there(
    pas: int, status: Status, write: bool
) -> None:
    """Memory begins at 2 GiB, which is the first address of 32 bits. A fence finds that the request is over."""
    system = System(capabilities={"pas": pas})
    system.mode(IommuMode.BARE)
    txn = system.dma(DRAM, write=write)
    assert txn.status is status
    fenced = system.fence(pr=True, pw=True)
    system.run()
    assert fenced
