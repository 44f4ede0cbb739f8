"""The IOTLB: what hits, what is given up, and how far an entry reaches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cosim.events import CacheFilled, CacheLookup
from cosim.hw.dma.transaction import Status
from cosim.hw.iommu.translate.leaf import HOST, Leaf
from cosim.hw.iommu.translate.scope import Scope
from cosim.spec.pagetable import SV32, SV39, SV48, Pte, Scheme
from tests.hw.iommu.harness import DATA, LEAF, System

PAGE = 0x1000


def hits(system: System, pages: list[int]) -> list[bool]:
    """Whether each request of a sequence hits."""
    result = []
    for page in pages:
        before = system.count("iotlb.hits")[0]
        system.translate(page * PAGE)
        result.append(system.count("iotlb.hits")[0] > before)
    return result


def mapped(count: int, **geometry: object) -> System:
    """A system with `count` pages mapped from 0 on."""
    system = System(geometry=geometry)
    space = system.device()
    for page in range(count):
        space.map(page * PAGE, DATA)
    return system


def test_a_page_hits_from_its_second_request_on() -> None:
    assert hits(mapped(2), [0, 0, 1, 0, 1]) == [False, True, False, True, True]


def test_lru_gives_up_the_page_used_least_recently() -> None:
    system = mapped(3, iotlb_entries=2)
    assert hits(system, [0, 1, 0, 2, 0, 1]) == [False, False, True, False, True, False]


def test_a_cyclic_sequence_beyond_the_entries_never_hits_under_lru_and_sometimes_under_random() -> None:
    """Validation target A2 tells the policies apart by it."""
    rounds = list(range(5)) * 6
    assert not any(hits(mapped(5, iotlb_entries=4), rounds))
    assert any(hits(mapped(5, iotlb_entries=4, iotlb_replacement="random"), rounds))


def test_a_set_is_chosen_by_the_page_number() -> None:
    system = mapped(5, iotlb_entries=4, iotlb_ways=1)
    assert hits(system, [0, 1, 2, 3, 0, 4, 1, 0]) == [False, False, False, False, True, False, True, False]


def test_without_entries_every_request_walks() -> None:
    system = mapped(1, iotlb_entries=0)
    assert hits(system, [0, 0, 0]) == [False] * 3
    assert system.count("iotlb.fills", "walks") == (0, 3)


@pytest.mark.parametrize("napot", [True, False])
@pytest.mark.parametrize(("scheme", "level"), [(SV32, 1), (SV39, 1), (SV39, 2), (SV48, 3)])
def test_a_superpage_takes_one_entry(scheme: Scheme, level: int, napot: bool) -> None:
    """Also where a page of 64 KiB does not."""
    system = System(geometry={"iotlb_napot": napot})
    size = 1 << scheme.page_lg2(level)
    system.device(scheme=scheme).map(size, 0, level)
    for offset in (0, size - 8, size // 2):
        system.translate(size + offset)
    assert system.count("iotlb.fills", "iotlb.hits") == (1, 2)


def test_pages_of_different_sizes_live_side_by_side() -> None:
    system = System()
    space = system.device()
    space.map(0x1000, DATA)
    space.map(0x20_0000, 0x8020_0000, 1)
    space.map(0x50000, DATA + 0x10000, napot=True)
    wanted = {0x1008: DATA + 8, 0x2A_BCD8: 0x802A_BCD8, 0x5A008: DATA + 0x1A008}
    for _ in range(2):
        for iova, address in wanted.items():
            assert system.translate(iova).address == address
    assert system.count("iotlb.hits", "iotlb.misses") == (3, 3)


def test_the_same_page_of_two_address_spaces_is_two_entries() -> None:
    system = System()
    for device_id, pscid in ((1, 7), (2, 8)):
        system.device(device_id, pscid=pscid).map(0x1000, DATA + device_id * 0x10000)
    for _ in range(2):
        assert system.translate(0x1000, 1).address == DATA + 0x10000
        assert system.translate(0x1000, 2).address == DATA + 0x20000
    assert system.count("iotlb.fills", "iotlb.hits") == (2, 2)


def test_devices_that_share_an_address_space_share_its_entries() -> None:
    system = System()
    space = system.device(1)
    system.context(2, system.dc(space))
    space.map(0x1000, DATA)
    system.translate(0x1000, 1)
    assert system.reads(lambda: system.translate(0x1000, 2)) == 1  # its context
    assert system.count("iotlb.hits") == (1,)


@pytest.mark.parametrize("where", ["leaf", "pointer"])
def test_a_global_mapping_serves_every_address_space(where: str) -> None:
    """G in a leaf, or in a pointer on the way to it, makes the mapping global ("Supervisor-Level ISA", G bit)."""
    system = System()
    first = system.device(1, pscid=1)
    system.device(2, pscid=2)
    flags = LEAF.replace(g=1) if where == "leaf" else LEAF
    first.map(0x1000, DATA, flags=flags)
    if where == "pointer":
        at = first.pte(0x1000, 2)
        system.poke(at, system.peek(at) | LEAF.replace(g=1) & ~LEAF)
    system.translate(0x1000, 1)
    assert system.probe(0x1000, pscid=2)
    assert system.translate(0x1000, 2).address == DATA
    assert system.count("walks", "iotlb.hits") == (1, 1)
    first.map(0x2000, DATA, flags=flags)
    assert system.reads(lambda: system.translate(0x2000, 1)) == 1
    assert system.probe(0x2000, pscid=2), "the pointer that is cached says so too"


def test_fills_are_seen_with_what_they_cost() -> None:
    system = mapped(3, iotlb_entries=2)
    seen: list[bool] = []
    system.sim.probe(CacheFilled).watch(lambda event: seen.append(event.evicted) if "iotlb" in event.who else None)
    hits(system, [0, 1, 2, 0])
    assert seen == [False, False, True, True]
    assert system.count("iotlb.fills", "iotlb.evictions") == (4, 2)


def test_fills_of_the_context_cache_are_seen_with_what_they_cost() -> None:
    system = System(geometry={"ddtc_entries": 1})
    seen: list[tuple[tuple[int, ...], bool]] = []
    system.sim.probe(CacheFilled).watch(
        lambda event: seen.append((event.tag, event.evicted)) if "ddtc" in event.who else None
    )
    for device in (1, 2):
        system.device(device).map(0, DATA)
        system.translate(0, device)
    assert seen == [((1,), False), ((2,), True)]


def test_latitude_may_drop_an_entry_at_any_time_and_costs_only_walks() -> None:
    results = {}
    for evict in ("off", "on"):
        system = System(latitude={"evict": evict}, seed=3)
        seen: list[CacheLookup] = []
        system.sim.probe(CacheLookup).watch(seen.append)
        space = system.device()
        for page in range(4):
            space.map(page * PAGE, DATA + page * PAGE)
        results[evict] = [system.translate(page * PAGE).address for page in [0, 1, 2, 3] * 5], system.count("walks")[0]
        walks, counts = results[evict][1], system.count("iotlb.hits", "iotlb.misses", "iotlb.fills", "iotlb.dropped")
        assert counts == (20 - walks, walks, walks, walks - 4)
        assert sum(event.hit for event in seen if event.who == "iommu0.iotlb") == 20 - walks
    assert results["on"][0] == results["off"][0]
    assert results["on"][1] > results["off"][1] == 4


@settings(derandomize=True, deadline=None, max_examples=10)
@given(
    st.lists(st.integers(0, 5), max_size=25),
    st.sampled_from([(1, 0), (2, 0), (4, 2), (4, 0), (2, 1), (8, 4)]),
    st.sampled_from(["lru", "plru", "random"]),
)
def test_an_iotlb_of_any_shape_changes_no_translation(
    pages: list[int], shape: tuple[int, int], replacement: str
) -> None:
    system = System(geometry={"iotlb_entries": shape[0], "iotlb_ways": shape[1], "iotlb_replacement": replacement})
    space = system.device()
    for page in range(6):
        space.map(page * PAGE, DATA + 3 * page * PAGE)
    for page in pages:
        assert system.translate(page * PAGE + 8).address == DATA + 3 * page * PAGE + 8
    assert sum(system.count("iotlb.hits", "iotlb.misses")) == len(pages)
    assert len(system.translation.iotlb.cache) <= shape[0]


LEAVES = [
    Leaf(HOST, pscid, iova, lg2, grants=7, mapped_globally=pscid == 3)
    for pscid in (1, 2, 3)
    for lg2 in (12, 16, 21)
    for iova in (0, 1 << lg2)
]
SCOPES = [Scope(HOST, 1, 0), Scope(HOST, None, 0), Scope(HOST, 2), Scope(HOST, 1, 16, nonleaf=False), Scope()]


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["fill", "reserve", "evict"]), st.sampled_from(LEAVES)),
            st.tuples(st.just("invalidate"), st.sampled_from(SCOPES)),
        ),
        max_size=25,
    ),
    st.integers(0, 6),
    st.booleans(),
)
@example([("fill", LEAVES[0]), ("fill", LEAVES[2])], 1, True)
@example([("fill", LEAVES[0]), ("reserve", LEAVES[2])], 1, True)
def test_the_sizes_that_a_look_up_tries_are_those_of_the_entries(
    steps: list[tuple[str, Any]], entries: int, napot: bool
) -> None:
    """One that is not there any more costs time, and one that is missed hides its entries."""
    geometry = {"iotlb_entries": entries, "iotlb_napot": napot, "iotlb_allocation": "miss"}
    iotlb = System(geometry=geometry).translation.iotlb
    for what, of in steps:
        if what == "fill":
            iotlb.fill(of)
        elif what == "reserve" and iotlb.reservations is not None:
            reserved = iotlb.reservations.reserve(HOST, 1, of.key[3] << of.lg2)
            iotlb.fill(of, reserved)
            if reserved is not None:
                reserved.let_go()
        elif what == "evict":
            iotlb.evict(of)
        elif what == "invalidate":
            iotlb.invalidate(of)
        there = [leaf for _, leaf in iotlb.cache.items()]
        assert iotlb._kinds == Counter(leaf.lg2 << 1 | leaf.mapped_globally for leaf in there)
        assert all(iotlb.holds(leaf) for leaf in there)
        assert len(there) <= entries


@pytest.mark.parametrize(
    ("flags", "write", "kept"),
    [
        ({"u": 1, "a": 1, "d": 1}, True, True),
        ({"u": 1, "a": 1}, True, False),
        ({"a": 1}, False, True),
        ({}, False, False),
    ],
    ids=["not writable", "nor dirty", "not the user's", "nor accessed"],
)
@pytest.mark.parametrize("fill_refused", [False, True])
def test_a_page_is_kept_for_who_is_not_let_in_if_hardware_does_so(
    flags: dict[str, int], write: bool, kept: bool, fill_refused: bool
) -> None:
    """Not without A, and D for a write: those cost a walk each time."""
    system = System(geometry={"fill_refused": fill_refused})
    at = system.device(sade=1).map(0x1000, DATA, flags=Pte.of(v=1, r=1, **flags))
    before = system.peek(at)
    for _ in range(2):
        assert system.translate(0x1000, write=write).status is Status.UR
    assert system.count("iotlb.hits") == (int(kept and fill_refused),)
    assert system.probe(0x1000) == (kept and fill_refused)
    assert system.peek(at) == before
