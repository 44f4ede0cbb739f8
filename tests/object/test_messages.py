"""A compiled driver whose IOMMU interrupts by messages: it is told where to send each vector, and untold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.spec.register_map import MSI_ADDR, MSI_DATA
from cosim.study.run.run import Point, UnderWay
from cosim.system.load import load
from cosim.system.system import System

DRIVER = Path(__file__).parent / "driver"
OWN = f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}"
FAULTING = """\
parts:
  dram0: {{kind: memory, base: 0x8000_0000, size: 16 MiB}}
  cpu: {{kind: cpu, count: 2}}
  iommu0:
    kind: iommu
    base: 0x0300_0000
    interrupts_to: cpu1
    capabilities: {{igs: {igs}}}
    geometry: {{icvec_bits: {bits}}}
  nic0: {{kind: dma, through: iommu0, traffic: {{pattern: sequential, size: 64 B, window: 4 KiB, interval: 1 us}}}}
  {beside}
threads:
  - {{on: cpu0, does: map-unmap, domain: nic0, device: nic0, count: 1}}
  {more}
run: {{until: 60 us, seed: 1}}
"""
LEAVES = "- {on: cpu0, does: unplug-iommu, iommu: iommu0, start: 20 us}"
BESIDE = "iommu1: {kind: iommu, base: 0x0300_1000, interrupts_to: cpu1, capabilities: {igs: msi}}"


def ran(folder: Path, igs: str, *, bits: int = 2, beside: str = "", more: str = "", sets: Sequence[str] = ()) -> System:
    """A device goes on reading what was unmapped."""
    path = folder / "faulting.yaml"
    path.write_text(FAULTING.format(igs=igs, bits=bits, beside=beside, more=more))
    run = UnderWay(Point(load(str(path), driver=OWN, sets=sets)))
    run.advance()
    run.close()
    return run.system


def told(system: System, iommu: str = "iommu0") -> list[tuple[int, int]]:
    """Where each vector sends to, and what."""
    registers = system.iommus[iommu].registers
    return [(int(registers.value(MSI_ADDR[n])), int(registers.value(MSI_DATA[n]))) for n in range(3)]


@pytest.mark.parametrize(("igs", "base"), [("msi", 0x2800_0000), ("both", 0x2800_0000), ("msi", 0x12_2800_0000)])
def test_a_vector_with_a_handler_is_sent_to_the_file_of_its_cpu(tmp_path: Path, igs: str, base: int) -> None:
    """Also if that is where 32 bits of an address do not reach."""
    system = ran(tmp_path, igs, sets=[f"cpu1.interrupt_file={base:#x}"])
    file = system.files["cpu1"]
    assert file.base == base
    assert file.messages > 0
    assert told(system) == [(file.base, 16), (file.base, 17), (0, 0)]


def test_one_vector_serves_both_queues(tmp_path: Path) -> None:
    system = ran(tmp_path, "msi", bits=0)
    file = system.files["cpu1"]
    assert file.messages > 0
    assert told(system) == [(file.base, 16), (0, 0), (0, 0)]


def test_wires_are_not_told_of_messages(tmp_path: Path) -> None:
    system = ran(tmp_path, "wsi")
    assert not system.files


@pytest.mark.parametrize("bits", [2, 0])
def test_an_iommu_that_leaves_sends_to_nobody_and_leaves_nothing_behind(tmp_path: Path, bits: int) -> None:
    system = ran(tmp_path, "msi", bits=bits, more=LEAVES)
    assert told(system) == [(0, 0)] * 3
    assert "msi_desc" not in system.kernel.pages.purposes()


def test_an_iommu_that_leaves_takes_no_message_from_another_one(tmp_path: Path) -> None:
    there, left = (ran(tmp_path, "msi", beside=BESIDE, more=more) for more in ("", LEAVES))
    file = there.files["cpu1"].base
    assert told(left, "iommu1") == told(there, "iommu1") == [(file, 21), (file, 22), (0, 0)]
    descriptors = [system.kernel.pages.purposes()["msi_desc"] for system in (left, there)]
    assert 2 * descriptors[0] == descriptors[1] > 0
    both = ran(tmp_path, "msi", beside=BESIDE, more=f"{LEAVES}\n  {LEAVES.replace('iommu0', 'iommu1')}")
    assert told(both) == told(both, "iommu1") == [(0, 0)] * 3
    assert "msi_desc" not in both.kernel.pages.purposes()
