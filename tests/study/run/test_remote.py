"""What is on another node is farther away, for an IOMMU and for the devices behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim

TOPOLOGY = """\
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 32 MiB, latency: 100 ns}
  dram1:  {kind: memory, base: 0x9000_0000, size: 32 MiB, latency: 100 ns, node: 1}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {iotlb_entries: 4}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: random, window: 256 KiB, node: 0}}
run: {until: 20 us}
"""

ANOTHER = """\
  iommu1: {kind: iommu, base: 0x0400_0000, node: 1}
  dev0:   {kind: dma, through: iommu1, traffic: {pattern: none}}
  nic0:"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "remote.yaml"
    found.write_text(TOPOLOGY, encoding="utf-8")
    return found


def parts(path: Path, **changes: object) -> dict[str, int]:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return dict(cosim.run(path, set=named).latencies["nic0.read"].parts)


def test_data_on_another_node_take_the_way_there_and_back(path: Path) -> None:
    near, far = (parts(path, nic0__traffic__node=1, dram1__remote=way) for way in ("0 ns", "40 ns"))
    assert far["link"] == pytest.approx(near["link"] + 80_000, rel=0.01), "not exactly: walks have hops, too"
    assert far["memory"] == near["memory"]


def test_tables_on_another_node_make_each_read_of_a_walk_longer(path: Path) -> None:
    """The domain is made for a device behind an IOMMU of another node than the one that walks."""
    path.write_text(
        TOPOLOGY.replace("  nic0:", ANOTHER) + "domains: {shared: {devices: [dev0, nic0]}}\n", encoding="utf-8"
    )
    near, far = (parts(path, dram1__remote=way) for way in ("0 ns", "40 ns"))
    assert far["link"] > near["link"] + 60_000, "most reads miss, and a walk has one read at least"
    assert far["memory"] == near["memory"]


def test_what_is_on_its_own_node_is_as_near_as_ever(path: Path) -> None:
    assert parts(path, dram1__remote="40 ns") == parts(path)
