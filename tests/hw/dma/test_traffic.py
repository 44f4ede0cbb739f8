"""Traffic for studies: where requests go, how large they are and when they come are chosen apart."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from cosim.hw.dma.bursts import Bursts
from cosim.hw.dma.options import DmaOptions, RingOptions, TrafficOptions
from cosim.hw.dma.patterns import PATTERNS, Space
from cosim.hw.dma.traffic import gaps, sizes, writes
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.plain import Plain
from tests.hw.dma.masters import BASE, Rig
from tests.hw.dma.test_zipf import CRITICAL, deviation

NS = 1000


def offsets(pattern: str, count: int, seed: int = 0, **space: Any) -> list[int]:
    found = PATTERNS[pattern].offsets
    assert found is not None
    return list(islice(found(Space(**space), Chooser(seed).stream("nic0.traffic")), count))


def issued(executor: Any = Agenda, until: int = 40_000 * NS, seed: int = 0, **options: Any) -> list[Any]:
    """What a device issues."""
    rig = Rig(executor, seed, latency="10 ns")
    rig.master(link="1 ns", **options).start(BASE)
    rig.run(until)
    return rig.issued


# --- Where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_hot_places_get_their_share_and_all_of_a_kind_are_alike(share: float) -> None:
    """A window of 16 places, of which 4 are hot."""
    found = Counter(offsets("hot_cold", 6000, size=64, window=1024, hot=256, hot_share=share))
    shares = [share / 4] * 4 + [(1 - share) / 12] * 12
    possible = [place for place in range(16) if shares[place]]
    assert sum(found.values()) == sum(found[64 * place] for place in possible)
    counts = [found[64 * place] for place in possible]
    assert deviation(counts, [shares[place] for place in possible]) < CRITICAL


def test_a_wrong_share_is_told_from_the_right_one() -> None:
    found = Counter(offsets("hot_cold", 6000, size=64, window=1024, hot=256, hot_share=0.7))
    assert deviation([found[64 * place] for place in range(16)], [0.75 / 4] * 4 + [0.25 / 12] * 12) > CRITICAL


def test_pages_follow_zipfs_law_and_places_in_a_page_are_alike() -> None:
    found = offsets("zipf", 8000, size=512, window=8 * 4096, exponent=1.0)
    pages, places = Counter(offset // 4096 for offset in found), Counter(offset % 4096 for offset in found)
    total = sum(1 / k for k in range(1, 9))
    assert deviation([pages[page] for page in range(8)], [1 / k / total for k in range(1, 9)]) < CRITICAL
    assert deviation([places[512 * place] for place in range(8)], [1 / 8] * 8) < CRITICAL


@pytest.mark.parametrize(("size", "window"), [(64, 64), (64, 1000), (3000, 10_000), (8192, 20_000)])
@pytest.mark.parametrize("pattern", ["hot_cold", "zipf", "random"])
def test_requests_of_any_size_are_inside_the_window(pattern: str, size: int, window: int) -> None:
    if pattern == "hot_cold" and window < 2 * size:
        window = 2 * size
    found = offsets(pattern, 300, size=size, window=window, hot=64, hot_share=0.5)
    assert all(0 <= offset <= window - size and offset % 8 == 0 for offset in found)


@pytest.mark.parametrize(
    ("options", "pages"),
    [
        ({"window": "4 KiB"}, 1),
        ({"window": "4097 B"}, 2),
        ({"window": "64 B"}, 1),
        ({"window": "3 MiB", "page": "2 MiB"}, 2),
        ({"window": "4 MiB", "page": "2 MiB"}, 2),
        ({"pattern": "told"}, 0),
    ],
)
def test_what_is_mapped_are_whole_pages_that_hold_all_of_the_window(options: dict[str, Any], pages: int) -> None:
    traffic = TrafficOptions.model_validate(options)
    assert traffic.mapped == pages * traffic.page_size


# --- Which write ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [0.0, 0.7, 1.0])
def test_as_many_requests_read_as_their_share_says_and_nothing_is_drawn_where_all_are_alike(read: float) -> None:
    stream = Chooser(0).stream("nic0.traffic")
    next_writes = writes(read, stream)
    found = Counter(next_writes() for _ in range(3000))
    assert stream.untouched == (read in (0, 1))
    if stream.untouched:
        assert found == {read == 0: 3000}
    else:
        assert deviation([found[False], found[True]], [read, 1 - read]) < CRITICAL


# --- How large --------------------------------------------------------------------------------------------------------


def test_sizes_occur_as_often_as_their_weights_say() -> None:
    draw = sizes(64, {64: 7, 576: 4, 1500: 1}, Chooser(0).stream("nic0.sizes"))
    found = Counter(draw() for _ in range(6000))
    assert deviation([found[size] for size in (64, 576, 1500)], [7 / 12, 4 / 12, 1 / 12]) < CRITICAL
    assert deviation([found[size] for size in (64, 576, 1500)], [6 / 12, 5 / 12, 1 / 12]) > CRITICAL


@pytest.mark.parametrize(
    ("given", "largest", "mean"),
    [({"size": "64 B"}, 64, 64), ({"size": "8 B", "sizes": {"64 B": 7, "576 B": 4, "1500 B": 1}}, 1500, 354)],
)
def test_the_size_of_a_request_on_average_is_that_of_the_mix_where_there_is_one(
    given: dict[str, Any], largest: int, mean: int
) -> None:
    traffic = TrafficOptions.model_validate(given)
    assert (traffic.largest, traffic.mean_size) == (largest, mean)


def test_a_mix_of_one_size_is_that_size_and_nothing_is_drawn_for_it() -> None:
    for mix, size in (({576: 3}, 576), ({}, 64)):
        stream = Chooser(0).stream("nic0.sizes")
        draw = sizes(64, mix, stream)
        assert {draw() for _ in range(10)} == {size}
        assert stream.untouched


def test_a_mix_of_sizes_changes_no_address_and_no_time() -> None:
    """So that two runs which differ in sizes alone differ in nothing else that was drawn."""
    common = {"pattern": "random", "interval": "100 ns", "arrivals": "poisson", "window": 65536}
    plain = issued(size=512, **common)
    mixed = issued(sizes={"64 B": 3, "512 B": 1}, **common)
    assert [(event.time, event.iova) for event in plain] == [(event.time, event.iova) for event in mixed]
    assert {event.size for event in mixed} == {64, 512}


# --- When -------------------------------------------------------------------------------------------------------------


def pace(**options: Any) -> TrafficOptions:
    return TrafficOptions.model_validate(options)


def arrivals(count: int, seed: int = 0, **options: Any) -> list[int]:
    """When requests come, in ns."""
    chooser = Chooser(seed)
    bursts = Bursts.of(pace(**options), chooser.stream("nic0.bursts"))
    gap = gaps(pace(**options), chooser.stream("nic0.traffic"), bursts)
    assert gap is not None
    now, times = 0, []
    for _ in range(count):
        now += gap()
        times.append(now // NS)
    return times


def test_requests_at_an_interval_come_in_bursts_of_a_length() -> None:
    """In bursts of 100 ns the clock of arrivals goes on, between them it stands still."""
    assert arrivals(6, interval="40 ns", burst_on="100 ns", burst_off="1 us") == [40, 80, 1120, 1160, 2200, 2240]


def test_a_request_at_the_very_end_of_a_burst_is_the_first_of_the_next_one() -> None:
    """A burst is over when its time has passed, whether requests come at an interval or as fast as slots allow."""
    options: dict[str, Any] = {"burst_on": "100 ns", "burst_off": "1 us"}
    assert arrivals(4, interval="50 ns", **options) == [50, 1100, 1150, 2200]
    bursts = Bursts.of(pace(**options), Chooser(0).stream("nic0.bursts"))
    assert bursts is not None
    waits = {0: 0, 100 * NS - 1: 0, 100 * NS: 1000 * NS, 1100 * NS: 0, 1200 * NS - 1: 0, 1200 * NS + 1: 1000 * NS - 1}
    assert {now: bursts.held(now) for now in waits} == waits


def test_requests_at_an_interval_come_in_bursts_of_a_number() -> None:
    assert arrivals(6, interval="40 ns", burst_requests=2, burst_off="1 us") == [40, 80, 1120, 1160, 2200, 2240]


def test_a_request_long_after_a_burst_begins_one_of_its_own_unless_it_falls_between_two() -> None:
    bursts = Bursts.of(pace(burst_on="10 ns", burst_off="10 ns"), Chooser(0).stream("nic0.bursts"))
    assert bursts is not None
    assert [bursts.held(now * NS) for now in (0, 25, 31, 75)] == [0, 0, 9 * NS, 5 * NS]


@pytest.mark.parametrize("times", ["fixed", "exponential"])
def test_the_rate_of_bursts_is_that_of_arrivals_in_the_share_of_time_that_is_on(times: str) -> None:
    found = arrivals(
        20_000, interval="10 ns", arrivals="poisson", burst_on="200 ns", burst_off="600 ns", burst_times=times
    )
    assert found[-1] / 20_000 == pytest.approx(40, rel=0.05)


def test_fixed_bursts_are_even_and_exponential_ones_are_not() -> None:
    def lengths(times: str) -> list[int]:
        found = arrivals(4000, interval="10 ns", burst_on="200 ns", burst_off="600 ns", burst_times=times)
        return [after - before for before, after in pairwise(found) if after - before > 10]

    assert set(lengths("fixed")) == {610}
    off = [length - 10 for length in lengths("exponential")]
    mean = sum(off) / len(off)
    assert mean == pytest.approx(600, rel=0.15)
    assert sum(length > 600 for length in off) / len(off) == pytest.approx(0.37, abs=0.1), "1/e are above the mean"


def gaps_of(events: list[Any]) -> list[int]:
    return [(after.time - before.time) // NS for before, after in pairwise(events)]


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_requests_as_fast_as_slots_allow_pause_between_bursts(executor: Any) -> None:
    counted = gaps_of(issued(executor, outstanding=2, burst_requests=8, burst_off="2 us"))
    assert [index for index, gap in enumerate(counted) if gap >= 2000][:3] == [7, 15, 23]
    timed = issued(executor, outstanding=2, burst_on="200 ns", burst_off="2 us")
    begun = [event.time // NS for event in timed]
    assert all(time % 2200 <= 202 for time in begun)
    assert len({time // 2200 for time in begun}) == 40_000 // 2200 + 1


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_all_at_once_is_the_same_in_both_executors(executor: Any) -> None:
    options = {
        "pattern": "zipf",
        "window": 65536,
        "sizes": {"8 B": 1, "256 B": 1},
        "interval": "30 ns",
        "arrivals": "poisson",
        "burst_on": "1 us",
        "burst_off": "1 us",
        "burst_times": "exponential",
        "read": 0.5,
    }
    found = [(event.time, event.iova, event.size, event.write) for event in issued(executor, seed=3, **options)]
    assert found == [(event.time, event.iova, event.size, event.write) for event in issued(Agenda, seed=3, **options)]
    assert found != [(event.time, event.iova, event.size, event.write) for event in issued(Agenda, seed=4, **options)]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"burst_on": "1 us"}, "bursts need a time between them"),
        ({"burst_requests": 3}, "bursts need a time between them"),
        ({"burst_off": "1 us"}, "give either the length of a burst"),
        ({"burst_off": "1 us", "burst_on": "1 us", "burst_requests": 3}, "give either the length of a burst"),
        ({"sizes": {"64 B": 0}}, "greater than or equal to 1"),
        ({"sizes": {"64 KiB": 1, "128 KiB": 1}}, "a request of 128 KiB does not fit in a window of 64 KiB"),
        ({"pattern": "hot_cold", "hot": "64 KiB"}, "nothing is cold"),
        ({"pattern": "strided", "stride": "1 GiB"}, "a `stride` of 1 GiB leads out of a window of 64 KiB"),
        ({"pattern": "zipf", "exponent": -1}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        pace(**given)


def test_packets_come_in_bursts_too() -> None:
    rig = Rig()
    ring = rig.ring(interval="10 ns", burst_requests=4, burst_off="1 us")
    assert isinstance(ring.options, RingOptions)
    assert [ring._gap() for _ in range(6)] == [10 * NS] * 4 + [1010 * NS, 10 * NS]  # type: ignore[misc]


@pytest.mark.parametrize("told", [0, 300, 700])
def test_a_device_begins_when_it_was_told_to_or_at_once_if_that_is_past(told: int) -> None:
    rig = Rig()
    rig.run(until=500 * NS)
    rig.master(requests=1).start(BASE, not_before=told * NS)
    rig.run()
    (first,) = rig.issued
    assert abs(first.time - max(told, 500) * NS) <= 2


def test_what_is_made_is_offered_whether_or_not_it_waits_for_a_slot() -> None:
    master = Rig().master(pattern="none", outstanding=1)
    for size in (64, 8, 100):
        master.request(BASE, size, write=False)
    assert master.counters()["offered_bytes"] == 172


@pytest.mark.parametrize(
    ("traffic", "writes"),
    [({}, False), ({"read": 0.9}, True), ({"pattern": "replay", "file": "x.csv"}, True), ({"pattern": "told"}, True)],
)
def test_a_device_may_write_unless_it_is_said_that_it_only_reads(traffic: dict[str, Any], writes: bool) -> None:
    """What a recording or a thread says is not known before."""
    assert DmaOptions(kind="dma", direct=True, traffic=TrafficOptions.model_validate(traffic)).writes == writes
