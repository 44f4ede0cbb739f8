"""Systems of many devices: what a device costs does not grow with how many others there are."""

from __future__ import annotations

import cProfile
from collections.abc import Callable
from pathlib import Path
from pstats import Stats

import pytest

import cosim
from cosim.sim.chooser import Chooser
from cosim.study.run.run import Point, UnderWay
from cosim.system.build import build
from cosim.system.load import load
from tests.topologies.running import LARGE, run

FEW, MANY = 16, 64
DEVICES = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 256 MiB}
  cpu: {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic: {kind: dma, count: %d, through: iommu0, traffic: {window: 16 KiB, requests: 1}}
run: {until: 1 us}
"""


def calls(function: Callable[[], object]) -> int:
    """How many calls something takes."""
    profile = cProfile.Profile()
    profile.enable()
    function()
    profile.disable()
    return int(vars(Stats(profile))["total_calls"])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Systems of one device, of few and of many."""
    for number in (1, FEW, MANY):
        (tmp_path / f"{number}.yaml").write_text(DEVICES % number, encoding="utf-8")
    return tmp_path / "1.yaml", tmp_path / f"{FEW}.yaml", tmp_path / f"{MANY}.yaml"


def grows(found: list[int]) -> float:
    """What each device costs among many, as a multiple of what each costs among few."""
    one, few, many = found
    return (many - few) / (MANY - FEW) / ((few - one) / (FEW - 1))


def test_a_device_is_loaded_and_built_at_the_same_cost_among_few_and_among_many(files: tuple[Path, ...]) -> None:
    load(files[0])
    topologies = [load(file) for file in files]
    assert 0.9 < grows([calls(lambda file=file: load(file)) for file in files]) < 1.05  # type: ignore[misc]
    assert 0.9 < grows([calls(lambda made=made: build(made, Chooser())) for made in topologies]) < 1.05  # type: ignore[misc]


@pytest.mark.slow
def test_a_device_boots_at_the_same_cost_among_few_and_among_many(files: tuple[Path, ...]) -> None:
    runs = [UnderWay(Point(load(file))) for file in files]
    assert 0.9 < grows([calls(run.advance) for run in runs]) < 1.05


@pytest.mark.slow
def test_both_executors_give_the_same_run_of_many_devices() -> None:
    assert run("server", run__executor="plain").digest == run("server").digest


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_every_device_of_a_large_system_is_found_and_served(name: str) -> None:
    topology, result = cosim.load(name), run(name)
    assert result.outcome == "ok", result.failures
    assert {device: result.scalars[f"{device}.reads"] > 0 for device in topology.devices()} == dict.fromkeys(
        topology.devices(), True
    )
    assert all(result.scalars[f"{iommu}.commands.iofence"] > 0 for iommu in topology.of_kind("iommu"))
