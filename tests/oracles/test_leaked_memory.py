"""The oracle of leaks: at the end of a run something points to all that is in use, or has put it aside on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.events import KernelLog, Leaked
from cosim.oracles import LeakedMemory, Violation
from cosim.oracles.bounds import Bounds

MOVES = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
domains: {shared: {devices: nic0}, other: {}}
threads:
  - {on: cpu0, does: attach-detach, devices: nic0, domains: other, detach: false, count: 1}
run: {until: 60 us}
"""
DRIVER = """
from dataclasses import dataclass

from cosim.sw.driver.policies.bonds import Grouped


@dataclass(frozen=True)
class Loses(Grouped):
    async def dispose(self, driver, bond):
        pass


@dataclass(frozen=True)
class Quarantines(Grouped):
    async def dispose(self, driver, bond):
        driver.kernel.pages.quarantine(bond.address, "its fence has failed")
"""


def run(folder: Path, bonds: str = "") -> cosim.Result:
    topology, driver = folder / "moves.yaml", folder / "driver.py"
    topology.write_text(MOVES, encoding="utf-8")
    driver.write_text(DRIVER, encoding="utf-8")
    return cosim.run(topology, driver=f"{driver}:{bonds}" if bonds else "merged")


def judged(*events: object) -> list[Violation]:
    found: list[Violation] = []
    listeners = dict(LeakedMemory(found.append, Bounds()).listeners())
    for event in events:
        listeners[type(event)](event)
    return found


LEAKED = Leaked(500_000, "cpu0.t", 0x8000_0000, 64, "Bond", 480_000)


@pytest.mark.slow
def test_a_bond_that_is_unlinked_and_never_freed_is_a_leak_and_one_that_is_freed_later_is_none(tmp_path: Path) -> None:
    assert not run(tmp_path).violations, "kfree_rcu still has it"
    assert list(run(tmp_path, "Loses").signatures) == ["leaked-memory: Bond is lost"]


@pytest.mark.slow
def test_what_is_quarantined_is_no_leak_and_is_counted(tmp_path: Path) -> None:
    result = run(tmp_path, "Quarantines")
    assert not result.violations
    assert result.scalars["kernel.quarantined"] == 1


def test_a_leak_says_what_is_lost_and_whose_it_was() -> None:
    (found,) = judged(LEAKED)
    assert found.signature == "leaked-memory: Bond is lost"
    assert found.message == (
        "nothing points to 0x80000000 (Bond, 64 bytes) at the end, which cpu0.t allocated at 480 ns"
    )
    assert found.since_ps == 480_000


def test_after_an_oops_what_the_thread_held_is_not_judged() -> None:
    oops = KernelLog(1, "cpu0.t", "oops", "null pointer")
    assert not judged(oops, LEAKED)
    assert not judged(oops, KernelLog(2, "cpu1.u", "warning", "page allocation failure"), LEAKED)
    assert judged(KernelLog(1, "cpu0.t", "error", "no memory"), LEAKED)
    assert judged(KernelLog(1, "cpu0.t", "warning", "page allocation failure"), LEAKED)
