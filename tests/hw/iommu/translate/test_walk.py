"""Walks of page tables: how many entries are read, which leaf is found, and what stops a walk."""

from __future__ import annotations

from itertools import product

import pytest

from cosim.events import Busy
from cosim.hw.dma.transaction import Status
from cosim.hw.iommu.translate.leaf import HOST
from cosim.hw.iommu.translate.tree import Tables
from cosim.spec.faults import Cause
from cosim.spec.pagetable import SV32, SV39, SV48, SV57, Pte, Scheme
from tests.hw.iommu.harness import DATA, LEAF, System

SCHEMES = [SV32, SV39, SV48, SV57]
LEAVES = [(scheme, level) for scheme in SCHEMES for level in range(scheme.levels)]
NO_CACHES = {"nonleaf_entries": 0, "iotlb_entries": 0, "ddtc_entries": 0, "ddt_nonleaf_entries": 0}


def iova_of(scheme: Scheme) -> int:
    """An address with another index at every level."""
    return sum((3 + level) << scheme.page_lg2(level) for level in range(scheme.levels)) % (1 << scheme.address_bits - 1)


def ids(values: list[tuple[Scheme, int]]) -> list[str]:
    return [f"{scheme.name}-level{level}" for scheme, level in values]


@pytest.mark.parametrize(("turnaround", "longer"), [(0, 0), (5_000, 4_999)])
def test_whoever_watches_is_told_of_each_walk_how_long_its_walker_was_busy(turnaround: int, longer: int) -> None:
    """With the turnaround but for its last tick, in which it is handed over.

    One entry of the directory is read, and three of the page table.
    """
    system = System(geometry=NO_CACHES, timing={"walker_turnaround": turnaround}, memory_ps=10_000)
    system.device().map(0x1000, 0)
    told: list[tuple[int, str, int]] = []
    system.sim.probe(Busy).watch(lambda event: told.append((event.time, event.who, event.busy_ps)))
    system.translate(0x1000)
    system.run()
    assert [(who, busy_ps) for _, who, busy_ps in told] == [
        ("iommu0.walkers", 10_000 + longer),
        ("iommu0.walkers", 30_000 + longer),
    ]
    assert told[-1][0] == system.sim.now


# --- How many reads (validation target A1) ----------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "level"), LEAVES, ids=ids(LEAVES))
def test_a_cold_walk_reads_one_entry_for_each_level_down_to_the_leaf(scheme: Scheme, level: int) -> None:
    system = System()
    iova = iova_of(scheme)
    system.device(scheme=scheme).map(iova, 0, level)
    assert system.translate(iova).status is Status.SUCCESS
    assert system.count("walk_reads", "walks") == (scheme.levels - level, 1)


@pytest.mark.parametrize(("scheme", "level"), LEAVES, ids=ids(LEAVES))
def test_a_warm_iotlb_spares_all_reads(scheme: Scheme, level: int) -> None:
    system = System()
    iova = iova_of(scheme)
    system.device(scheme=scheme).map(iova, 0, level)
    system.translate(iova)
    assert system.reads(lambda: system.translate(iova)) == 0


@pytest.mark.parametrize(("scheme", "level"), LEAVES, ids=ids(LEAVES))
def test_each_warm_level_above_the_leaf_spares_one_read(scheme: Scheme, level: int) -> None:
    """A neighbour of the page shares all tables down to the leaf's: only the leaf itself is read."""
    system = System()
    space = system.device(scheme=scheme)
    iova = iova_of(scheme)
    neighbour = iova + (1 << scheme.page_lg2(level))
    space.map(iova, 0, level)
    space.map(neighbour, 0, level)
    system.translate(iova)
    assert system.reads(lambda: system.translate(neighbour)) == 1


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_page_that_shares_the_upper_tables_only_takes_the_lower_reads(scheme: Scheme) -> None:
    for shared in range(1, scheme.levels):
        system = System()
        space = system.device(scheme=scheme)
        iova = iova_of(scheme)
        other = iova + (1 << scheme.page_lg2(shared - 1))  # differs at level shared - 1, and in no level above
        space.map(iova, 0)
        space.map(other, 0)
        system.translate(iova)
        assert system.reads(lambda other=other, system=system: system.translate(other)) == shared


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_without_caches_every_walk_reads_every_level(scheme: Scheme) -> None:
    system = System(levels=2, geometry=NO_CACHES)
    iova = iova_of(scheme)
    system.device(0x81, scheme=scheme).map(iova, 0)
    for _ in range(2):
        assert system.reads(lambda: system.translate(iova, 0x81)) == scheme.levels + 2
    for level in range(1, scheme.levels):
        assert system.count(f"nonleaf{level}.hits", f"nonleaf{level}.misses") == (0, 2)


