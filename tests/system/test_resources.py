"""What more of a resource is: twice as much, as far as a topology can say it."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.system.resources import Resource, fullness, resources_of
from cosim.system.topology import Topology

PARTS: dict[str, dict[str, Any]] = {
    "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB"},
    "cpu0": {"kind": "cpu"},
}


def resources(geometry: dict[str, int], timing: dict[str, str] | None = None) -> dict[str, str]:
    """What makes more of each resource of an IOMMU; "None" where nothing does."""
    iommu = {"kind": "iommu", "base": 0x0300_0000, "geometry": geometry, "timing": timing or {}}
    found = resources_of(Topology.model_validate({"parts": PARTS | {"iommu0": iommu}}))
    return {resource.name: str(resource.knob) for resource in found.values()}


@pytest.mark.parametrize(("number", "more"), [(2048, 4096), (3000, 4096), (4095, 4096), (4096, None)])
def test_of_places_there_are_twice_as_many_or_as_many_as_there_can_be(number: int, more: int | None) -> None:
    knob = "None" if more is None else f"-s iommu0.geometry.in_flight={more}"
    assert resources({"in_flight": number})["places"] == knob


@pytest.mark.parametrize(("interval", "shorter"), [("2 ps", "1 ps"), ("1 ps", None), ("0", None)])
def test_a_look_up_at_each_tick_or_in_no_time_is_nothing_to_wait_for(interval: str, shorter: str | None) -> None:
    found = resources({}, {"lookup_interval": interval})
    assert found.get("lookup") == (f"-s 'iommu0.timing.lookup_interval={shorter}'" if shorter else None)


@pytest.mark.parametrize(("ports", "full"), [(1, 0.2), (2, 0.7), (3, 0.9)])
def test_memory_is_as_full_as_the_busiest_of_its_ports(ports: int, full: float) -> None:
    topology = Topology.model_validate({"parts": PARTS | {"dram0": PARTS["dram0"] | {"ports": ports}}})
    scalars = {f"dram0.port{which}.utilisation": used for which, used in (("", 0.2), (0, 0.1), (1, 0.7), (2, 0.9))}
    assert fullness(Resource("dram0", "port", "port", None), topology, scalars) == full
