"""Data apart from tables: a window on a node of its own, in a memory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.config.problems import TopologyError

TOPOLOGY = """\
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 32 MiB, latency: 100 ns}
  cache0: {kind: memory, base: 0x9000_0000, size: 32 MiB, latency: 30 ns, node: 1}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {iotlb_entries: 4}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: random, window: 256 KiB}}
run: {until: 20 us}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "apart.yaml"
    found.write_text(TOPOLOGY, encoding="utf-8")
    return found


def test_a_window_on_another_node_is_read_there_and_its_tables_are_not(path: Path) -> None:
    for node, memory, elsewhere in ((0, "dram0", "cache0"), (1, "cache0", "dram0")):
        result = cosim.run(path, set={"nic0.traffic.node": node})
        read = result.latencies["nic0.read"]
        assert read.parts["memory"] == {"dram0": 100_000, "cache0": 30_000}[memory]
        assert result.scalars[f"{memory}.reads"] >= read.count
        assert (result.scalars[f"{elsewhere}.reads"] > 0) == (node == 1), "tables stay in dram0"
        assert result.scalars["dram0.reads"] >= result.scalars["iommu0.walk_reads"] > 20


def test_without_it_a_window_is_where_the_tables_are(path: Path) -> None:
    for node in (0, 1):
        result = cosim.run(path, set={"iommu0.node": node})
        assert result.latencies["nic0.read"].parts["memory"] == (100_000, 30_000)[node]


def test_a_node_without_memory_is_refused(path: Path) -> None:
    path.write_text(TOPOLOGY.replace("window: 256 KiB", "window: 256 KiB, node: 2"))
    says = r"apart\.yaml:6:.*nic0\.traffic\.node: no memory is on node 2; there is node 0, 1"
    with pytest.raises(TopologyError, match=says):
        cosim.load(path)


@pytest.mark.parametrize(
    ("latency", "proposed"), [("2 us", "dram0.latency=1 us"), ("1 ns", "cache0.latency=15 ns")], ids=["data", "tables"]
)
def test_of_two_memories_the_one_is_named_that_the_time_goes_to(path: Path, latency: str, proposed: str) -> None:
    """And not the one that is used most, which is that of the tables."""
    changes = {"iommu0.node": 1, "nic0.traffic.node": 0, "iommu0.geometry.nonleaf_entries": 0, "dram0.latency": latency}
    near = {"nic0.link": "1 ns", "iommu0.timing.link": "1 ns", "nic0.traffic.interval": "3 us"}
    result = cosim.run(path, until="30 us", set=changes | near)
    assert result.scalars["cache0.reads"] > 2 * result.scalars["dram0.reads"]
    assert f"try -s '{proposed}'" in result.limit, result.limit


@pytest.mark.parametrize(
    ("option", "time", "half"),
    [
        ("iommu0.timing.walk_step", "400 ns", "200 ns"),
        ("iommu0.timing.walk_start", "3 us", "1.5 us"),
        ("iommu0.timing.link", "90 ns", "45 ns"),
        ("dram0.cache_latency", "500 ns", "250 ns"),
        ("dram0.latency", "500 ns", "250 ns"),
    ],
)
def test_what_takes_longest_of_a_walk_is_named(path: Path, option: str, time: str, half: str) -> None:
    apart = {"nic0.traffic.node": 1, "nic0.traffic.interval": "5 us", "iommu0.geometry.nonleaf_entries": 0}
    cache = {"dram0.cache_lines": 1024} if option == "dram0.cache_latency" else {}
    result = cosim.run(path, until="30 us", set=apart | cache | {"dram0.latency": "50 ns", option: time})
    assert result.limit.endswith(f"; try -s '{option}={half}'"), result.limit
