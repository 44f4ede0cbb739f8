"""What is run in a pool here: a system that boots at once, and one in which two threads race."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cosim
from cosim.study.run.run import Point
from cosim.system.topology import Topology

TINY = """
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:  {kind: cpu}
  dev0:  {kind: dma, direct: true, traffic: {window: 4 KiB, requests: 2}}
threads:
  - {on: cpu0, does: synchronize-rcu, count: 1}
run: {until: 20 us}
"""

RACE = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 3}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {cq_log2: 6, fq_log2: 6}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: none}}
  nic1:   {kind: dma, through: iommu0, traffic: {pattern: told, interval: 1 us, requests: 12}}
domains:
  shared: {devices: nic0}
prepare:
  - {on: cpu0, does: map, domain: shared, buffer: x}
  - {on: cpu0, does: map, domain: nic1, buffer: own}
  - {on: cpu0, does: tell, device: nic1, buffer: own}
threads:
  - {on: cpu0, does: unmap, buffer: x}
  - {on: cpu1, does: attach, devices: nic1, domain: shared}
run: {until: threads + 5 us, hold: 5 us}
expect: {threads: finished, faults: {min: 0}}
"""


def loaded(folder: Path, text: str, **changes: Any) -> Topology:
    """A topology, changed; in the names of `changes` two underscores stand for a dot."""
    path = folder / "system.yaml"
    path.write_text(text, encoding="utf-8")
    return cosim.load(path, set={name.replace("__", "."): value for name, value in changes.items()})


def numbered(topology: Topology, count: int) -> list[Point]:
    """So many points, with names from 0 on, of which each run is the same."""
    return [Point(topology, name=str(number)) for number in range(count)]
