"""A device that is given more than it can make is overloaded, and its latency has no mean; one that keeps up is not."""

from pathlib import Path

import pytest

import cosim
from cosim.study.run.overloaded import overloaded
from cosim.study.run.result import Result

DEVICE = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {interval: 100 ns, outstanding: 1, arrivals: poisson}}
run: {until: 60 us}
"""
BURSTS = {"nic0.traffic.burst_on": "2 us", "nic0.traffic.burst_off": "1 us", "run.warmup": "30 us"}


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device.yaml"
    path.write_text(DEVICE, encoding="utf-8")
    return path


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    """A request each 100 ns, of 512 bytes."""
    path = tmp_path / "requests.csv"
    rows = "".join(f"{time},nic0,0x1000,512,read\n" for time in range(0, 70_000, 100))
    path.write_text(f"time_ns,device,iova,size,access\n{rows}", encoding="utf-8")
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"run.warmup": "30 us"}, BURSTS])
def test_a_device_whose_requests_come_faster_than_they_end_is_overloaded(device: Path, more: dict[str, object]) -> None:
    assert cosim.run(device, set=more).scalars["nic0.overloaded"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("burst", [{}, BURSTS])
@pytest.mark.parametrize("enough", [{"nic0.traffic.outstanding": 8}, {"nic0.traffic.interval": "300 ns"}])
def test_a_device_that_keeps_up_is_not(device: Path, enough: dict[str, object], burst: dict[str, object]) -> None:
    assert cosim.run(device, set=enough | burst).scalars["nic0.overloaded"] == 0


def replayed(device: Path, file: str, outstanding: int, warmup: str = "20 us") -> Result:
    traffic = {"pattern": "replay", "file": file, "outstanding": outstanding}
    return cosim.run(device, until="35 us", set={"nic0.traffic": traffic, "run.warmup": warmup})


def test_a_replay_that_gets_less_than_was_recorded_is_overloaded_behind_a_warm_up(device: Path, recorded: str) -> None:
    found = replayed(device, recorded, outstanding=1)
    assert found.scalars["nic0.offered_gbps"] == pytest.approx(40.96, rel=0.01)
    assert found.scalars["nic0.overloaded"] == 1


def test_a_latency_that_grows_has_no_interval_of_its_mean(device: Path, recorded: str) -> None:
    grown, good = (replayed(device, recorded, slots, warmup="0 us").latencies["nic0.read"] for slots in (1, 8))
    assert (grown.ci95_ps, grown.no_ci95) == (None, "overloaded: the mean grows with run.until")
    assert "overloaded" not in good.no_ci95


@pytest.mark.parametrize("outstanding", [1, 8])
def test_what_a_device_asks_for_does_not_depend_on_what_it_gets(device: Path, recorded: str, outstanding: int) -> None:
    found = replayed(device, recorded, outstanding)
    assert found.scalars["nic0.offered_bytes"] == 150 * 512


@pytest.mark.parametrize(("mean", "most", "grows"), [(50, 100, 1), (20, 100, 0), (98, 100, 0), (10, 20, 0)])
def test_a_backlog_that_grows_is_half_its_largest_in_the_mean(mean: float, most: float, grows: int) -> None:
    assert overloaded({"nic0.backlog_mean": mean, "nic0.backlog_max": most}) == {"nic0.overloaded": grows}


@pytest.mark.parametrize(("carried", "grows"), [(164, 1), (400, 0)])
def test_a_backlog_from_the_warm_up_grows_if_more_is_asked_for_than_is_carried(carried: float, grows: int) -> None:
    """Its mean is then near its largest, as that of one which stays."""
    scalars = {"nic0.backlog_mean": 80, "nic0.backlog_max": 100, "nic0.read_gbps": 0, "nic0.written_gbps": carried}
    assert overloaded(scalars | {"nic0.offered_gbps": 410}) == {"nic0.overloaded": grows}
