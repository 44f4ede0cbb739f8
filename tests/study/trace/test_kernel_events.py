"""Maps, unmaps and faults as Linux's trace_pipe has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import cosim

FAULTING = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: none}}
  disk0:  {kind: dma, through: iommu0, traffic: {pattern: sequential, window: 8 KiB, read: 0, interval: 500 ns}}
domains:
  shared: {devices: [nic0]}
threads:
  - {on: cpu1, does: map-unmap, domain: shared, pages: 2, count: 2}
  - {on: cpu0, does: attach-detach, devices: disk0, domains: shared, gap: 1 us, count: 2}
run: {until: 10 us}
"""

LINE = re.compile(r"^ *(\S+)-(\d+) +\[(\d{3})\] (\S{5}) +(\d+\.\d{6}): (\w+): (IOMMU:.*)$")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a run has left its trace, and another one with every event."""
    topology = tmp_path / "faulting.yaml"
    topology.write_text(FAULTING, encoding="utf-8")
    result = cosim.run(topology, trace=[tmp_path / "kernel.trace", tmp_path / "all.jsonl"])
    assert sum(result.faults["disk0"].values()) > 0
    return tmp_path


def test_lines_have_the_form_of_trace_pipe(folder: Path) -> None:
    paths = [folder / "kernel.trace", folder / "all.jsonl"]
    found = [LINE.match(line) for line in paths[0].read_text(encoding="utf-8").splitlines()]
    assert all(found)
    lines = [match.groups() for match in found if match]
    events = [json.loads(line) for line in paths[1].read_text(encoding="utf-8").splitlines()]
    tasks = {(line[0], line[2]) for line in lines}
    assert {("map-unmap", "001"), ("boot", "000"), ("<idle>", "000")} == tasks
    assert len({(line[0], line[1]) for line in lines}) == len(tasks)
    told = {"map": "Mapped", "unmap": "UnmapBegun", "io_page_fault": "FaultRecorded"}
    for name, event in told.items():
        assert sum(line[5] == name for line in lines) == sum(line["event"] == event for line in events) > 0

    mapped = [line for line in events if line["event"] == "Mapped" and line["who"] == "cpu1.map-unmap"]
    first, iova, address = mapped[0], int(mapped[0]["iova"], 16), int(mapped[0]["address"], 16)
    said = next(line[6] for line in lines if line[0] == "map-unmap")
    size = first["size"]
    assert said == f"IOMMU: iova=0x{iova:016x} - 0x{iova + size:016x} paddr=0x{address:016x} size={size}"
    assert size == 4096
    unmapped = next(line[6] for line in lines if line[5] == "unmap")
    assert re.fullmatch(r"IOMMU: iova=0x(\w{16}) - 0x(\w{16}) size=8192 unmapped_size=8192", unmapped)
    fault = next(line[6] for line in lines if line[5] == "io_page_fault")
    assert re.fullmatch(r"IOMMU:dma disk0 iova=0x\w{16} flags=0x0001", fault)
