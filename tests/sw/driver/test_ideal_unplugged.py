"""A bond that a failed fence has kept, and an unplug: what is gone is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim

UNPLUGGED_IN_DOUBT = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000, interrupts_to: cpu1, geometry: {cq_log2: 6, fq_log2: 6}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: none}}
domains: {shared: {devices: nic0}}
prepare: [{on: cpu0, does: map, domain: shared, buffer: x}]
driver: ideal
threads:
  - {on: cpu1, does: unplug-iommu, iommu: iommu0, start: 3 s}
  - {on: cpu0, does: unmap, buffer: x, start: 200 s}
stalls: [{part: iommu0.commands, at: 2500 ms, for: 500 s}]
run: {until: threads + 5 s, limit: 700 s}
"""


@pytest.mark.parametrize("without", [[], ["mark-gone"]])
def test_what_is_gone_is_left_alone_though_a_failed_fence_has_kept_its_bond(without: list[str], tmp_path: Path) -> None:
    """Its ring is no more, and no registers; nothing but the mark on it says so to a flush that finds the bond."""
    topology = tmp_path / "unplugged.yaml"
    topology.write_text(UNPLUGGED_IN_DOUBT, encoding="utf-8")
    result = cosim.run(topology, set={"driver.bonds.without": without} if without else {})
    assert any("null pointer dereference" in entry.text for entry in result.log) is bool(without)
