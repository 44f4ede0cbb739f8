"""The finding that is looked at here: an unmap beside an attach, with the context before the bond."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from cosim.config.source import Source
from cosim.study.finding import Finding
from cosim.study.pool import Pool, Record
from cosim.study.run.run import Point
from cosim.system.load import load
from cosim.system.topology import Topology

BESIDE = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 3, timing: {mmio_read: 2 us}}
  iommu0: {kind: iommu, base: 0x0300_0000, interrupts_to: cpu2, geometry: {cq_log2: 6, fq_log2: 6}}
  iommu1: {kind: iommu, base: 0x0300_1000, interrupts_to: cpu2, geometry: {cq_log2: 6, fq_log2: 6}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: told, interval: 500 ns, requests: 64}}
  nic1:   {kind: dma, through: iommu1, traffic: {pattern: none}}
domains:
  shared: {devices: nic1}
driver: {variant: merged, attach: context-first}
prepare:
  - {on: cpu0, does: map, domain: shared, buffer: x}
  - {on: cpu0, does: map, domain: nic0, buffer: own}
  - {on: cpu0, does: tell, device: nic0, buffer: own}
threads:
  - {on: cpu0, does: unmap, buffer: x}
  - {on: cpu1, does: attach, devices: nic0, domain: shared}
run: {until: threads + 2 us, hold: 10 us}
"""

HELD = ("cpu0.unmap.amo#0:1",)
UNFLUSHED = "flush-promises: unmap returned, never invalidated"


@cache
def beside(**changes: Any) -> Topology:
    """The system, changed; in the names of `changes` two underscores stand for a dot."""
    return load(Source.parse(BESIDE, "beside"), set={name.replace("__", "."): to for name, to in changes.items()})


def record_of(point: Point, **pool: Any) -> Record:
    """The record of its run, in this process."""
    with Pool(fork=False, **pool) as runs:
        [(_, record)] = runs.runs([point])
    return record


@cache
def recorded() -> Record:
    """The record of the finding's run."""
    return record_of(Point(beside(), "beside", HELD))


@cache
def found() -> Finding:
    """The finding of its run."""
    return Finding.of(Point(beside(), "beside", HELD, "cosim run beside.yaml"), recorded(), UNFLUSHED)


def written(folder: Path) -> Path:
    """The file of the finding."""
    path = folder / "found.json"
    found().write(path)
    return path
