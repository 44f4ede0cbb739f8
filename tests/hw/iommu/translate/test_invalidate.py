"""Invalidations at rest: which entries each operand combination drops, and which it leaves."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import Invalidated
from cosim.hw.iommu.translate.iotlb import Iotlb
from cosim.hw.iommu.translate.leaf import ANY_PSCID, HOST, Leaf
from cosim.hw.iommu.translate.scope import Scope
from cosim.sim.footprints import meet
from cosim.spec.pagetable import SV39, SV48
from cosim.spec.queues import Iodir, Iotinval
from tests.hw.iommu.harness import DATA, LEAF, System

PAGE, MB2, GB = 1 << 12, 1 << 21, 1 << 30
HOME = 0x40_0000
"""The IOVA that commands name."""


def leaves() -> list[Leaf]:
    """Translations of two address spaces of the host and of two virtual machines, of every size, global or not."""
    found = []
    for gscid, pscid, mapped_globally in product((HOST, 1, 2), (1, 2), (False, True)):
        for lg2 in (12, 16, 21, 30):
            for iova in {HOME, HOME + (1 << lg2), HOME - (1 << lg2)}:
                if iova >= 0 and not (mapped_globally and pscid == 2):
                    found.append(
                        Leaf(gscid, pscid, iova, lg2, base=pscid << lg2, grants=7, mapped_globally=mapped_globally)
                    )
    return found


def covered(leaf: Leaf, first: int, size: int) -> bool:
    """Whether any byte of a range is the leaf's, by brute force over its ends."""
    start = leaf.key[3] << leaf.lg2
    return start < first + size and first < start + (1 << leaf.lg2)


def to_be_dropped(command: Iotinval, leaf: Leaf) -> bool:
    """The table "IOTINVAL.VMA operands and operations", row by row."""
    gscid, pscid, _, _ = leaf.key
    mapped_globally = pscid == ANY_PSCID
    in_vm = gscid == command.gscid if command.gv else gscid == HOST
    of_process = not mapped_globally and pscid == command.pscid
    first, size = (command.addr << 12, PAGE) if not command.s else (HOME & ~(8 * PAGE - 1), 8 * PAGE)
    at_address = covered(leaf, first, size)
    match (bool(command.av), bool(command.pscv)):
        case (False, False):
            return in_vm
        case (False, True):
            return in_vm and of_process
        case (True, False):
            return in_vm and at_address
        case _:
            return in_vm and of_process and at_address


OPERANDS = [
    {"pscid": pscid, "gscid": gscid, "addr": addr, "pages_lg2": pages_lg2}
    for pscid, gscid, (addr, pages_lg2) in product(
        (None, 1, 2), (None, 1, 2), ((None, 0), (HOME, 0), (HOME & ~(8 * PAGE - 1), 3))
    )
]


@pytest.mark.parametrize("entries_ways", [(0, 0), (64, 0), (128, 4)])
@pytest.mark.parametrize("operands", OPERANDS, ids=str)
def test_a_command_drops_what_its_operands_name_and_nothing_else(
    operands: dict[str, Any], entries_ways: tuple[int, int]
) -> None:
    entries, ways = entries_ways
    system = System(geometry={"iotlb_entries": entries or 256, "iotlb_ways": ways})
    iotlb = system.translation.iotlb
    for leaf in leaves():
        iotlb.fill(leaf)
    before = [leaf for _, leaf in iotlb.cache.items()]
    command = Iotinval.vma(**operands)
    system.invalidate(command)
    kept = [leaf for _, leaf in iotlb.cache.items()]
    assert kept == [leaf for leaf in before if not to_be_dropped(command, leaf)]
    for leaf in before:
        gscid, pscid, lg2, page = leaf.key
        if pscid != ANY_PSCID and not any(covered(other, page << lg2, 1) for other in kept if other is not leaf):
            assert (iotlb.find(gscid, pscid, page << lg2, False) is leaf) == (leaf in kept)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(0, 40), st.integers(0, 52), st.integers(12, 48), st.integers(0, 1 << 16))
def test_a_range_covers_what_overlaps_it(page_lg2: int, pages_lg2: int, lg2: int, index: int) -> None:
    first = 1 << max(page_lg2, pages_lg2)
    scope = Scope(HOST, 1, first, pages_lg2)
    iova = index << lg2
    overlap = iova < (first + (1 << pages_lg2)) << 12 and first << 12 < iova + (1 << lg2)
    assert scope.covers(iova, lg2) == overlap


def test_gvma_drops_what_is_a_virtual_machine_s_and_nothing_of_the_host() -> None:
    for command, gscids in ((Iotinval.gvma(), {1, 2}), (Iotinval.gvma(gscid=2), {2})):
        system = System(geometry={"iotlb_entries": 256})
        iotlb = system.translation.iotlb
        pointers = system.translation.pointers.levels[1]
        for leaf in leaves():
            iotlb.fill(leaf)
        for gscid in (HOST, 1, 2):
            pointers.put((gscid, 1, 21, 0), (DATA, 0))
        system.invalidations.invalidate_gvma(command)
        for cache in (iotlb.cache, pointers):
            assert {key[0] for key, _ in cache.items()} == {HOST, 1, 2} - gscids


