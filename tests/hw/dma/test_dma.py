"""DMA masters: where their requests go, when, how many at a time, and what their time is made of."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.hw.dma.traffic import split
from cosim.hw.dma.transaction import Status, Transaction
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.sim.transport import Access, AccessKind, CountsFor
from cosim.spec.dma_device import CONTROL, SIZE, STATUS, WINDOW, DmaControl, DmaStatus
from cosim.spec.register_map import Register
from cosim.units.quantities import NS
from tests.hw.dma.masters import BASE, Rig

BOTH = pytest.mark.parametrize("executor", [Plain, Agenda])


# --- Addresses -------------------------------------------------------------------------------------------------------


def offsets_of(requests: int, **traffic: Any) -> list[int]:
    rig = Rig()
    rig.master(requests=requests, **traffic).start(BASE)
    rig.run()
    return [event.iova - BASE for event in rig.issued]


def test_sequential_requests_follow_each_other_and_begin_again_at_the_end_of_the_window() -> None:
    assert offsets_of(5, pattern="sequential", size=64, window=256) == [0, 64, 128, 192, 0]


def test_strided_requests_are_a_stride_apart() -> None:
    assert offsets_of(5, pattern="strided", size=64, stride=4096, window=3 * 4096) == [0, 4096, 8192, 0, 4096]


def test_random_requests_fill_the_window_and_stay_in_it() -> None:
    found = offsets_of(200, pattern="random", size=64, window=512)
    assert set(found) == set(range(0, 512, 64))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    st.sampled_from(["sequential", "strided", "random"]), st.integers(1, 300), st.integers(0, 500), st.integers(1, 99)
)
def test_no_request_leaves_its_window(pattern: str, size: int, room: int, stride: int) -> None:
    rig = Rig()
    rig.master(requests=20, pattern=pattern, size=size, window=size + room, stride=stride).start(BASE)
    rig.run()
    assert all(event.iova >= BASE and event.iova + event.size <= BASE + size + room for event in rig.issued)
    assert sum(event.size for event in rig.issued) == 20 * size


def test_another_seed_draws_other_addresses_and_the_same_seed_the_same() -> None:
    def drawn(seed: int) -> list[int]:
        rig = Rig(seed=seed)
        rig.master(requests=20, pattern="random").start(BASE)
        rig.run()
        return [event.iova for event in rig.issued]

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize(("read", "kinds"), [(1.0, {False}), (0.0, {True}), (0.5, {False, True})])
def test_requests_read_and_write_as_the_options_say(read: float, kinds: set[bool]) -> None:
    rig = Rig()
    rig.master(requests=30, read=read).start(BASE)
    rig.run()
    assert {event.write for event in rig.issued} == kinds


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_pieces_cover_a_request_and_none_crosses_a_page(iova: int, size: int) -> None:
    pieces = list(split(iova, size))
    assert [byte for start, length in pieces for byte in (start, start + length)] == sorted(
        byte for start, length in pieces for byte in (start, start + length)
    )
    assert sum(length for _, length in pieces) == size
    assert all(start // 4096 == (start + length - 1) // 4096 for start, length in pieces)
    assert len(pieces) == len({byte // 4096 for byte in range(iova, iova + size)})


def test_a_device_with_two_ids_uses_them_in_turn() -> None:
    rig = Rig()
    master = rig.master(requests=5)
    master.device_ids = (4, 300)
    master.start(BASE)
    rig.run()
    assert [event.device_id for event in rig.issued] == [4, 300, 4, 300, 4]


def test_a_request_over_a_page_boundary_is_made_in_pieces() -> None:
    rig = Rig()
    rig.master(requests=1, size=6000, window=6000).start(BASE + 4000)
    rig.run()
    assert [(event.iova - BASE, event.size) for event in rig.issued] == [(4000, 96), (4096, 4096), (8192, 1808)]


def test_the_pieces_of_a_request_are_all_reads_or_all_writes() -> None:
    rig = Rig()
    rig.master(requests=30, read=0.5, size=6000, window=6000).start(BASE + 4000)
    rig.run()
    assert len(rig.issued) == 90
    requests = [{event.write for event in rig.issued[first : first + 3]} for first in range(0, 90, 3)]
    assert {False} in requests
    assert {True} in requests
    assert {False, True} not in requests


def test_what_a_master_writes_is_in_memory() -> None:
    rig = Rig()
    rig.master(requests=2, read=0, size=24).start(BASE)
    rig.run()
    assert [rig.bus.peek(BASE + 8 * word, 8) for word in range(7)] == [1 << 40 | 1] * 3 + [1 << 40 | 2] * 3 + [0]


# --- Time ------------------------------------------------------------------------------------------------------------


@BOTH
def test_an_unloaded_read_takes_the_sum_of_its_parts_to_the_picosecond(executor: Any) -> None:
    """So do several at once: where nothing has a bandwidth, none is in another's way."""
    rig = Rig(executor, latency="80 ns")
    rig.master(requests=3, outstanding=3, link="50 ns", hop_ps=7 * NS).start(BASE)
    rig.run()
    for done, committed in zip(rig.done, rig.committed, strict=True):
        assert done.parts == {"link": 2 * 50 * NS + 2 * 7 * NS, "memory": 80 * NS}
        assert done.time - done.issued == 194 * NS
        assert committed.time == done.issued + (50 + 7 + 80) * NS
        assert committed.translated == done.issued + 50 * NS


