"""How long requests hold what they pass, and how much of that time they wait for what is inside."""

from collections.abc import Mapping
from typing import Any

import pytest

from cosim.study.run.holders import Holders
from cosim.study.run.latency import Latency
from cosim.study.run.placement import Placement
from tests.study.run.results import NOTHING, NS, SYSTEM, latency

DIRECT = {"link": 100 * NS, "memory": 60 * NS}


def taken(latencies: Mapping[str, Latency], in_flight: float, backlog: float = 0, **changes: Any) -> float:
    """The fraction of the window that nic0's 16 slots are taken; it makes a request now and then."""
    nic = SYSTEM.of_kind("dma")["nic0"]
    nic = nic.model_copy(update={"traffic": nic.traffic.model_copy(update={"interval": 100 * NS}), **changes})
    topology = SYSTEM.model_copy(update={"parts": {**SYSTEM.parts, "nic0": nic}})
    scalars = NOTHING | {"nic0.in_flight_mean": in_flight, "nic0.backlog_mean": backlog}
    return Holders(topology, latencies, scalars, Placement(topology)).slots_taken("nic0")


def test_a_read_has_its_slot_for_as_long_as_it_is_in_flight() -> None:
    reads = {"nic0.read": latency(**DIRECT), "gpu0.read": latency(9, slot=900 * NS, memory=80 * NS)}
    assert taken(reads, 4.0) == 4 / 16
    assert taken({"nic0.read": latency(slot=900 * NS, **DIRECT)}, 4.0) == 4 / 16, "it waits for a slot, and has none"
    assert taken(reads, 17.0) == 1.0


def test_a_posted_write_has_its_slot_until_it_is_on_its_way_behind_the_link() -> None:
    """64 bytes and a header at 16 GB/s, and whatever it waits for before that."""
    parts = {"link_wait": 10 * NS, "place": 20 * NS, "link": 100 * NS, "memory": 270 * NS}
    nic = SYSTEM.devices()["nic0"]
    assert nic.bandwidth is not None
    slot = 30 * NS + nic.link + nic.bandwidth.transfer_ps(nic.header + 64)
    share = taken({"nic0.write": latency(100, **parts)}, 8.0, posted=True)
    assert share == pytest.approx(slot / (400 * NS) * 8 / 16)
    mixed = {"nic0.write": latency(100, **parts), "nic0.read": latency(300, **DIRECT)}
    whole = 100 * 400 * NS + 300 * 160 * NS
    assert taken(mixed, 8.0, posted=True) == pytest.approx((100 * slot + 300 * 160 * NS) / whole * 8 / 16)


def test_all_slots_are_taken_where_a_request_waits_for_one() -> None:
    reads = {"nic0.read": latency(**DIRECT)}
    assert taken(reads, 4.0, backlog=0.9) == 4 / 16
    assert taken(reads, 4.0, backlog=1.0) == 1.0
    always = Holders(SYSTEM, reads, NOTHING, Placement(SYSTEM))
    assert always.slots_taken("nic0") == 1.0
