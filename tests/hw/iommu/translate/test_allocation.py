"""When a translation takes its entry of the IOTLB: at the fill, or at the miss already."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.hw.dma.transaction import Status
from cosim.hw.iommu.options import Replacement
from cosim.hw.iommu.translate.leaf import HOST
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.spec.queues import Iotinval
from tests.hw.iommu.harness import DATA, System

READ = 100_000
PAGE = 0x1000
POLICIES = get_args(Replacement)


def system(pages: int = 8, *, executor: Any = Agenda, seed: int = 0, **geometry: Any) -> System:
    """A system whose context and upper tables are cached, so that a miss reads one entry, and with pages from 0 on."""
    made = System(memory_ps=READ, geometry={"iotlb_entries": 2, **geometry}, executor=executor, seed=seed)
    space = made.device()
    for page in range(pages):
        space.map(page * PAGE, DATA + page * PAGE)
    space.map(511 * PAGE, DATA)
    made.translate(511 * PAGE)
    made.invalidate(Iotinval.vma(pscid=1, addr=511 * PAGE))
    return made


def hits_while_walking(allocation: str, replacement: str) -> list[bool]:
    """Two pages are cached when a third one misses: whether each of the two hits while that one is walked."""
    made = system(iotlb_allocation=allocation, iotlb_replacement=replacement)
    made.translate(0)
    made.translate(PAGE)
    made.request(2 * PAGE, translate_only=True)
    made.run(made.sim.now + READ // 2)
    return [made.probe(0), made.probe(PAGE)]


@pytest.mark.parametrize("replacement", POLICIES)
def test_a_miss_gives_up_an_entry_at_once_if_it_allocates_then_and_with_its_fill_otherwise(replacement: str) -> None:
    assert sum(hits_while_walking("fill", replacement)) == 2
    assert sum(hits_while_walking("miss", replacement)) == 1


@pytest.mark.parametrize("replacement", POLICIES)
def test_what_is_reserved_is_filled_and_gives_up_nothing_more(replacement: str) -> None:
    made = system(iotlb_allocation="miss", iotlb_replacement=replacement)
    for page in range(3):
        made.translate(page * PAGE)
    assert made.probe(2 * PAGE)
    assert sum(made.probe(page * PAGE) for page in range(3)) == 2
    assert made.count("iotlb.evictions") == (1,)


def test_an_entry_that_a_walk_reserved_is_not_given_up_for_another_miss() -> None:
    """The first walk has its place however many misses come behind it, and those that find none keep nothing."""
    made = system(iotlb_allocation="miss", walkers=8)
    start = made.sim.now + 1_000_000
    for page in range(5):
        made.request(page * PAGE, at_ps=start + 10 * page, translate_only=True)
    made.run(start + READ + 20)
    assert made.probe(0)
    assert made.probe(PAGE)
    made.run()
    assert made.probe(3 * PAGE) + made.probe(4 * PAGE) == 2, "those take what is free by then"


@pytest.mark.parametrize("replacement", POLICIES)
@pytest.mark.parametrize("seed", range(3))
def test_misses_of_several_pages_reserve_different_entries(replacement: str, seed: int) -> None:
    made = system(iotlb_allocation="miss", iotlb_replacement=replacement, iotlb_entries=4, walkers=8, seed=seed)
    for page in range(4):
        made.translate(page * PAGE)
    start = made.sim.now + 1_000_000
    for page in range(4, 7):
        made.request(page * PAGE, at_ps=start + page, translate_only=True)
    made.run()
    assert all(made.probe(page * PAGE) for page in range(4, 7))
    assert made.count("iotlb.evictions") == (3,)


@pytest.mark.parametrize("replacement", POLICIES)
def test_misses_of_one_page_reserve_one_entry(replacement: str) -> None:
    made = system(iotlb_allocation="miss", iotlb_replacement=replacement)
    made.translate(0)
    start = made.sim.now + 1_000_000
    for n in range(4):
        made.request(PAGE + 8 * n, at_ps=start + 10 * n, translate_only=True)
    made.run()
    assert made.probe(0)
    assert made.probe(PAGE)
    assert made.count("iotlb.evictions") == (0,)


@pytest.mark.parametrize(
    ("gscid", "pscid", "iova", "one"),
    [(HOST, 1, PAGE + 8, True), (HOST, 1, 2 * PAGE, False), (HOST, 2, PAGE, False), (0, 1, PAGE, False)],
)
def test_only_misses_of_one_page_of_one_address_space_share_an_entry(
    gscid: int, pscid: int, iova: int, one: bool
) -> None:
    reservations = system(iotlb_allocation="miss").translation.iotlb.reservations
    assert reservations is not None
    first, second = reservations.reserve(HOST, 1, PAGE), reservations.reserve(gscid, pscid, iova)
    assert len(reservations) == (1 if one else 2)
    assert (first is second) == one


@pytest.mark.parametrize("replacement", POLICIES)
def test_a_walk_that_fails_gives_its_entry_back(replacement: str) -> None:
    made = system(iotlb_allocation="miss", iotlb_replacement=replacement)
    made.translate(0)
    made.translate(PAGE)
    failed = made.translate(100 * PAGE)
    assert failed.status is Status.UR
    assert made.probe(0) + made.probe(PAGE) == 1, "one was given up for nothing"
    made.translate(2 * PAGE)
    assert made.probe(0) + made.probe(PAGE) + made.probe(2 * PAGE) == 2
    assert made.count("iotlb.evictions") == (1,)


def test_a_miss_that_is_overtaken_gives_its_entry_back_before_it_reserves_again() -> None:
    made = system(iotlb_allocation="miss", iotlb_entries=1)
    made.request(0, translate_only=True)
    made.run(made.sim.now + READ // 2)
    made.invalidate(Iotinval.vma(pscid=1))
    made.run()
    assert made.count("restarts") == (1,)
    assert made.probe(0)
    assert not made.translation.iotlb.reservations


def test_a_superpage_takes_one_entry_whatever_its_misses_reserved() -> None:
    """Each of them reserves by its page of 4 KiB; the size is not known before."""
    made = system(iotlb_allocation="miss", iotlb_entries=4, iotlb_ways=1)
    space = made.device(2, pscid=2)
    space.map(1 << 21, DATA, 1)
    start = made.sim.now + 1_000_000
    txns = [made.request((1 << 21) + n * PAGE, 2, at_ps=start + n, translate_only=True) for n in range(4)]
    made.run()
    assert [txn.address for txn in txns] == [DATA + n * PAGE for n in range(4)]
    assert made.probe(1 << 21, pscid=2)
    fills, evictions, dropped = made.count("iotlb.fills", "iotlb.evictions", "iotlb.dropped")
    assert fills - evictions - dropped == len(made.translation.iotlb.cache) == 1


def test_each_set_reserves_its_own() -> None:
    made = system(iotlb_allocation="miss", iotlb_entries=4, iotlb_ways=2)
    for page in range(4):
        made.translate(page * PAGE)
    made.request(4 * PAGE, translate_only=True)
    made.run(made.sim.now + READ // 2)
    assert [made.probe(page * PAGE) for page in range(4)] == [False, True, True, True]


@settings(derandomize=True, deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3 * READ)), min_size=1, max_size=20),
    st.sampled_from(POLICIES),
    st.sampled_from([(1, 1), (2, 0), (4, 2)]),
)
def test_what_went_in_is_there_or_went_out_whatever_was_reserved(
    requests: list[tuple[int, int]], replacement: str, shape: tuple[int, int]
) -> None:
    """Pages 8 and 9 are not mapped. Both executors end each request at the same time, and nothing stays reserved."""
    answers = []
    for executor in (Plain, Agenda):
        entries, ways = shape
        made = system(
            executor=executor,
            iotlb_allocation="miss",
            iotlb_replacement=replacement,
            iotlb_entries=entries,
            iotlb_ways=ways,
            in_flight=4,
        )
        start = made.sim.now + 1_000_000
        txns = [made.request(page * PAGE, at_ps=start + after, translate_only=True) for page, after in requests]
        made.run()
        for txn, (page, _) in zip(txns, requests, strict=True):
            assert txn.address == (DATA + page * PAGE if page < 8 else None)
        iotlb = made.translation.iotlb
        fills, evictions, dropped = made.count("iotlb.fills", "iotlb.evictions", "iotlb.dropped")
        assert fills - evictions - dropped == len(iotlb.cache) <= entries
        assert not iotlb.reservations
        for page in range(entries):  # all places can be taken again
            made.translate(page * PAGE)
        assert len(iotlb.cache) == entries
        answers.append([made.ended[txn] for txn in txns])
    assert answers[0] == answers[1]
