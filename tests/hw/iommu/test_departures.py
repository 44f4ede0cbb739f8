"""The order in which requests go on to memory: as they are translated, or as they came."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.hw.dma.transaction import Status
from cosim.hw.iommu.departures import STREAMS
from cosim.hw.iommu.options import Order
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from tests.hw.iommu.harness import DATA, System

READ = 100_000
PAGE = 0x1000
MISSED, CACHED, UNMAPPED = 7, 0, 100
FAR, NEVER = 1 << 18, 1 << 40
"""A page that shares no table with the others, and one that no page table can map."""


def system(order: str, *, executor: Any = Agenda, **geometry: Any) -> System:
    """A system with two devices of one address space, in which page 0 is cached; a miss reads one entry."""
    made = System(memory_ps=READ, geometry={"order": order, **geometry}, executor=executor)
    space = made.device()
    made.context(2, made.dc(space))
    for page in range(8):
        space.map(page * PAGE, DATA + page * PAGE)
    space.map(FAR * PAGE, DATA)
    for device in (1, 2):
        made.translate(CACHED, device)
    return made


def ends(made: System, *requests: tuple[int, int, bool]) -> list[int]:
    """When requests (page, device, write), a little after one another, are over: in reads since the first of them."""
    start = made.sim.now + 1_000_000
    txns = [
        made.request(page * PAGE, device, write=write, at_ps=start + 10 * n)
        for n, (page, device, write) in enumerate(requests)
    ]
    made.run()
    return [round((made.ended[txn] - start) / READ) for txn in txns]


@pytest.mark.parametrize(("order", "expected"), [("any", [2, 1]), ("device", [2, 2])])
def test_requests_of_a_device_keep_their_order_whichever_of_its_ids_they_carry(order: str, expected: list[int]) -> None:
    made = system(order)
    start = made.sim.now + 1_000_000
    txns = [made.request(page * PAGE, id_, at_ps=start + 10 * id_) for page, id_ in ((MISSED, 1), (CACHED, 2))]
    for txn in txns:
        txn.master = "nic0"
    made.run()
    assert [round((made.ended[txn] - start) / READ) for txn in txns] == expected


MISS, HIT, WRITE_MISS, WRITE_HIT, OTHERS, WRITE_OTHERS = (
    (MISSED, 1, False),
    (CACHED, 1, False),
    (MISSED, 1, True),
    (CACHED, 1, True),
    (CACHED, 2, False),
    (CACHED, 2, True),
)


@pytest.mark.parametrize(
    ("order", "expected"),
    [("any", [2, 1, 1, 1, 1]), ("writes", [2, 1, 1, 1, 1]), ("kind", [2, 2, 1, 1, 1]), ("device", [2, 2, 2, 1, 1])],
)
def test_hits_behind_a_read_that_misses_wait_for_it_if_they_are_of_its_stream(order: str, expected: list[int]) -> None:
    assert ends(system(order), MISS, HIT, WRITE_HIT, OTHERS, WRITE_OTHERS) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [("any", [2, 1, 1, 1, 1]), ("writes", [2, 1, 2, 1, 1]), ("kind", [2, 1, 2, 1, 1]), ("device", [2, 2, 2, 1, 1])],
)
def test_hits_behind_a_write_that_misses_wait_for_it_if_they_are_of_its_stream(order: str, expected: list[int]) -> None:
    assert ends(system(order), WRITE_MISS, HIT, WRITE_HIT, OTHERS, WRITE_OTHERS) == expected


def test_every_order_but_any_has_its_streams() -> None:
    assert STREAMS.keys() == {*get_args(Order)} - {"any"}


def test_the_wait_for_ones_turn_is_a_part_of_its_own() -> None:
    made = system("device")
    start = made.sim.now + 1_000_000
    _, hit = made.request(MISSED * PAGE, at_ps=start), made.request(CACHED, at_ps=start + 10)
    made.run()
    assert 0.9 * READ < hit.parts["order"] < 1.1 * READ
    assert sum(hit.parts.values()) == made.latency(hit)


def test_nothing_overtakes_a_request_that_is_refused_and_it_overtakes_nothing() -> None:
    made = system("device")
    start = made.sim.now + 1_000_000
    requests = (MISSED, UNMAPPED, CACHED)
    txns = [made.request(page * PAGE, at_ps=start + 10 * n) for n, page in enumerate(requests)]
    made.run()
    assert [txn.status for txn in txns] == [Status.SUCCESS, Status.UR, Status.SUCCESS]
    _, refused, behind = (made.ended[txn] for txn in txns)
    assert behind > refused + READ - 10, "it reads memory once the one before it has been answered"


@pytest.mark.parametrize("place_until", ["departure", "translation"])
def test_a_fence_waits_for_what_is_translated_and_waits_for_its_turn(place_until: str) -> None:
    """A fence that did not would let its caller free a page which the request is about to read."""
    made = system("device", place_until=place_until)
    start = made.sim.now + 1_000_000
    made.request(MISSED * PAGE, at_ps=start)
    hit = made.request(CACHED, at_ps=start + 10)
    fenced = made.fence(pr=True, at_ps=start + READ // 2)
    made.run()
    assert fenced[0] >= made.ended[hit] > start + 3 * READ // 2


def test_a_place_is_taken_until_its_turn_comes() -> None:
    made = system("device", in_flight=2)
    assert ends(made, MISS, HIT, HIT, OTHERS) == [2, 2, 2, 2]
    assert ends(system("any", in_flight=2), MISS, HIT, HIT, OTHERS) == [2, 1, 1, 1]


def test_or_until_it_is_translated() -> None:
    made = system("device", in_flight=2, place_until="translation")
    assert ends(made, MISS, HIT, HIT, OTHERS) == [2, 2, 2, 1]


def test_a_place_is_taken_until_a_request_that_is_refused_has_been_answered() -> None:
    """It is refused at once, for its upper bits, and the miss before it reads three entries."""
    for order, expected in (("device", 4), ("any", 2)):
        made = system(order, in_flight=2)
        assert ends(made, (FAR, 1, False), (NEVER, 1, False), OTHERS)[-1] == expected, order


@settings(derandomize=True, deadline=None, max_examples=12)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([1, 2]), st.booleans()), min_size=1, max_size=16),
    st.sampled_from([1, 3, 16]),
    st.sampled_from(sorted(STREAMS)),
    st.sampled_from(["departure", "translation"]),
)
def test_requests_of_a_stream_are_over_in_the_order_in_which_they_came(
    requests: list[tuple[int, int, bool]], in_flight: int, order: Order, place_until: str
) -> None:
    """Whatever hits, misses or is refused (pages 8 and 9), in both executors at the same times."""
    answers = []
    for executor in (Plain, Agenda):
        made = system(order, executor=executor, in_flight=in_flight, iotlb_entries=2, place_until=place_until)
        start = made.sim.now + 1_000_000
        txns = [
            made.request(page * PAGE, device, write=write, at_ps=start + 7 * n)
            for n, (page, device, write) in enumerate(requests)
        ]
        made.run()
        streams: dict[Any, list[int]] = {}
        for txn in txns:
            assert sum(txn.parts.values()) == made.latency(txn)
            if txn.status is Status.SUCCESS and (stream := STREAMS[order](txn)) is not None:
                streams.setdefault(stream, []).append(made.ended[txn])
        assert all(times == sorted(times) for times in streams.values())
        answers.append([(made.ended[txn], txn.parts) for txn in txns])
    assert answers[0] == answers[1]
