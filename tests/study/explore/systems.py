"""The smallest experiment: an unmap beside an attach, with registers as far away as behind PCIe."""

from __future__ import annotations

from pathlib import Path

ATTACH_BESIDE_UNMAP = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 3, timing: {mmio_read: 2 us}}
  iommu0: {kind: iommu, base: 0x0300_0000, interrupts_to: cpu2, geometry: {cq_log2: 6, fq_log2: 6}}
  iommu1: {kind: iommu, base: 0x0300_1000, interrupts_to: cpu2, geometry: {cq_log2: 6, fq_log2: 6}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: told, interval: 1 us, requests: 24}}
  nic1:   {kind: dma, through: iommu1, traffic: {pattern: none}}
domains:
  shared: {devices: nic1}
prepare:
  - {on: cpu0, does: map, domain: shared, buffer: x}
  - {on: cpu0, does: map, domain: nic0, buffer: own}
  - {on: cpu0, does: tell, device: nic0, buffer: own}
threads:
  - {on: cpu0, does: unmap, buffer: x}
  - {on: cpu1, does: attach, devices: nic0, domain: shared}
run: {until: threads + 5 us, hold: 10 us}
expect: {threads: finished, calls: succeed, faults: {min: 0}}
explore:
  remark: B6
  reached_by: [iommufd]
  holds: [10 us, 5 us]
  starts: {cpu1.attach: [0 ns, 2 us]}
  defects:
    - {driver: {variant: merged, attach: context-first}, signature: flush-promises, schedule: ["cpu0.unmap.amo#0:1"]}
    - {driver: v2, signature: freed-memory}
  clean: [merged]
"""


def written(folder: Path, text: str = ATTACH_BESIDE_UNMAP, name: str = "b6") -> Path:
    """The experiment as a file."""
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path
