"""How long requests hold what they pass, and how much of that time they wait for what is inside."""

from collections.abc import Mapping
from typing import Any

import pytest

from cosim.study.run.holders import Holders
from cosim.study.run.latency import Latency
from cosim.study.run.placement import Placement
from cosim.system.resources import resources_of
from cosim.system.topology import Topology
from tests.study.run.results import NOTHING, NS, SYSTEM, US, latency

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
    for kind in ("write", "status"):
        share = taken({f"nic0.{kind}": latency(100, **parts)}, 8.0, posted=True)
        assert share == pytest.approx(slot / (400 * NS) * 8 / 16)
    mixed = {"nic0.write": latency(100, **parts), "nic0.read": latency(300, **DIRECT)}
    whole = 100 * 400 * NS + 300 * 160 * NS
    share = pytest.approx((100 * slot + 300 * 160 * NS) / whole * 8 / 16)
    assert taken(mixed, 8.0, posted=True) == share
    assert taken({**mixed, "nic01.read": latency(500, **DIRECT)}, 8.0, posted=True) == share, "those of another device"


def test_all_slots_are_taken_where_a_request_waits_for_one() -> None:
    reads = {"nic0.read": latency(**DIRECT)}
    assert taken(reads, 4.0, backlog=0.9) == 4 / 16
    assert taken(reads, 4.0, backlog=1.0) == 1.0
    always = Holders(SYSTEM, reads, NOTHING, Placement(SYSTEM))
    assert always.slots_taken("nic0") == 1.0


def with_iommus(count: int = 1, **geometry: Any) -> Topology:
    """The system with so many IOMMUs of this geometry; gpu0 is behind the last one."""
    iommu, gpu = SYSTEM.of_kind("iommu")["iommu0"], SYSTEM.of_kind("dma")["gpu0"]
    iommu = iommu.model_copy(update={"geometry": iommu.geometry.model_copy(update=geometry)})
    parts = {**SYSTEM.parts, **{f"iommu{number}": iommu for number in range(count)}}
    parts["gpu0"] = gpu.model_copy(update={"through": f"iommu{count - 1}"})
    return SYSTEM.model_copy(update={"parts": parts})


def blocked(topology: Topology, path: str, latencies: Mapping[str, Latency], **scalars: float) -> float:
    """The fraction of the time that nic0's reads hold a resource in which they wait for what is inside."""
    found = NOTHING | {name.replace("__", "."): value for name, value in scalars.items()}
    return Holders(topology, latencies, found, Placement(topology)).blocked(resources_of(topology)[path], "nic0.read")


@pytest.mark.parametrize(("buffer", "waits"), [(0, 0.2), (8, 0.8)])
def test_a_fault_waits_for_the_records_of_others_and_with_a_buffer_for_nothing_else(buffer: int, waits: float) -> None:
    """The buffer has taken its own record: three quarters of the time go into records where there is none."""
    faults = {"nic0.read": latency(1000, fault=800 * NS, link=200 * NS)}
    found = blocked(with_iommus(fault_buffer=buffer), "nic0.slots", faults, iommu0__fq__busy_ps=600 * US)
    assert found == pytest.approx(waits)


def test_what_others_wait_for_in_another_iommu_is_not_waited_for_in_this_one() -> None:
    """A third of each walk of nic0's is the wait for a walker; those of gpu0 have waited far longer."""
    topology = with_iommus(2)
    others = {"gpu0.read": latency(1000, walker_wait=9000 * NS, walk=100 * NS)}
    reads = {"nic0.read": latency(1000, merge_wait=300 * NS, walker_wait=100 * NS, memory=100 * NS)}
    found = blocked(topology, "nic0.slots", reads | others, iommu0__walkers__busy_ps=200 * US)
    assert found == pytest.approx((100 + 300 * 100 / 300) / 500)


@pytest.mark.parametrize(("contexts", "waits"), [(0, 0.2), (10, 0.4)])
def test_walkers_wait_for_memory_with_what_they_read_of_tables_and_of_the_directory(
    contexts: int, waits: float
) -> None:
    """Each of 20 accesses has waited for 1 us at the port; 10 of them are reads of tables."""
    memory = {"dram0__reads": 20, "dram0__port__waited_ps": 20 * US, "iommu0__walkers__busy_ps": 50 * US}
    found = blocked(SYSTEM, "iommu0.walkers", {}, iommu0__walk_reads=10, iommu0__ddt_reads=contexts, **memory)
    assert found == pytest.approx(waits)


@pytest.mark.parametrize(("reads", "writes"), [(40, 0), (10, 30), (0, 40)])
def test_reads_and_writes_alike_wait_for_the_port_of_the_memory_with_the_tables(reads: int, writes: int) -> None:
    waited = {"dram0.reads": reads, "dram0.writes": writes, "dram0.port.waited_ps": 80 * US}
    assert Holders(SYSTEM, {}, NOTHING | waited, Placement(SYSTEM)).table_wait("iommu0") == 2 * US
