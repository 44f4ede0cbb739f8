"""How many requests can be under way: no more than their slots and the IOMMU's places, however long a run is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.hw.dma.requester import Requester

pytestmark = pytest.mark.slow

SLOW = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB, latency: 1 us, bandwidth: 100 MB/s}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {in_flight: 4, walkers: 1, iotlb_entries: 4, nonleaf_entries: 0}}
  nic0:
    kind: dma
    through: iommu0
    posted: true
    traffic: {pattern: random, read: 0.0, window: 256 KiB, outstanding: 4}
run: {until: 300 us}
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW, encoding="utf-8")
    return path


@pytest.mark.parametrize("until", ["300 us", "600 us"])
@pytest.mark.parametrize("pattern", ["random", "sequential"])
def test_posted_writes_are_bounded_by_slots_and_places(slow: Path, until: str, pattern: str) -> None:
    """With all pages in the IOTLB it is memory that they wait for, else a walker."""
    scalars = cosim.run(slow, until=until, set={"nic0.traffic.pattern": pattern}).scalars
    assert 4 < scalars["nic0.in_flight_mean"] <= scalars["nic0.in_flight_max"] <= 8


@pytest.mark.parametrize("posted", [True, False])
def test_requests_that_come_faster_than_they_go_wait_in_the_device(slow: Path, posted: bool) -> None:
    changes: dict[str, Any] = {"nic0.traffic.interval": "100 ns", "nic0.posted": posted}
    short, long = (cosim.run(slow, until=until, set=changes).scalars for until in ("300 us", "600 us"))
    assert long["nic0.in_flight_max"] <= 4 + 4 * posted
    assert long["nic0.backlog_max"] > 1.9 * short["nic0.backlog_max"] > 2000


def test_a_run_with_more_in_flight_than_can_be_is_an_error_of_ours(slow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot that is returned on arrival, however full the IOMMU is."""
    monkeypatch.setattr(Requester, "_settle", lambda self: None)
    monkeypatch.setattr(Requester, "_accept", lambda self: self.slots.release())
    with pytest.raises(ArithmeticError, match=r"nic0\.in_flight: .* at once, and no more than 4 of nic0's outstanding"):
        cosim.run(slow)


def test_a_ring_is_no_pattern_any_more(slow: Path) -> None:
    with pytest.raises(TopologyError, match=r"traffic\.pattern: a ring is a kind of device: write `kind: ring`"):
        cosim.load(slow, set={"nic0.traffic.pattern": "ring"})