def test_a_pointer_cache_that_is_too_small_gives_up_the_pointer_used_least_recently() -> None:
    system = System(geometry={"nonleaf_entries": 2, "iotlb_entries": 0})
    space = system.device()
    pages = [index << 21 for index in range(3)]
    for page in pages:
        space.map(page, DATA)

    def reads(page: int) -> int:
        return system.reads(lambda: system.translate(page))

    system.translate(pages[0])
    assert [reads(page) for page in pages] == [1, 2, 2]
    assert [reads(pages[0]), reads(pages[2]), reads(pages[0])] == [2, 1, 1]
    assert system.count("nonleaf1.hits", "nonleaf1.misses", "nonleaf1.evictions") == (3, 4, 2)


# --- Where it leads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "level"), LEAVES, ids=ids(LEAVES))
def test_every_address_of_a_leaf_keeps_its_offset(scheme: Scheme, level: int) -> None:
    system = System()
    iova = iova_of(scheme) & -1 << scheme.page_lg2(level)
    base = 0x5 << scheme.page_lg2(level) if scheme.page_lg2(level) < 44 else 0
    system.device(scheme=scheme).map(iova, base, level)
    last = (1 << scheme.page_lg2(level)) - 8
    for offset in (0, 0x123, last):
        assert system.translate(iova + offset).address == base + offset
    assert system.count("walks") == (1,)


def test_a_napot_page_is_one_translation_of_64_kib() -> None:
    system = System()
    system.device().map(0x30000, DATA + 0x70000, napot=True)
    assert system.translate(0x3F008).address == DATA + 0x7F008
    assert system.translate(0x30000).address == DATA + 0x70000
    assert system.count("walks", "iotlb.fills") == (1, 1)
    assert not system.probe(0x40000)


def test_hardware_may_keep_4_kib_of_a_napot_page() -> None:
    system = System(geometry={"iotlb_napot": False})
    system.device().map(0x30000, DATA + 0x70000, napot=True)
    assert system.translate(0x3F008).address == DATA + 0x7F008
    assert system.translate(0x30008).address == DATA + 0x70008
    assert system.count("walks", "iotlb.fills") == (2, 2)


@pytest.mark.parametrize("scheme", [SV39, SV48, SV57], ids=lambda scheme: scheme.name)
def test_the_upper_half_of_the_address_space_is_translated_as_well(scheme: Scheme) -> None:
    system = System()
    iova = (1 << 64) - (1 << scheme.address_bits - 1) + 0x5000
    system.device(scheme=scheme).map(iova, DATA)
    assert system.translate(iova + 8).address == DATA + 8


def test_the_memory_type_comes_from_the_leaf() -> None:
    system = System()
    space = system.device()
    for index, pbmt in enumerate((0, 1, 2)):
        space.map(index << 12, DATA, flags=LEAF.replace(pbmt=pbmt))
    for _ in range(2):  # walked, then cached
        assert [system.translate(index << 12).pbmt for index in range(3)] == [0, 1, 2]


# --- What stops a walk ------------------------------------------------------------------------------------------------


