"""A device whose requests take no time, and are made without end, is refused: the clock would hardly go on."""

from __future__ import annotations

from typing import Any

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.system.topology import Topology

AT_ONCE: dict[str, Any] = {
    "parts": {
        "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "16 MiB", "latency": "0"},
        "cpu0": {"kind": "cpu"},
        "iommu0": {
            "kind": "iommu",
            "base": 0x0300_0000,
            "timing": {"lookup": "0", "lookup_interval": "0", "link": "0"},
        },
        "nic0": {"kind": "dma", "through": "iommu0", "link": "0"},
    }
}


def load(**changes: object) -> Topology:
    sets = {path.replace("__", "."): value for path, value in changes.items()}
    return cosim.load(Topology.model_validate(AT_ONCE), set=sets)


@pytest.mark.parametrize("changes", [{}, {"nic0__through": None, "nic0__direct": True}])
def test_requests_that_take_no_time_and_never_end_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(TopologyError) as raised:
        load(**changes)
    (problem,) = raised.value.problems
    assert problem.path == ("parts", "nic0", "traffic")
    assert problem.message.startswith(
        "requests without end that take no time: the clock would hardly go on; give it an"
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("nic0__link", "1 ns"),
        ("nic0__bandwidth", "16 GB/s"),
        ("nic0__traffic__interval", "1 ns"),
        ("nic0__traffic__requests", 10),
        ("nic0__traffic__pattern", "none"),
        ("dram0__latency", "1 ns"),
        ("dram0__write_latency", "1 ns"),
        ("dram0__bandwidth", "16 GB/s"),
        ("iommu0__timing__lookup", "1 ns"),
        ("iommu0__timing__link", "1 ns"),
        ("iommu0__geometry__iotlb_entries", 0),
    ],
)
def test_one_step_that_takes_time_is_enough(path: str, value: object) -> None:
    assert load(**{path: value})


@pytest.mark.parametrize("latency", ["0", "1 ns"])
def test_one_memory_that_takes_time_is_enough(latency: str) -> None:
    """A window may lie in it; nobody knows beforehand that none does."""
    dram1 = {"kind": "memory", "base": 0x9000_0000, "size": "16 MiB", "latency": latency}
    both = Topology.model_validate({"parts": AT_ONCE["parts"] | {"dram1": dram1}})
    if latency == "0":
        with pytest.raises(TopologyError):
            cosim.load(both)
    else:
        assert cosim.load(both)
