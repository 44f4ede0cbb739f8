"""The topology that a new user runs first: it has a limit, and each change that it proposes moves that limit."""

from __future__ import annotations

import pytest

from tests.topologies.running import run

pytestmark = pytest.mark.slow


def test_the_walkers_limit_it() -> None:
    result = run("quickstart")
    assert "iommu0's walkers" in result.limit
    assert result.scalars["iommu0.walkers.utilisation"] > 0.95
    parts = result.latencies["gpu0.read"].parts
    assert max(parts, key=parts.__getitem__) == "walker_wait"


def test_more_walkers_leave_nobody_waiting_for_one() -> None:
    result = run("quickstart", iommu0__geometry__walkers=8)
    assert result.latencies["gpu0.read"].parts.get("walker_wait", 0) < 2_000
    assert result.latencies["gpu0.read"].mean_ps < 0.6 * run("quickstart").latencies["gpu0.read"].mean_ps
    assert "walkers" not in result.limit


@pytest.mark.parametrize(
    "change", [{"iommu0__geometry__iotlb_entries": 256}, {"gpu0__traffic__page": "2 MiB"}], ids=["iotlb", "page"]
)
def test_without_misses_the_same_walkers_do(change: dict[str, object]) -> None:
    result = run("quickstart", **change)
    assert result.scalars["iommu0.walkers.utilisation"] < 0.5
    assert result.latencies["gpu0.read"].p95_ps == 202_000, "two hops each way, a look-up and the memory"


def test_disk_and_network_pay_for_the_accelerators_misses() -> None:
    shared, alone = run("quickstart"), run("quickstart", gpu0__traffic__pattern="none")
    for operation in ("disk0.read", "nic0.write"):
        assert shared.latencies[operation].mean_ps > 1.2 * alone.latencies[operation].mean_ps


def test_every_device_is_served_and_nothing_faults() -> None:
    result = run("quickstart")
    for counter in ("gpu0.reads", "disk0.reads", "nic0.writes"):
        assert result.scalars[counter] > 0
    assert not result.faults
    assert result.scalars["kernel.leaked_pages"] == 0