@BOTH
def test_bandwidth_is_paid_in_the_direction_of_the_data(executor: Any) -> None:
    """1000 bytes and a header of 24 at 1 GB/s take 1,024 ns; a header alone takes 24 ns."""
    for read in (0, 1):
        rig = Rig(executor)
        rig.master(requests=1, read=read, size=1000, bandwidth="1 GB/s", link="50 ns").start(BASE)
        rig.run()
        (done,) = rig.done
        assert done.parts["link"] == (50 + 1024 + 50 + 24) * NS
        upwards = 1024 + 50 if read == 0 else 24 + 50
        assert rig.committed[0].time - done.issued == (upwards + 80) * NS


@BOTH
def test_packets_share_the_bandwidth_of_the_link(executor: Any) -> None:
    rig = Rig(executor)
    master = rig.master(requests=10, read=0, size=1024, header=0, outstanding=10, bandwidth="1 GB/s")
    master.start(BASE)
    rig.run()
    times = [event.time for event in rig.committed]
    assert {later - earlier for earlier, later in pairwise(times)} == {1024 * NS}
    assert master.link.up.busy_ps == 10 * 1024 * NS


@BOTH
@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    masters=st.integers(1, 3),
    outstanding=st.integers(1, 4),
    read=st.sampled_from([0, 0.5, 1]),
    interval=st.sampled_from([None, "3 ps", "150 ns"]),
    arrivals=st.sampled_from(["regular", "poisson"]),
    posted=st.booleans(),
    size=st.sampled_from([8, 100, 5000]),
    bandwidth=st.sampled_from([None, "2 GB/s"]),
    closed=st.integers(0, 3_000_000),
    opened=st.integers(0, 600_000),
)
def test_parts_add_up_and_littles_law_holds_in_every_window(
    executor: Any, masters: int, closed: int, opened: int, bandwidth: Any, posted: bool, **traffic: Any
) -> None:
    rig = Rig(executor, bandwidth="4 GB/s")
    made = [rig.master(f"nic{n}", bandwidth=bandwidth, posted=posted, requests=20, **traffic) for n in range(masters)]
    for master in made:
        master.start(BASE)
    if opened:
        rig.run(until=opened)
        for master in made:
            master.occupancy.open(opened)
    rig.run(until=opened + closed + 1)
    now = opened + closed + 1
    for event in rig.done:
        assert sum(event.parts.values()) == event.time - event.issued
    for master in made:
        integral, residence = master.occupancy.law(now)
        assert integral == residence
        assert master.occupancy.left == sum(e.who == master.path and e.time >= opened for e in rig.done)


