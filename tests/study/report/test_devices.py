"""What is told below the verdict of devices that got nothing, had too much to do, or dropped packets."""

import io

import pytest

from cosim.study.report.devices import about_devices
from cosim.study.report.report import print_report
from tests.study.run.results import SCALARS, result

OVERLOADED = {
    "nic0.overloaded": 1,
    "nic0.backlog_max": 100,
    "nic0.read_gbps": 0,
    "nic0.written_gbps": 164.0,
    "nic0.offered_gbps": 409.6,
}


@pytest.mark.parametrize(
    ("offered", "rates"),
    [(409.6, "it asks for 409.6 Gb/s and gets 164.0"), (165, "requests come faster than they end")],
)
def test_a_device_that_is_overloaded_is_told_with_what_it_asks_for_and_gets(offered: float, rates: str) -> None:
    assert list(about_devices(result(scalars=OVERLOADED | {"nic0.offered_gbps": offered}))) == [
        f"nic0 is overloaded: {rates}, up to 100 have waited for a slot, and its latency grows with run.until"
    ]
    assert not list(about_devices(result(scalars=OVERLOADED | {"nic0.overloaded": 0})))


@pytest.mark.parametrize(("mean", "told"), [(4.0, "4 were"), (1.0, "1 was")])
def test_a_device_that_got_nothing_is_told(mean: float, told: str) -> None:
    scalars = {"nic0.in_flight_mean": mean, "nic0.reads": 0, "nic0.writes": 0}
    said = [f"no request of nic0 ended in the window; {told} under way on average"]
    assert list(about_devices(result(scalars=scalars))) == said
    assert not list(about_devices(result(scalars=scalars | {"nic0.reads": 1})))
    assert not list(about_devices(result(scalars=scalars | {"nic0.in_flight_mean": 0.5}))), "it makes few"
    assert not list(about_devices(result(scalars=scalars, ended=0))), "nothing ended: that is told of all"


def test_packets_that_a_ring_device_has_dropped_are_told_and_entries_of_caches_are_not() -> None:
    scalars = {"nic0.packets": 97, "nic0.dropped": 1406, "iommu0.iotlb.dropped": 7}
    said = ["nic0 dropped 1,406 packets, which found no descriptor, and moved 97"]
    assert list(about_devices(result(scalars=scalars))) == said
    assert not list(about_devices(result(scalars=scalars | {"nic0.dropped": 0})))


def test_of_many_devices_a_few_are_told_one_by_one() -> None:
    scalars = {f"nic{n}.{what}": 3 for n in range(9) for what in ("packets", "dropped")}
    assert list(about_devices(result(scalars=scalars)))[2:] == [
        "nic2 dropped 3 packets, which found no descriptor, and moved 3",
        "and so are 6 more",
    ]


def test_it_stands_below_the_verdict() -> None:
    file = io.StringIO()
    print_report(result(scalars=SCALARS | {"nic0.packets": 97, "nic0.dropped": 6}), file)
    assert "\n  ? nic0 dropped 6 packets, which found no descriptor, and moved 97\n" in file.getvalue()