def cause(system: System, iova: int, **request: bool) -> int:
    """The cause that is reported for a request."""
    txn = system.translate(iova, **request)
    assert txn.status is Status.UR
    return system.causes()[-1]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_an_address_beyond_the_width_of_the_scheme_is_a_page_fault_without_a_read(scheme: Scheme) -> None:
    system = System()
    space = system.device(scheme=scheme)
    space.map(0x1000, DATA)
    assert system.translate(0x1000).status is Status.SUCCESS
    walks = system.count("walk_reads")
    for bit in (scheme.address_bits - 1 + (scheme is SV32), 40 if scheme is SV32 else 63):
        assert cause(system, 0x1000 | 1 << bit) == Cause.READ_PAGE_FAULT
        assert cause(system, 0x1000 | 1 << bit, write=True) == Cause.WRITE_PAGE_FAULT
        assert cause(system, 0x1000 | 1 << bit, execute=True) == Cause.INSTRUCTION_PAGE_FAULT
    assert system.count("walk_reads") == walks


@pytest.mark.parametrize(
    "pte",
    [
        pytest.param(LEAF.replace(v=0), id="V=0"),
        pytest.param(LEAF.replace(r=0), id="W without R"),
        pytest.param(LEAF.replace(r=0, x=0), id="W alone"),
        pytest.param(Pte(LEAF | 1 << 54), id="reserved bit"),
        pytest.param(LEAF.replace(rsw60t59=1), id="bits 60:59 without Svrsw60t59b"),
        pytest.param(LEAF.replace(pbmt=3), id="PBMT reserved"),
        pytest.param(LEAF.replace(r=0, w=0, x=0, a=0, d=0, u=0), id="pointer at level 0"),
        pytest.param(LEAF.replace(r=0, w=0, x=0), id="pointer with A, D and U"),
        pytest.param(LEAF.replace(n=1, ppn=0x80004), id="N=1, not 64 KiB"),
    ],
)
@pytest.mark.parametrize("fill_refused", [False, True])
def test_a_leaf_that_is_not_well_formed_is_a_page_fault_and_never_kept(pte: Pte, fill_refused: bool) -> None:
    system = System(geometry={"fill_refused": fill_refused})
    space = system.device()
    system.poke(space.pte(0x1000), pte if pte.ppn else pte.replace(ppn=DATA >> 12))
    assert cause(system, 0x1000) == Cause.READ_PAGE_FAULT
    assert system.count("iotlb.fills") == (0,)


@pytest.mark.parametrize("bit", ["a", "d", "u", "pbmt", "n"])
def test_a_pointer_with_bits_of_a_leaf_is_a_page_fault(bit: str) -> None:
    system = System()
    space = system.device()
    space.map(0x1000, DATA)
    pointer = space.pte(0x1000, 1)
    system.poke(pointer, Pte(system.peek(pointer)).replace(**{bit: 1}))
    assert cause(system, 0x1000) == Cause.READ_PAGE_FAULT
    assert system.count("walk_reads", "nonleaf1.fills", "nonleaf2.fills") == (2, 0, 1)


@pytest.mark.parametrize(
    ("scheme", "level"),
    [(scheme, level) for scheme, level in LEAVES if level],
    ids=ids([(scheme, level) for scheme, level in LEAVES if level]),
)
def test_a_misaligned_superpage_is_a_page_fault(scheme: Scheme, level: int) -> None:
    system = System()
    space = system.device(scheme=scheme)
    iova = iova_of(scheme)
    at = space.map(iova, 0, level)
    system.poke(at, scheme.pte(system.peek(at, scheme.pte_size)).replace(ppn=1), scheme.pte_size)
    assert cause(system, iova) == Cause.READ_PAGE_FAULT


def test_pbmt_is_reserved_without_svpbmt() -> None:
    system = System(capabilities={"svpbmt": 0})
    system.device().map(0x1000, DATA, flags=LEAF.replace(pbmt=1))
    assert cause(system, 0x1000) == Cause.READ_PAGE_FAULT


def test_an_entry_that_can_be_written_and_not_read_is_reserved() -> None:
    system = System()
    system.device().map(0x1000, DATA, flags=LEAF.replace(r=0, w=1, x=0))
    assert cause(system, 0x1000, write=True) == Cause.WRITE_PAGE_FAULT


def test_bits_60_and_59_are_software_s_with_svrsw60t59b() -> None:
    system = System(capabilities={"svrsw60t59b": 1})
    system.device().map(0x1000, DATA, flags=LEAF.replace(rsw60t59=3))
    assert system.translate(0x1000).status is Status.SUCCESS


