"""What limited a run: told from latencies and utilisations, each kind of limit by an example."""

import pytest

from cosim.study.run.limit import phrase
from cosim.study.run.uses import percent
from cosim.units.latency_parts import LatencyPart
from tests.study.run.results import NS, SYSTEM, US, latency, limit

MORE = "; try -s nic0.traffic.outstanding=32"

READ = {"link": 120 * NS, "iotlb": 2 * NS, "memory": 80 * NS}


def test_requests_that_wait_for_walkers_which_are_busy():
    reads = latency(1000, 1000 * NS, walker_wait=900 * NS, walk=300 * NS, **READ)
    said = limit({"nic0.read": reads}, {"iommu0.walkers.utilisation": 0.98, "dram0.port.utilisation": 0.4})
    assert said == (
        "p99 of nic0.read is 79 % waiting for a walker; iommu0's walkers were 98 % busy; "
        "try -s iommu0.geometry.walkers=8"
    )


def test_walkers_that_are_busy_only_since_their_memory_is():
    """A walker is busy while it waits for memory: the reason is named, not what it brings about."""
    reads = latency(queue=900 * NS, walker_wait=950 * NS, walk=300 * NS, memory=80 * NS)
    scalars = {"iommu0.walkers.utilisation": 0.99, "iommu0.walkers.busy_ps": 10 * US, "iommu0.walk_reads": 10}
    scalars |= {"dram0.port.utilisation": 0.99, "dram0.port.waited_ps": 20 * US, "dram0.reads": 20}
    assert limit({"nic0.read": reads}, scalars).endswith(
        "; dram0's port was 99 % busy; try -s 'dram0.bandwidth=32 GB/s'"
    )
    scalars |= {"dram0.port.waited_ps": 1 * US}
    assert "dram0's port was 99 % busy and iommu0's walkers were 99 % busy; try" in limit({"nic0.read": reads}, scalars)


@pytest.mark.parametrize("busiest", [0, 1])
def test_a_memory_is_as_full_as_the_busiest_of_its_ports(busiest):
    dram = SYSTEM.parts["dram0"].model_copy(update={"ports": 2})
    system = SYSTEM.model_copy(update={"parts": {**SYSTEM.parts, "dram0": dram}})
    ports = {f"dram0.port{number}.utilisation": 0.99 if number == busiest else 0.3 for number in range(2)}
    reads = latency(queue=900 * NS, memory=80 * NS)
    assert "; dram0's busiest port was 99 % busy; try " in limit({"nic0.read": reads}, ports, system)


def test_places_that_are_full_only_since_their_holders_wait_for_walkers():
    reads = latency(10, queue=900 * NS, walker_wait=900 * NS, walk=100 * NS, memory=80 * NS)
    scalars = {"iommu0.walkers.utilisation": 0.99, "iommu0.walkers.busy_ps": 1 * US}
    scalars |= {"iommu0.places.utilisation": 0.99, "iommu0.places.busy_ps": 10 * US}
    assert limit({"nic0.read": reads}, scalars).endswith(
        "; iommu0's walkers were 99 % busy; try -s iommu0.geometry.walkers=8"
    )


def test_of_two_masters_the_link_that_is_full_concerns_its_own_requests():
    fast, slow = latency(**READ), latency(link_wait=400 * NS, memory=80 * NS)
    links = {"nic0.link_down.utilisation": 0.97, "gpu0.link_down.utilisation": 0.2}
    said = limit({"gpu0.read": fast, "nic0.write": slow}, links)
    assert said == (
        "p99 of nic0.write is 83 % waiting for the device's link; nic0's link down from the IOMMU was 97 % busy; "
        "try -s 'nic0.bandwidth=32 GB/s'"
    )


def test_of_many_like_masters_the_slowest_is_named():
    reads = {f"nic{n}.read": latency(walker_wait=(100 + n % 7) * NS, memory=10 * NS) for n in range(10)}
    assert limit(reads, {"iommu0.walkers.utilisation": 1.0}).startswith("p99 of nic6.read is 91 %")


def test_a_master_that_hardly_did_anything_is_no_example():
    reads = {"nic0.read": latency(1000, **READ), "nic1.read": latency(4, walk=9 * US, memory=80 * NS)}
    assert limit(reads, {"nic0.in_flight_mean": 1.0}).startswith("nothing is saturated: nic0 keeps 1 request")


def test_masters_count_together_against_another_kind():
    """Ten masters that take a second in all outweigh one call that takes half of that."""
    both = {f"nic{n}.read": latency(100, memory=1 * US) for n in range(10)} | {"cpu0.t0.map": latency(100, cpu=5 * US)}
    assert "nic" in limit(both, {})


