"""In which memories the first sentence takes windows and tables to be."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.study.run.placement import Placement
from cosim.system.topology import Topology

PARTS: dict[str, dict[str, Any]] = {
    "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "16 MiB"},
    "dram2": {"kind": "memory", "base": 0x9000_0000, "size": "16 MiB", "node": 2},
    "sram0": {"kind": "memory", "base": 0x0200_0000, "size": "64 KiB", "node": 2, "reserved": True},
    "cpu0": {"kind": "cpu"},
    "iommu0": {"kind": "iommu", "base": 0x0300_0000},
    "iommu2": {"kind": "iommu", "base": 0x0300_1000, "node": 2},
}
EVERYWHERE = ["dram0", "dram2", "sram0"]


def placement(**device: Any) -> Placement:
    return Placement(Topology.model_validate({"parts": PARTS | {"nic0": {"kind": "dma", **device}}}))


@pytest.mark.parametrize(
    ("device", "memories"),
    [
        ({"through": "iommu0"}, ["dram0"]),
        ({"through": "iommu2"}, ["dram2"]),
        ({"through": "iommu0", "traffic": {"node": 2}}, ["dram2"]),
        ({"through": "iommu2", "traffic": {"node": 1}}, ["dram0"]),
        ({"direct": True}, ["dram0"]),
        ({"through": "iommu2", "traffic": {"pattern": "told"}}, EVERYWHERE),
        ({"through": "iommu2", "kind": "ring"}, EVERYWHERE),
    ],
)
def test_a_window_is_on_its_node_or_on_its_iommus_in_memory_that_is_given_out(
    device: dict[str, Any], memories: list[str]
) -> None:
    """Of nodes that are as near the lower one; what threads tell a device of may be anywhere."""
    assert placement(**device).data("nic0") == memories


def test_the_tables_of_an_iommu_are_on_its_node() -> None:
    found = placement(through="iommu0")
    assert [found.tables(iommu) for iommu in ("iommu0", "iommu2")] == [["dram0"], ["dram2"]]