ACCESSES = [
    ({}, Cause.READ_ACCESS_FAULT),
    ({"write": True}, Cause.WRITE_ACCESS_FAULT),
    ({"execute": True}, Cause.INSTRUCTION_ACCESS_FAULT),
]


@pytest.mark.parametrize(("request_", "expected"), ACCESSES)
def test_a_table_that_memory_refuses_is_an_access_fault(request_: dict[str, bool], expected: Cause) -> None:
    for level in range(3):
        system = System()
        space = system.device()
        space.map(0x1000, DATA)
        system.memory.fault("access_fault", space.pte(0x1000, level), 8)
        assert cause(system, 0x1000, **request_) == expected
        assert system.count("walk_reads") == (3 - level,)


def test_poisoned_table_entries_are_data_corruption() -> None:
    for level in range(3):
        system = System()
        space = system.device()
        space.map(0x1000, DATA)
        system.memory.fault("corrupt", space.pte(0x1000, level), 8)
        assert cause(system, 0x1000) == Cause.PT_DATA_CORRUPTION


def test_a_table_beyond_the_physical_addresses_is_an_access_fault_without_a_read() -> None:
    system = System()
    space = system.device()
    system.poke(space.pte(0, 2), Pte.of(v=1, ppn=1 << 46 - 12))
    assert cause(system, 0) == Cause.READ_ACCESS_FAULT
    assert system.count("walk_reads") == (1,)


def test_a_page_beyond_the_physical_addresses_is_translated_and_then_refused_by_memory() -> None:
    system = System()
    system.device().map(0x1000, 1 << 46)
    assert system.translate(0x1008).address == (1 << 46) + 8
    txn = system.dma(0x1008)
    assert txn.status is Status.ACCESS_FAULT
    assert not system.faults()


# --- Permissions ------------------------------------------------------------------------------------------------------


def allowed(pte: Pte, write: bool, execute: bool) -> bool:
    """What the specification says of a request without a process: it is a user's."""
    wanted = pte.w if write else pte.x if execute else pte.r
    return bool(pte.u and wanted)


@pytest.mark.parametrize("scheme", [SV32, SV39], ids=lambda scheme: scheme.name)
def test_a_request_gets_what_the_leaf_grants_to_users(scheme: Scheme) -> None:
    for r, w, x, u in product((0, 1), repeat=4):
        if not (r or x) or (w and not r):
            continue
        system = System()
        flags = LEAF.replace(r=r, w=w, x=x, u=u)
        system.device(scheme=scheme).map(0x1000, DATA, flags=flags)
        for _ in range(2):  # walked, then cached if any request got through
            for write, execute in ((False, False), (True, False), (False, True)):
                txn = system.translate(0x1000, write=write, execute=execute)
                assert (txn.status is Status.SUCCESS) == allowed(flags, write, execute), (flags, write, execute)


def test_a_fault_leaves_nothing_in_the_iotlb_and_a_grant_serves_all_requests() -> None:
    system = System()
    system.device().map(0x1000, DATA, flags=LEAF.replace(w=0))
    assert cause(system, 0x1000, write=True) == Cause.WRITE_PAGE_FAULT
    assert not system.probe(0x1000)
    system.translate(0x1000)
    assert system.probe(0x1000)
    assert system.reads(lambda: cause(system, 0x1000, write=True)) == 0


def test_a_look_at_the_pointers_behind_a_wait_is_no_look_up() -> None:
    system = System(geometry={"nonleaf_entries": 4})
    space = system.device()
    space.map(0, DATA)
    system.translate(0)
    tables = system.translation.directory.tables["Sv39"]
    way = Tables(tables, space.root, 3, (HOST, 1))
    counted = [(cache.hits, cache.misses) for cache in tables.pointers.values()]
    assert tables.peek(way, 0) is not None
    assert [(cache.hits, cache.misses) for cache in tables.pointers.values()] == counted
    assert tables.cached(way, 0) == tables.peek(way, 0)
    assert [(cache.hits, cache.misses) for cache in tables.pointers.values()] != counted