def test_nothing_is_saturated_and_one_request_is_in_flight():
    said = limit({"nic0.read": latency(**READ)}, {"nic0.in_flight_mean": 1.0, "dram0.port.utilisation": 0.3})
    assert said == "nothing is saturated: nic0 keeps 1 request in flight, and its latency is 59 % link hops" + MORE


@pytest.mark.parametrize(
    ("mean", "words"),
    [
        (0.2, "nic0 has a request in flight 20 % of the time"),
        (0.97, "nic0 keeps 1 request in flight"),
        (3.4, "nic0 keeps 3.4 requests in flight"),
        (15.98, "nic0 keeps 16 requests in flight"),
    ],
)
def test_how_many_requests_are_in_flight(mean, words):
    assert words in limit({"nic0.read": latency(**READ)}, {"nic0.in_flight_mean": mean})


def test_a_master_that_reads_and_writes_has_its_latencies_told_apart():
    both = {"nic0.read": latency(**READ), "nic0.write": latency(500, link=9 * NS)}
    assert limit(both, {"nic0.in_flight_mean": 1.0}).endswith("and the latency of nic0.read is 59 % link hops" + MORE)


def test_bursts_wait_though_nothing_is_full():
    bursts = latency(walker_wait=900 * NS, memory=80 * NS)
    said = limit({"nic0.read": bursts}, {"iommu0.walkers.utilisation": 0.5, "nic0.in_flight_mean": 2.0})
    assert said == (
        "p99 of nic0.read is 92 % waiting for a walker; iommu0's walkers were 50 % busy; "
        "try -s iommu0.geometry.walkers=8"
    )


def test_what_is_saturated_for_others_is_told_where_nothing_in_the_way_is():
    said = limit({"nic0.read": latency(**READ)}, {"nic0.in_flight_mean": 1.0, "nic1.link_up.utilisation": 0.99})
    assert said == (
        "nothing in the way of nic0 is saturated: nic0 keeps 1 request in flight, and its latency is 59 % link hops"
        f"{MORE}; besides, nic1's link up to the IOMMU was 99 % busy"
    )


def test_slots_that_are_full_are_not_said_to_be_nothing():
    reads = latency(slot=900 * NS, **READ)
    said = limit({"nic0.read": reads}, {"nic0.in_flight_mean": 16.0, "nic0.backlog_mean": 9.0})
    assert said == (
        "nothing but nic0's slots is saturated: p99 of nic0.read is 82 % waiting for one of the device's own slots; "
        f"nic0's slots were 100 % busy{MORE}"
    )


def test_a_command_queue_that_has_no_room():
    unmap = latency(cq_full=70 * US, fence=20 * US, cpu=2 * US)
    said = limit({"cpu0.t0.unmap": unmap}, {"iommu0.commands.utilisation": 0.97, "cpu0.utilisation": 1.0})
    assert said == (
        "p99 of cpu0.t0.unmap is 98 % waiting for the command queue; iommu0's command consumer was 97 % busy"
    )


def test_waits_for_one_resource_are_told_as_one_if_they_are_mixed():
    parts = {"walker_wait": 500 * NS, "merge_wait": 400 * NS, "memory": 100 * NS}
    scalars = {"iommu0.walkers.utilisation": 0.98}
    assert "is 90 % waiting for walks;" in limit({"nic0.read": latency(**parts)}, scalars)
    parts["merge_wait"] = 10 * NS
    assert "is 82 % waiting for a walker;" in limit({"nic0.read": latency(**parts)}, scalars)


def test_calls_that_wait_for_fences_of_a_consumer_with_time_to_spare():
    unmap = latency(fence=20 * US, cpu=2 * US)
    said = limit({"cpu0.t0.unmap": unmap}, {"iommu0.commands.utilisation": 0.4, "cpu0.utilisation": 0.3})
    assert said == (
        "nothing is saturated: p99 of cpu0.t0.unmap is 91 % waiting for an IOFENCE; "
        "iommu0's command consumer was 40 % busy"
    )


def test_a_consumer_that_stalls_is_said_to_stand_still():
    unmap = latency(10, fence=90 * 10**12, cpu=2 * US)
    scalars = {"iommu0.commands.utilisation": 0.001, "iommu0.commands.stalled_ps": 95 * 10**12}
    assert limit({"cpu0.t0.unmap": unmap}, scalars) == (
        "nothing is saturated: the slowest cpu0.t0.unmap is > 99 % waiting for an IOFENCE; "
        "iommu0's command consumer stood still for 95 s"
    )