# --- How many at a time ----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("outstanding", [1, 3, 8])
def test_a_master_keeps_its_limit_of_outstanding_requests(executor: Any, outstanding: int) -> None:
    rig = Rig(executor)
    master = rig.master(requests=40, outstanding=outstanding)
    master.start(BASE)
    rig.run()
    assert master.occupancy.most == outstanding
    assert len(rig.done) == 40


@BOTH
def test_regular_requests_are_made_at_their_times_however_many_are_under_way(executor: Any) -> None:
    """Coordinated omission: a wait for a slot is part of the latency, and delays no later arrival."""
    rig = Rig(executor, latency="100 ns")
    rig.master(requests=4, interval="20 ns", link=0).start(BASE)
    rig.run()
    begun = [event.issued for event in rig.done]
    assert {later - earlier for earlier, later in pairwise(begun)} == {20 * NS}
    waits = [event.parts.get("slot", 0) for event in rig.done]
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] > 200 * NS


def test_poisson_arrivals_have_the_mean_that_was_asked_for() -> None:
    rig = Rig()
    rig.master(requests=2000, interval="100 ns", arrivals="poisson", outstanding=50).start(BASE)
    rig.run()
    mean = rig.done[-1].issued / 2000
    assert 95 * NS < mean < 105 * NS


@BOTH
def test_a_posted_write_frees_its_slot_when_memory_serves_it(executor: Any) -> None:
    def span(posted: bool) -> int:
        rig = Rig(executor, latency="1 us")
        rig.master(requests=10, read=0, outstanding=1, posted=posted, link="50 ns").start(BASE)
        rig.run()
        assert len(rig.done) == 10
        assert rig.done[-1].parts["link"] == (1 if posted else 2) * 50 * NS
        return rig.done[-1].time

    assert span(posted=True) < 2_000 * NS
    assert span(posted=False) > 10_000 * NS


@BOTH
def test_a_posted_write_that_waits_for_a_port_keeps_its_slot(executor: Any) -> None:
    """64 bytes at 64 MB/s take the port 1 us: one is served, and the other four wait in their slots."""
    rig = Rig(executor, bandwidth="64 MB/s", latency=0)
    master = rig.master(read=0, outstanding=4, posted=True, link=0)
    master.start(BASE)
    rig.run(until=100_000 * NS)
    assert master.occupancy.most == 5


@BOTH
@pytest.mark.parametrize("buffer", [1, 3])
def test_no_more_posted_writes_than_the_way_holds_are_beyond_their_slots(executor: Any, buffer: int) -> None:
    rig = Rig(executor, latency="10 us")
    master = rig.master(read=0, outstanding=4, posted=True, buffer=buffer)
    master.start(BASE)
    rig.run(until=50_000 * NS)
    assert master.occupancy.most == 4 + buffer
    master.stop()
    rig.run()
    assert master.occupancy.inside == 0
    assert master.slots.free == 4


@BOTH
def test_requests_that_wait_for_a_slot_are_a_backlog_and_not_in_flight(executor: Any) -> None:
    rig = Rig(executor, latency="100 ns")
    master = rig.master(requests=20, interval="20 ns", outstanding=2, link=0)
    master.start(BASE)
    rig.run()
    assert master.occupancy.most == 2
    assert master.backlog.most > 8
    integral, residence = master.backlog.law(rig.sim.now)
    assert integral == residence == sum(event.parts.get("slot", 0) for event in rig.done)


@BOTH
def test_a_posted_write_that_is_refused_returns_its_slot(executor: Any) -> None:
    rig = Rig(executor)
    master = rig.master(read=0, pattern="strided", stride="1 MiB", window="3 MiB", requests=6, posted=True, buffer=1)
    master.start(BASE)
    rig.run()
    assert len(rig.done) == 6
    assert master.slots.free == 1


