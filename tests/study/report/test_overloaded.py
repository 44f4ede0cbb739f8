"""A device that is given more than it can make is named; one that keeps up is not."""

import io
from pathlib import Path

import pytest

import cosim
from cosim.study.report.overloaded import overloaded
from cosim.study.report.report import print_report

DEVICE = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {interval: 100 ns, outstanding: 1, arrivals: poisson}}
run: {until: 60 us}
"""


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device.yaml"
    path.write_text(DEVICE, encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_device_whose_requests_come_faster_than_they_end_is_named_in_the_report(device: Path) -> None:
    file = io.StringIO()
    print_report(cosim.run(device), file)
    assert "nic0 is overloaded: it asks for 5.1 Gb/s and gets" in " ".join(file.getvalue().split())


@pytest.mark.slow
@pytest.mark.parametrize("enough", [{"nic0.traffic.outstanding": 8}, {"nic0.traffic.interval": "300 ns"}])
def test_a_device_that_keeps_up_is_not(device: Path, enough: dict[str, object]) -> None:
    result = cosim.run(device, set=enough)
    assert not list(overloaded(result.scalars, result.ran))


@pytest.mark.parametrize(("mean", "most", "named"), [(50, 100, 1), (20, 100, 0), (98, 100, 0), (10, 20, 0)])
def test_a_backlog_that_grows_is_half_its_largest_in_the_mean(mean: float, most: float, named: int) -> None:
    found = list(overloaded({"nic0.backlog_mean": mean, "nic0.backlog_max": most}, {}))
    assert len(found) == named


@pytest.mark.parametrize(
    ("traffic", "carried", "told"),
    [
        ({"interval": "40 ns"}, 164, "it asks for 409.6 Gb/s and gets 164.0"),
        ({"interval": "40 ns"}, 400, ""),
        ({"interval": "40 ns", "requests": 900}, 164, ""),
        ({"interval": "40 ns", "burst_requests": 9, "burst_off": "1 us"}, 164, ""),
        ({}, 164, ""),
    ],
)
def test_a_backlog_from_the_warm_up_grows_if_more_is_asked_for_than_is_carried(
    traffic: dict[str, object], carried: float, told: str
) -> None:
    """Its mean is then near its largest, as that of one which stays."""
    scalars = {"nic0.backlog_mean": 80, "nic0.backlog_max": 100, "nic0.read_gbps": 0, "nic0.written_gbps": carried}
    ran = {"parts": {"nic0": {"kind": "dma", "traffic": {"size": "2 KiB", **traffic}}}}
    said = [f"nic0 is overloaded: {told}, up to 100 have waited for a slot, and its latency grows with run.until"]
    assert list(overloaded(scalars, ran)) == (said if told else [])