# --- What a walk then reads -------------------------------------------------------------------------------------------


def walked(system: System) -> Any:
    """Map two pages of one table, and have both cached."""
    space = system.device(pscid=1)
    for page in (HOME, HOME + PAGE):
        space.map(page, DATA + page)
        system.translate(page)
    return space


@pytest.mark.parametrize(
    ("operands", "reads"),
    [
        pytest.param({"pscid": 1, "addr": HOME}, 1, id="AV=1: the leaf only"),
        pytest.param({"addr": HOME}, 1, id="AV=1, PSCV=0: the leaf only"),
        pytest.param({"pscid": 1}, 3, id="AV=0: the pointers too"),
        pytest.param({}, 3, id="everything"),
        pytest.param({"pscid": 1, "addr": HOME, "nl": 1}, 3, id="AV=1, NL=1: the pointers too"),
        pytest.param({"pscid": 1, "addr": HOME + 8 * GB, "nl": 1}, 0, id="NL=1 at an address elsewhere"),
        pytest.param({"pscid": 1, "addr": HOME + GB // 2, "nl": 1}, 0, id="NL=1 where only the root's entry is shared"),
        pytest.param({"pscid": 2}, 0, id="another PSCID"),
        pytest.param({"gscid": 1}, 0, id="another GSCID"),
        pytest.param({"pscid": 1, "addr": HOME + PAGE}, 0, id="another page"),
        pytest.param({"pscid": 1, "addr": HOME, "pages_lg2": 1}, 1, id="a range that holds the page"),
    ],
)
def test_the_next_walk_reads_what_was_dropped(operands: dict[str, Any], reads: int) -> None:
    system = System()
    walked(system)
    system.invalidate(Iotinval.vma(**operands))
    assert system.reads(lambda: system.translate(HOME)) == reads


def test_a_range_with_nl_drops_only_the_pointers_that_lead_into_it() -> None:
    system = System(geometry={"iotlb_entries": 0})
    space = system.device(scheme=SV48)
    for page in (0, MB2, GB):
        space.map(page, DATA)
        system.translate(page)
    system.invalidate(Iotinval.vma(pscid=1, addr=0, pages_lg2=4, nl=1))
    assert [system.reads(lambda page=page: system.translate(page)) for page in (MB2, GB, 0)] == [1, 1, 4]


@pytest.mark.parametrize(
    ("cached", "after", "reach"), [(True, 5_000, GB), (True, 15_000, GB), (False, 5_000, 0), (False, 25_000, 1 << 39)]
)
def test_with_nl_walks_are_overtaken_by_any_address_that_the_highest_pointer_leads_to_which_they_have_used(
    cached: bool, after: int, reach: int
) -> None:
    """Found cached when they began, or read together: here two of the four levels."""
    for page in (PAGE, MB2, GB - PAGE, GB, (1 << 39) - PAGE, 1 << 39):
        system = System(memory_ps=10_000, geometry={} if cached else {"nonleaf_entries": 0})
        space = system.device(scheme=SV48)
        for mapped in (0, MB2, 2 * MB2):
            space.map(mapped, DATA)
        system.translate(MB2)
        start = system.sim.now + 1
        for walked_to in (0, 2 * MB2):
            system.request(walked_to, at_ps=start, translate_only=True)
        system.at(start + after, partial(system.invalidate, Iotinval.vma(pscid=1, addr=page, nl=1)))
        system.run()
        assert system.count("overtaken") == (2 if page < reach else 0,), hex(page)


def test_a_page_of_one_entry_is_dropped_by_any_address_in_it() -> None:
    for size, level, napot in ((1 << 16, 0, True), (MB2, 1, False), (GB, 2, False)):
        for split in (True, False):
            system = System(geometry={"iotlb_napot": split})
            system.device().map(GB, 0x8000_0000, level, napot=napot)
            system.translate(GB + 5 * PAGE)
            assert system.probe(GB + 5 * PAGE)
            system.invalidate(Iotinval.vma(pscid=1, addr=GB + size))
            assert system.probe(GB + 5 * PAGE)
            system.invalidate(Iotinval.vma(pscid=1, addr=GB + size - PAGE))
            assert not system.probe(GB + 5 * PAGE)


def test_global_mappings_outlive_an_invalidation_of_their_pscid_alone() -> None:
    system = System()
    system.device().map(HOME, DATA, flags=LEAF.replace(g=1))
    system.translate(HOME)
    for command in (Iotinval.vma(pscid=1), Iotinval.vma(pscid=1, addr=HOME)):
        system.invalidate(command)
        assert system.probe(HOME)
    system.invalidate(Iotinval.vma(addr=HOME))
    assert not system.probe(HOME)


def test_what_is_not_invalidated_stays_as_it_was_cached() -> None:
    """Caches do not observe stores; IOTINVAL is what makes a change seen (2.8 "Caching in-memory data structures")."""
    system = System()
    space = walked(system)
    space.map(HOME, DATA + 7 * PAGE)
    assert system.translate(HOME).address == DATA + HOME
    system.invalidate(Iotinval.vma(pscid=1, addr=HOME))
    assert system.translate(HOME).address == DATA + 7 * PAGE


# --- Directories ------------------------------------------------------------------------------------------------------


def test_iodir_of_one_device_drops_its_context_and_no_pointer() -> None:
    system = System(levels=3)
    for device_id in (1, 2):
        system.context(device_id, system.dc())
        system.translate(0, device_id)
    system.invalidations.invalidate_ddt(1)
    assert system.reads(lambda: system.translate(0, 1)) == 1
    assert system.reads(lambda: system.translate(0, 2)) == 0


def test_iodir_of_all_devices_drops_pointers_as_well() -> None:
    system = System(levels=3)
    for device_id in (1, 2):
        system.context(device_id, system.dc())
        system.translate(0, device_id)
    system.invalidations.invalidate_ddt(None)
    assert system.reads(lambda: system.translate(0, 1)) == 3
    assert system.reads(lambda: system.translate(0, 2)) == 1


def test_iodir_leaves_translations_and_iotinval_leaves_contexts() -> None:
    system = System()
    walked(system)
    system.invalidations.invalidate_ddt(None)
    assert system.probe(HOME)
    assert system.reads(lambda: system.translate(HOME)) == 1
    system.invalidate(Iotinval.vma())
    assert system.count("ddtc.dropped") == (1,)
    assert system.reads(lambda: system.translate(HOME)) == 3


@pytest.mark.parametrize(
    ("geometry", "command", "dropped"),
    [
        ({}, lambda by: by.invalidate_ddt(1), 1),
        ({}, lambda by: by.invalidate_ddt(None), 2 + 3),
        ({"ddt_nonleaf_entries": 0}, lambda by: by.invalidate_ddt(None), 2),
        ({}, lambda by: by.invalidate_vma(Iotinval.vma(pscid=1, addr=HOME)), 1),
        ({}, lambda by: by.invalidate_vma(Iotinval.vma(pscid=1)), 1 + 2),
        ({"nonleaf_entries": 0}, lambda by: by.invalidate_vma(Iotinval.vma(pscid=1)), 1),
        ({}, lambda by: by.invalidate_vma(Iotinval.vma(pscid=3)), 0),
        ({}, lambda by: by.invalidate_gvma(Iotinval.gvma()), 0),
    ],
)
def test_an_invalidation_tells_how_many_entries_it_has_dropped_of_all_caches(
    geometry: dict[str, Any], command: Any, dropped: int
) -> None:
    """Cached are two contexts, a pointer to each one's last directory and one to both, and what leads to two pages."""
    system = System(levels=3, geometry=geometry)
    told: list[tuple[int, int]] = []
    system.sim.probe(Invalidated).watch(lambda event: told.append((event.dropped, event.overtaken)))
    for device_id in (1, 1 << 8):
        system.device(device_id, SV39, pscid=device_id).map(HOME, DATA)
        system.translate(HOME, device_id)
    for _ in range(2):
        command(system.invalidations)
    assert told == [(dropped, 0), (0, 0)]


# --- Latitude and names -----------------------------------------------------------------------------------------------


def test_latitude_may_widen_an_invalidation_to_everything() -> None:
    system = System(latitude={"invalidate_more": "on"})
    walked(system)
    system.context(2, system.dc())
    system.translate(0, 2)
    system.invalidate(Iotinval.vma(pscid=77, addr=0))
    assert system.reads(lambda: system.translate(HOME)) == 3
    system.invalidations.invalidate_ddt(2)
    assert system.reads(lambda: system.translate(HOME)) == 1


@pytest.mark.parametrize(
    ("command", "touches"),
    [
        (Iotinval.vma(pscid=1), True),
        (Iotinval.vma(pscid=1, addr=HOME), True),
        (Iotinval.vma(), True),
        (Iotinval.vma(pscid=2), False),
        (Iotinval.vma(pscid=1, gscid=1), False),
        (Iodir.inval_ddt(1), True),
        (Iodir.inval_ddt(), True),
        (Iodir.inval_ddt(2), False),
    ],
    ids=str,
)
def test_an_invalidation_conflicts_with_the_look_ups_that_it_may_change(command: Any, touches: bool) -> None:
    system = System()
    system.device(1, SV39, pscid=1).map(HOME, DATA)
    txn = system.translate(HOME)
    assert meet(system.translation.footprint(txn), system.invalidations.footprint(command)) == touches


def test_an_iotlb_forgets_sizes_that_it_no_longer_holds() -> None:
    iotlb: Iotlb = System(geometry={"iotlb_entries": 2}).translation.iotlb
    for lg2 in (12, 21, 30, 12):
        iotlb.fill(Leaf(HOST, 1, 0, lg2, grants=7))
        assert iotlb.find(HOST, 1, 0, False) is not None
    iotlb.invalidate(Scope())
    assert iotlb.find(HOST, 1, 0, False) is None
