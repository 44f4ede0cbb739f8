"""The report of real runs: everything that the system counts under the names that the report looks for."""

import io

import pytest

from cosim.study.report.report import print_report
from cosim.study.run.run import Point, run
from cosim.study.run.uses import uses
from cosim.system.load import load

TOPOLOGY = """
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB, latency: 80 ns, bandwidth: 16 GB/s}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {iotlb_entries: 4, walkers: 1}}
  nic0: {kind: dma, through: iommu0, bandwidth: 16 GB/s, traffic: {pattern: random, outstanding: 8}}
threads:
  - {on: cpu0, does: map-unmap, domain: nic0}
run: {until: 130 us}
"""


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A run in which requests wait for the only walker."""
    path = tmp_path_factory.mktemp("report") / "busy.yaml"
    path.write_text(TOPOLOGY)
    return run(Point(load(path), name="busy"))


@pytest.fixture
def report(busy, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    file = io.StringIO()
    print_report(busy, file)
    return file.getvalue()


@pytest.mark.slow
def test_the_walker_is_found_to_be_the_limit(busy):
    assert busy.limit.startswith("p99 of nic0.read is ")
    assert "waiting for walks; iommu0's walkers were" in busy.limit


@pytest.mark.slow
def test_every_section_has_something_to_say(report):
    for heading in ("DMA requests, ns", "Driver calls, ns", "Masters", "iommu0\n", "Busy\n", "Kernel memory: "):
        assert f"\n{heading}" in report
    for said in ("iotlb hit", "page table", "= iofence", "cq 0.", "iommu0.walkers"):
        assert said in report
    assert all(len(line) <= 80 for line in report.splitlines())


@pytest.mark.slow
def test_every_utilisation_is_of_a_kind_that_a_sentence_can_name(busy):
    named = {use.of for use in uses(busy.scalars) if use.known}
    assert named == {use.of for use in uses(busy.scalars)}
    assert {"cpu0", "dram0.port", "iommu0.walkers", "iommu0.commands", "nic0.link_up"} <= named


IDLE = TOPOLOGY.replace("bandwidth: 16 GB/s, traffic: {pattern: random, outstanding: 8}", "traffic: {pattern: none}")
IDLE = IDLE.split("threads:")[0]


def test_what_ended_in_the_window_is_counted_whenever_it_began(tmp_path):
    path = tmp_path / "late.yaml"
    path.write_text(IDLE)
    idle = run(Point(load(path, until="20 us")))
    assert (idle.ended, idle.outcome, idle.latencies) == (0, "ok", {})
    path.write_text(TOPOLOGY.split("threads:")[0])
    busy = run(Point(load(path, until="8 us")))
    assert busy.ended == sum(latency.count for latency in busy.latencies.values()) == busy.requests["nic0"]
    late = run(Point(load(path, until="8 us", set={"run.warmup": "5 us"})))
    assert sum(latency.count for latency in late.latencies.values()) < late.ended < busy.ended