def test_a_cpu_that_polls_is_busy_but_not_the_limit():
    unmap = latency(fence=20 * US, cpu=2 * US)
    said = limit({"cpu0.t0.unmap": unmap}, {"iommu0.commands.utilisation": 0.4, "cpu0.utilisation": 1.0})
    assert said == (
        "cpu0 was 100 % busy, and p99 of cpu0.t0.unmap is 91 % waiting for an IOFENCE; "
        "iommu0's command consumer was 40 % busy"
    )


def test_a_cpu_that_computes_is_the_limit():
    said = limit({"cpu0.t0.map": latency(cpu=20 * US, lock=2 * US)}, {"cpu0.utilisation": 0.95})
    assert said == "p99 of cpu0.t0.map is 91 % instructions; cpu0 was 95 % busy"


def test_both_sides_are_told_when_nothing_is_saturated():
    both = {"nic0.read": latency(**READ), "cpu0.t0.unmap": latency(50, fence=2 * US, cpu=1 * US)}
    assert limit(both, {"nic0.in_flight_mean": 1.0}) == (
        "nothing is saturated: nic0 keeps 1 request in flight, and its latency is 59 % link hops; "
        "the slowest cpu0.t0.unmap is 67 % waiting for an IOFENCE; iommu0's command consumer was 0 % busy" + MORE
    )


def test_the_side_that_took_next_to_no_time_is_left_out():
    reads, call = {"nic0.read": latency(1000, **READ)}, {"cpu0.t0.release": latency(1, fence=2 * US)}
    assert "release" not in limit(reads | call, {})
    assert "nic0" not in limit({"nic0.read": latency(1, **READ)} | {"cpu0.t0.unmap": latency(fence=2 * US)}, {})


def test_a_busy_resource_for_which_nobody_waits_is_not_blamed():
    reads = latency(**READ)
    said = limit({"nic0.read": reads}, {"iommu0.commands.utilisation": 0.97})
    assert said == (
        "iommu0's command consumer was 97 % busy, but little waits for it: p99 of nic0.read is 59 % link hops"
    )


def test_a_consumer_for_which_calls_hardly_wait_is_not_blamed_however_many_they_are():
    unmap = latency(1000, fence=1 * US, cpu=99 * US)
    said = limit({"cpu0.t0.unmap": unmap}, {"iommu0.commands.utilisation": 0.97})
    assert said == (
        "iommu0's command consumer was 97 % busy, but little waits for it: p99 of cpu0.t0.unmap is 99 % instructions"
    )


def test_a_busy_cpu_beside_masters_alone_is_set_apart():
    said = limit({"nic0.read": latency(**READ)}, {"cpu0.utilisation": 1.0, "nic0.in_flight_mean": 1.0})
    assert said.startswith("nothing but cpu0 is saturated: nic0 keeps 1 request in flight")


@pytest.mark.parametrize("backlog", [4, 6])
def test_a_device_behind_is_told_only_if_it_is_further_behind_than_those_whose_requests_ended(backlog):
    said = limit({"nic0.read": latency(**READ)}, {"gpu0.backlog_mean": 5, "nic0.backlog_mean": backlog})
    assert said.startswith("no request of gpu0 made in the window ended in it: ") == (backlog < 5)


def test_nothing_was_measured():
    assert limit({}, {}) == "nothing was measured: no request and no call ended in the window"
    stalled = limit({}, {"iommu0.commands.utilisation": 1.0})
    assert stalled.endswith("; iommu0's command consumer was 100 % busy")


def test_calls_that_took_no_time_are_nothing_measured():
    assert limit({"cpu0.t0.map": latency(cpu=0)}, {}).startswith("nothing was measured")


@pytest.mark.parametrize(
    ("fraction", "decimals", "text"),
    [
        (0, 0, "0 %"),
        (0.0049, 0, "< 1 %"),
        (0.005, 0, "< 1 %"),
        (0.98, 0, "98 %"),
        (0.996, 0, "> 99 %"),
        (1, 0, "100 %"),
        (0.9999, 1, "> 99.9 %"),
        (0.0001, 1, "< 0.1 %"),
        (0.873, 1, "87.3 %"),
    ],
)
def test_percentages_are_never_rounded_to_all_or_nothing(fraction, decimals, text):
    assert percent(fraction, decimals) == text


def test_every_part_reads_as_a_phrase():
    assert all(phrase(part) == part.phrase for part in LatencyPart)
    assert phrase("lock") == "waiting for a lock"
