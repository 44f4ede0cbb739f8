"""What the rows of idle options ask of a topology: whether a thread, wherever it stands, makes use of something."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.system.setting import Setting
from cosim.system.topology import Topology

PARTS = {
    "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB"},
    "cpu0": {"kind": "cpu"},
    "iommu0": {"kind": "iommu", "base": 0x0300_0000},
    "nic0": {"kind": "dma", "through": "iommu0"},
    "nic1": {"kind": "dma", "through": "iommu0"},
    "gpu0": {"kind": "dma", "through": "iommu0"},
}
IN_IDENTITY = {"identity": {"devices": ["nic*", "gpu0"]}}


def setting(*threads: dict[str, Any], domains: dict[str, Any] | None = None, place: str = "threads") -> Setting:
    listed = [{"on": "cpu0"} | thread for thread in threads]
    return Setting(Topology.model_validate({"parts": PARTS, "domains": domains or {}, place: listed}))


def test_there_are_iovas_if_a_device_begins_in_a_paging_domain_or_a_thread_makes_one() -> None:
    assert setting().has_iovas
    assert not setting(domains=IN_IDENTITY).has_iovas
    assert setting(domains=IN_IDENTITY | {"shared": {}}).has_iovas
    assert setting({"does": "domain-cycle", "devices": ["nic0"]}, domains=IN_IDENTITY).has_iovas


@pytest.mark.parametrize("place", ["threads", "prepare"])
def test_devices_are_told_of_buffers_by_name_and_by_glob_and_by_whatever_thread(place: str) -> None:
    told = [{"does": "tell", "device": device, "buffer": "x", "count": 1} for device in ("nic*", "nic1")]
    assert setting(*told, place=place).told == {"nic0", "nic1"}


@pytest.mark.parametrize("place", ["threads", "prepare"])
@pytest.mark.parametrize("mode", ["lazy", "strict"])
def test_unmaps_are_lazy_if_a_thread_asks_for_that_be_it_one_that_prepares(place: str, mode: str) -> None:
    thread = {"does": "map-unmap", "domain": "nic0", "mode": mode, "count": 1}
    assert setting(thread, place=place).is_lazy is (mode == "lazy")
