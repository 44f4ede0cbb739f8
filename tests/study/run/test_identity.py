"""Devices in the identity domain: what a kernel without DMA through the IOMMU makes of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.config.problems import TopologyError

IDENTITY = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {window: 16 KiB, interval: 1 us}}
  nic1:   {kind: dma, through: iommu0, traffic: {pattern: none}}
domains:
  identity: {devices: nic0}
threads:
  - {on: cpu0, does: attach-detach, devices: nic1, domains: identity, detach: false, count: 1}
run: {until: 200 us}
"""


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    path = tmp_path / "identity.yaml"
    path.write_text(IDENTITY, encoding="utf-8")
    return path


@pytest.mark.parametrize("driver", ["merged", "current", "v2"])
def test_a_device_that_begins_there_reaches_memory_without_a_walk(identity: Path, driver: str) -> None:
    result = cosim.run(identity, driver=driver, set={"threads": []})
    assert result.outcome == "ok"
    assert result.latencies["nic0.read"].count > 100
    assert "walk" not in result.latencies["nic0.read"].parts
    assert result.scalars["iommu0.iotlb.hits"] == 0


def test_a_device_can_be_moved_there(identity: Path) -> None:
    """Two fences for its context, and one for its own domain's PSCID."""
    result = cosim.run(identity)
    assert result.outcome == "ok"
    assert result.scalars["iommu0.commands.iofence"] == 3
    assert result.scalars["iommu0.commands.iotinval_vma"] == 1


def test_it_need_not_be_named_among_the_domains(identity: Path) -> None:
    result = cosim.run(identity, set={"domains": {}})
    assert result.outcome == "ok"
    assert result.scalars["iommu0.iotlb.hits"] > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"nic0.traffic.window": "8 MiB"}, "in identity a window is one block of memory, and none is larger than"),
        (
            {"threads": [{"on": "cpu0", "does": "misuse", "what": "map-twice", "domain": "identity"}]},
            "nothing is mapped in identity; name a paging domain, such as a device's own",
        ),
        (
            {"threads": [{"on": "cpu0", "does": "misuse", "what": "map-twice", "domain": "nic0"}]},
            "nic0 has no domain of its own, since it begins in identity",
        ),
        (
            {"threads": [{"on": "cpu0", "does": "attach-detach", "devices": "nic1", "domains": "nic0"}]},
            "nic0 has no domain of its own, since it begins in identity",
        ),
    ],
)
def test_what_needs_a_mapping_is_refused(identity: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        cosim.load(identity, set=changed)


def test_a_device_does_not_have_its_name(identity: Path) -> None:
    identity.write_text(IDENTITY.replace("nic1", "identity"), encoding="utf-8")
    with pytest.raises(TopologyError, match="a domain has this name, which is there without being made"):
        cosim.load(identity)
