"""Passthrough: the base line that strict and lazy are compared with, in which mapping costs next to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.study.run.result import Result
from cosim.units.quantities import NS

pytestmark = pytest.mark.slow

TOPOLOGY = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB, ports: 4}
  cpu:    {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000}
  ssd0:   {kind: dma, through: iommu0, traffic: {pattern: none}}
driver: current
threads:
  - {on: cpu0, does: map-unmap, domain: ssd0}
  - {on: cpu1, does: map-unmap, domain: ssd0}
run: {until: 140 us}
"""

IN_IDENTITY = {"domains": {"identity": {"devices": "ssd0"}}}
"""The device is in the identity domain, and threads name it."""

BY_NAME = {"threads.*.domain": "identity"}
"""The threads name the domain, whatever the device is in."""


@pytest.fixture
def topology(tmp_path: Path) -> Path:
    path = tmp_path / "modes.yaml"
    path.write_text(TOPOLOGY, encoding="utf-8")
    return path


def unmaps(result: Result) -> int:
    return sum(found.count for name, found in result.latencies.items() if name.endswith(".unmap"))


def test_strict_lazy_and_passthrough_come_out_in_the_order_that_is_published(topology: Path) -> None:
    strict, lazy, passthrough = (
        unmaps(cosim.run(topology, set=changes)) for changes in ({}, {"threads.*.mode": "lazy"}, IN_IDENTITY)
    )
    assert 2 * strict < lazy
    assert 2 * lazy < passthrough


@pytest.mark.parametrize("changes", [IN_IDENTITY, BY_NAME], ids=["the device's", "identity"])
@pytest.mark.parametrize("mode", ["strict", "lazy"])
def test_a_map_and_an_unmap_cost_a_few_instructions_and_no_command(topology: Path, changes: Any, mode: str) -> None:
    result = cosim.run(topology, set={**changes, "threads.*.mode": mode})
    assert result.outcome == "ok"
    for call in ("map", "unmap"):
        found = result.latencies[f"cpu0.map-unmap.{call}"]
        assert found.count > 100
        assert (found.max_ps, found.parts) == (5 * NS, {"cpu": 5 * NS})
    assert "cpu0.map-unmap.iotlb_inval" not in result.latencies
    assert result.scalars["iommu0.commands.total"] == 0
    assert not result.log


def test_each_piece_of_a_buffer_costs_by_itself(topology: Path) -> None:
    result = cosim.run(topology, set={**BY_NAME, "threads.*.pages": 8, "kernel.dma_direct_cost": "3 ns"})
    assert result.latencies["cpu0.map-unmap.map"].max_ps == 8 * 3 * NS
    whole = cosim.run(topology, set={**BY_NAME, "threads.*.pages": 8, "threads.*.contiguous": True})
    assert whole.latencies["cpu0.map-unmap.map"].max_ps == 5 * NS


def test_a_device_uses_the_pages_themselves(topology: Path) -> None:
    """Nobody stops it before the unmap, and nothing protects the pages that are freed then."""
    traffic = {"ssd0.traffic.pattern": "sequential", "ssd0.traffic.interval": "1 us", "threads.1.domain": "identity"}
    device = {"threads.0.device": "ssd0", "threads.0.hold": "10 us", "threads.0.pages": 4}
    kept = cosim.run(topology, set={**IN_IDENTITY, **traffic, **device, "threads.0.free": False})
    assert kept.outcome == "ok"
    assert kept.scalars["ssd0.reads"] > 50
    freed = cosim.run(topology, set={**IN_IDENTITY, **traffic, **device, "threads.0.gap": "5 us"})
    assert {violation.oracle for violation in freed.violations} == {"freed-memory"}
    assert not freed.faults


@pytest.mark.parametrize("wait", ["interrupt", "poll"])
def test_a_ring_in_identity_needs_no_page_table(topology: Path, wait: str) -> None:
    ring = {"on": "cpu0", "does": "receive-ring", "device": "ssd0", "entries": 8, "wait": wait}
    ssd0 = {"ssd0": {"kind": "ring", "through": "iommu0", "interval": "2 us"}}
    result = cosim.run(topology, set={**IN_IDENTITY, **ssd0, "threads": [ring]})
    assert result.outcome == "ok"
    assert result.latencies["ssd0.write"].count > 20
    assert "walk" not in result.latencies["ssd0.write"].parts
    assert result.scalars["iommu0.commands.total"] == 0
    assert result.scalars["kernel.leaked_pages"] == 0
    assert "kernel.pages.table" not in result.scalars, "there is not one page of them"
