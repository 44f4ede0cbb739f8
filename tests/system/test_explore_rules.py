"""What a topology says is to be explored: threads, drivers and times that there are."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.config.problems import TopologyError
from cosim.system.load import as_data, load
from cosim.system.topology import Topology

PARTS = {
    "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "16 MiB"},
    "cpu0": {"kind": "cpu"},
    "iommu0": {"kind": "iommu", "base": 0x0300_0000},
    "nic0": {"kind": "dma", "through": "iommu0", "traffic": {"pattern": "none"}},
}


def exploring(driver: str = "merged", **explore: Any) -> Topology:
    threads = [{"on": "cpu0", "does": "map-unmap", "domain": "nic0", "count": 1}]
    given = {"parts": PARTS, "driver": {"variant": driver}, "threads": threads, "explore": explore}
    return load(Topology.model_validate(given))


def test_what_is_explored_loads_back_from_what_is_shown() -> None:
    defect = {"driver": {"variant": "merged", "attach": "context-first"}, "signature": "stale-dma", "schedule": []}
    topology = exploring(holds=["2 us", "5 us"], starts={"cpu0.map-unmap": [0, "1 us"]}, defects=[defect], clean=["v2"])
    assert Topology.model_validate(as_data(topology)) == topology
    assert topology.explore is not None
    assert topology.explore.defects[0].options.cells == {"attach": "context-first"}


@pytest.mark.parametrize(
    ("explore", "words"),
    [
        ({"starts": {"cpu0.mapunmap": [0]}}, "cpu0.mapunmap is none of `threads:`; did you mean cpu0.map-unmap?"),
        ({"starts": {"cpu0.map-unmap": []}}, "there is no start; name one at least"),
        ({"clean": ["curent"]}, "explore.clean.0: 'curent' is not known; did you mean current?"),
        (
            {"defects": [{"driver": {"variant": "merged", "attach": "context-frist"}, "signature": "stale-dma"}]},
            "explore.defects.0.driver.attach: there is no 'context-frist'; did you mean context-first?",
        ),
        ({"holds": ["1 us", "1 us"]}, "explore.holds.1: 1 us stands there twice"),
        ({"holds": ["80 ms"], "deviations": 2}, "2 deviations of 80 ms could make a time-out of 150 ms fire"),
    ],
)
def test_a_mistake_is_told_at_its_place(explore: dict[str, Any], words: str) -> None:
    with pytest.raises(TopologyError) as raised:
        exploring(**explore)
    assert words in str(raised.value)


@pytest.mark.parametrize(("driver", "others"), [("merged", ["ideal"]), ("ideal", ["merged"]), ("ideal", [])])
def test_a_hold_is_as_long_as_every_time_out_of_its_drivers_permits(driver: str, others: list[str]) -> None:
    """`ideal` waits for room for 90 s, but for a queue that is being switched on for 150 ms."""
    exploring(driver, holds=["149 ms"], clean=others)
    with pytest.raises(TopologyError, match="a time-out of 150 ms"):
        exploring(driver, holds=["150 ms"], clean=others)


@pytest.mark.parametrize(("hold", "fits"), [("999 us", True), ("1 ms", False)])
def test_a_hold_is_as_long_as_the_time_outs_of_drivers_with_defects_permit(hold: str, fits: bool) -> None:
    impatient = {"variant": "merged", "attach": {"policy": "context-first", "fence_ps": "1 ms"}}
    explore = {"holds": [hold], "defects": [{"driver": impatient, "signature": "stale-dma"}]}
    if fits:
        assert exploring(**explore)
    else:
        with pytest.raises(TopologyError, match="a time-out of 1 ms"):
            exploring(**explore)
