"""How the IOMMU's interrupts reach the CPU that the topology names: by wire, or by writes to its interrupt file."""

from pathlib import Path

import pytest

import cosim
from cosim.study.run.result import Result

STORM = """\
parts:
  dram0: {{kind: memory, base: 0x8000_0000, size: 16 MiB}}
  cpu0: {{kind: cpu}}
  cpu1: {{kind: cpu}}
  iommu0: {{kind: iommu, base: 0x0300_0000, interrupts_to: cpu1, capabilities: {{igs: {igs}}}}}
  nic0: {{kind: dma, through: iommu0, traffic: {{pattern: sequential, size: 64 B, window: 4 KiB, interval: 1 us}}}}
threads:
  - {{on: cpu0, does: map-unmap, domain: nic0, device: nic0, count: 1}}
run: {{until: 130 us, seed: 1}}
"""


def storm(folder: Path, igs: str) -> Result:
    """A device goes on reading what was unmapped."""
    path = folder / "storm.yaml"
    path.write_text(STORM.format(igs=igs))
    return cosim.run(path)


@pytest.mark.parametrize(("igs", "by_message"), [("wsi", False), ("msi", True), ("both", True)])
def test_faults_interrupt_the_cpu_and_are_served_however_the_iommu_signals(tmp_path, igs, by_message):
    result = storm(tmp_path, igs)
    assert result.faults["nic0"]["read_page_fault"] > 20
    assert any("fault 13" in line.text for line in result.log)
    assert result.scalars["iommu0.fq.depth_mean"] < 10
    assert result.scalars["cpu1.busy_ps"] > result.scalars["cpu0.busy_ps"]
    assert (result.scalars.get("cpu1.imsic.messages", 0) > 2) == by_message
    assert "cpu0.imsic.messages" not in result.scalars
