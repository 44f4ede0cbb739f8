"""What is proposed to be made shorter of a walk, of the way and of memory: whatever of it takes longest."""

from __future__ import annotations

from typing import Any

from cosim.study.run.holders import Holders
from cosim.study.run.placement import Placement
from cosim.study.run.shortening import Shortening
from cosim.system.resources import resources_of
from cosim.system.topology import Topology
from tests.study.run.results import NS, latency

PARTS: dict[str, dict[str, Any]] = {
    "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB", "latency": "100 ns"},
    "cpu0": {"kind": "cpu"},
    "iommu0": {"kind": "iommu", "base": 0x0300_0000, "timing": {"link": "20 ns"}},
    "nic0": {"kind": "dma", "through": "iommu0", "link": "100 ns"},
    "ring0": {"kind": "ring", "through": "iommu0"},
}
COUNTED = ("iommu0.walks", "iommu0.walk_reads", "iommu0.ddt_reads", "dram0.reads", "dram0.writes")
NAMES = ("nic0.read", "nic0.write", "ring0.read", "ring0.status")


def shortening(scalars: dict[str, int] | None = None, link_ns: int = 0, **parts: dict[str, Any]) -> Shortening:
    """Of a system with these options more, whose requests took so long on their way."""
    changed = {name: part | parts.get(name, {}) for name, part in PARTS.items()}
    topology = Topology.model_validate({"parts": changed})
    found = dict.fromkeys([*COUNTED, "dram0.port.waited_ps"], 0) | {"dram0.reads": 100} | (scalars or {})
    latencies = dict.fromkeys(NAMES, latency(10, link=link_ns * NS))
    placement, resources = Placement(topology), resources_of(topology)
    holders = Holders(topology, latencies, found, placement)
    return Shortening(topology, latencies, found, resources, placement, holders)


def test_contexts_are_kept_for_every_id_of_a_device() -> None:
    """Behind an IOMMU that keeps two, and reads mostly those of a device that has three; the ring has one more."""
    few = {"geometry": {"ddtc_entries": 2}}
    found = shortening({"iommu0.ddt_reads": 9, "iommu0.walk_reads": 3}, nic0={"device_id": [1, 2, 3]}, iommu0=few)
    assert str(found.walk("iommu0")) == "-s iommu0.geometry.ddtc_entries=4"


def test_a_posted_write_crosses_its_link_once_and_what_is_left_is_the_iommus_way() -> None:
    posted = shortening(link_ns=250, nic0={"posted": True})
    assert str(posted.of("nic0.write", "link")) == "-s 'iommu0.timing.link=10 ns'"
    for found, name in ((posted, "nic0.read"), (shortening(link_ns=250), "nic0.write")):
        assert str(found.of(name, "link")) == "-s 'nic0.link=50 ns'"


def test_what_takes_a_picosecond_is_not_made_shorter() -> None:
    for lookup, knob in (("2 ps", "-s 'iommu0.timing.lookup=1 ps'"), ("1 ps", "None")):
        assert str(shortening(iommu0={"timing": {"lookup": lookup}}).of("nic0.read", "iotlb")) == knob


def test_the_way_to_tables_on_another_node_counts_there_and_back() -> None:
    far = {"node": 1}
    assert str(shortening(dram0={"remote": "60 ns"}, iommu0=far).walk("iommu0")) == "-s 'dram0.remote=30 ns'"
    assert str(shortening(dram0={"remote": "40 ns"}, iommu0=far).walk("iommu0")) == "-s 'dram0.latency=50 ns'"
    assert str(shortening(dram0={"remote": "60 ns"}).walk("iommu0")) == "-s 'dram0.latency=50 ns'"


def test_of_what_a_cache_has_most_is_its_latency_and_not_that_of_memory() -> None:
    cache = {"cache_lines": 64, "cache_latency": "60 ns"}
    hits, misses = ({"dram0.cache.hits": each, "dram0.cache.misses": 10 - each} for each in (8, 2))
    assert str(shortening(hits, dram0=cache).walk("iommu0")) == "-s 'dram0.cache_latency=30 ns'"
    assert str(shortening(misses, dram0=cache).walk("iommu0")) == "-s 'dram0.latency=50 ns'"


def test_what_a_ring_writes_of_its_status_is_a_write() -> None:
    found = shortening(dram0={"write_latency": "400 ns"})
    assert str(found.of("ring0.status", "memory")) == "-s 'dram0.write_latency=200 ns'"
    assert str(found.of("ring0.read", "memory")) == "-s 'dram0.latency=50 ns'"