@BOTH
def test_several_masters_queue_at_one_memory_port(executor: Any) -> None:
    """64 bytes at 1 GB/s occupy the port for 64 ns, whoever asks."""
    rig = Rig(executor, bandwidth="1 GB/s", latency=0)
    for name in ("nic0", "nic1", "nic2"):
        rig.master(name, requests=5, link=0).start(BASE)
    rig.run()
    times = [event.time for event in rig.committed]
    assert {later - earlier for earlier, later in pairwise(times)} == {64 * NS}


# --- Start, stop, faults ---------------------------------------------------------------------------------------------


@BOTH
def test_a_stopped_master_makes_no_further_request(executor: Any) -> None:
    rig = Rig(executor)
    master = rig.master(outstanding=3)
    master.start(BASE)
    rig.run(until=1_000 * NS)
    issued = len(rig.issued)
    master.stop()
    rig.run()
    assert len(rig.issued) == issued == len(rig.done)
    assert master.occupancy.inside == 0


@BOTH
def test_a_master_that_is_started_again_goes_on_in_its_other_window(executor: Any) -> None:
    rig = Rig(executor)
    master = rig.master(outstanding=2)
    master.start(BASE)
    rig.run(until=500 * NS)
    before = len(rig.issued)
    master.start(BASE + 0x8000, 4096)
    rig.run(until=1_500 * NS)
    assert {event.iova >= BASE + 0x8000 for event in rig.issued[:before]} == {False}
    assert {event.iova >= BASE + 0x8000 for event in rig.issued[before:]} == {True}
    assert master.occupancy.most == 2


def test_a_window_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="nic0: a request of 64 bytes does not fit in a window of 32 bytes"):
        Rig().master().start(BASE, 32)


@BOTH
def test_a_refused_request_is_counted_and_the_master_goes_on(executor: Any) -> None:
    rig = Rig(executor)
    master = rig.master(pattern="strided", stride="1 MiB", window="3 MiB", requests=6)
    master.start(BASE)
    rig.run()
    assert [event.status for event in rig.done] == ["SUCCESS", "ACCESS_FAULT", "ACCESS_FAULT"] * 2
    assert len(rig.committed) == 2
    assert master.counters() == {
        "reads": 6,
        "writes": 0,
        "read_bytes": 128,
        "written_bytes": 0,
        "offered_bytes": 6 * 64,
        "failed": 4,
        "refused": 0,
        "bus_errors": 4,
    }


@BOTH
@pytest.mark.parametrize("status", [Status.UR, Status.CA])
def test_a_fault_carries_no_data_back(executor: Any, status: Status) -> None:
    def refuse(txn: Transaction) -> Generator[Any, Any, None]:
        assert txn.words == (), "nor does a read carry any there"
        txn.status = status
        return
        yield

    rig = Rig(executor)
    master = rig.master(requests=1, size=1000, bandwidth="1 GB/s", transport=refuse)
    master.start(BASE)
    rig.run()
    assert [event.status for event in rig.done] == [status.name]
    assert (master.counters()["refused"], master.counters()["bus_errors"]) == (1, 0)
    assert master.link.down.busy_ps == 24 * NS


def test_a_device_that_is_told_of_too_small_a_window_says_so_until_that_is_cleared_and_goes_on_as_it_was() -> None:
    rig = Rig()
    master = rig.master(size=64)
    port = rig.bus.port("cpu0")

    def write(register: Register[Any], value: int) -> None:
        master.registers.commit(
            Access(port, AccessKind.WRITE, register.offset, register.size, CountsFor("mmio"), (value,))
        )

    for size, begins in ((63, False), (64, True), (63, True)):
        write(WINDOW, BASE)
        write(SIZE, size)
        write(CONTROL, DmaControl.of(run=1))
        status = DmaStatus(master.registers.value(STATUS))
        assert (bool(status.on), bool(status.fault)) == (begins, True)
        rig.run(until=rig.sim.now + 500 * NS)
        assert bool(rig.issued) is begins
    for cleared in (0, 1):
        write(STATUS, DmaStatus.of(fault=cleared))
        assert DmaStatus(master.registers.value(STATUS)) == DmaStatus.of(on=1, fault=1 - cleared)
