"""Queues and directory at hardwired addresses: as right drivers use them, as v2 misses them, and what it gains."""

from __future__ import annotations

import pytest

from tests.topologies.running import faults, mean_us, run

SLOW = pytest.mark.slow
COMMANDS = 10 * (16 + 1)
"""Ten unmaps of 16 pages, each with a fence."""


@SLOW
@pytest.mark.parametrize("driver", ["merged", "current"])
def test_every_command_and_the_directory_s_root_are_read_from_the_on_chip_memory(driver: str) -> None:
    result = run("hardwired", driver)
    assert result.outcome == "ok", result.failures
    assert result.scalars["iommu0.commands.total"] == COMMANDS
    assert result.scalars["sram0.reads"] >= COMMANDS + 1
    assert result.scalars["kernel.pages.ddt"] == 2 * 4096
    assert "kernel.pages.queue" not in result.scalars


@SLOW
@pytest.mark.parametrize("where", ["0x8000_0000", "0x8800_0000", "0x8fff_f000"])
def test_a_queue_in_a_part_of_the_main_memory_works_as_well(where: str) -> None:
    result = run("hardwired", iommu0__hardwired__cqb=where)
    assert result.outcome == "ok", result.failures
    assert result.scalars["iommu0.commands.total"] == COMMANDS
    assert result.scalars["sram0.reads"] == 1


@SLOW
def test_a_fence_is_faster_by_what_the_memory_is() -> None:
    """A poll of `cqh` less, as the header of the topology says."""
    near, far = (run("hardwired", sram0__latency=latency) for latency in ("5 ns", "80 ns"))
    assert mean_us(near, "cpu0.map-unmap.cmd_sync") == pytest.approx(0.362)
    assert mean_us(far, "cpu0.map-unmap.cmd_sync") == pytest.approx(0.521)


@pytest.mark.parametrize("change", [{"driver": "v2"}, {"driver__bringup": "ppn-shifted-twice"}], ids=["v2", "alone"])
def test_v2_takes_the_queue_to_be_elsewhere_and_gives_the_iommu_up(change: dict[str, str]) -> None:
    result = run("hardwired", **change)
    assert result.exit_code == 1
    says = "probe failed: -ENODEV: the command queue is not taken"
    assert f"iommu0 was not taken into service; the kernel log says: {says}" in result.failures
    assert any("probe failed: -ENODEV: the command queue is not taken" in line.text for line in result.log)


QUEUES_OF_ITS_OWN: dict[str, None] = {"iommu0__hardwired__cqb": None, "iommu0__hardwired__fqb": None}


@SLOW
@pytest.mark.parametrize(
    "change",
    [{"driver": "v2", **QUEUES_OF_ITS_OWN}, {"driver__bringup": "root-not-probed"}],
    ids=["v2", "alone"],
)
def test_v2_fills_a_directory_that_the_iommu_does_not_read(change: dict[str, object]) -> None:
    result = run("hardwired", **change)  # type: ignore[arg-type]
    assert result.exit_code == 1
    assert set(result.faults["nic0"]) == {"ddt_not_valid"}
    assert faults(result) == result.latencies["nic0.read"].count == 320, "every one"
