"""When it is told that a compiled driver has cleared a leaf, and of which domain."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.config.source import Source
from cosim.events import LeafCleared, UnmapBegun
from cosim.sim.actions import Taken
from cosim.sim.chooser import Scheduled
from cosim.sim.simulation import Sim
from cosim.study.run.run import Point, UnderWay
from cosim.sw.driver.leaves import LeafWatch
from cosim.sw.kernel.objects import Cell
from cosim.system.load import load
from tests.sw.machine import Machine

DRIVER = Path(__file__).parent / "driver"
OWN = f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}"
CLEARS = next(
    f"domain.c:{number}"
    for number, line in enumerate((DRIVER / "domain.c").read_text().splitlines(), 1)
    if "WRITE_ONCE(*entry, 0)" in line
)

SYSTEM = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu:    {kind: cpu, count: 3}
  iommu0: {kind: iommu, base: 0x0300_0000, interrupts_to: cpu2, capabilities: {sv57: false}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: none}}
domains:
  one: {devices: nic0}
  two: {}
prepare:
  - {on: cpu0, does: map, domain: one, buffer: x}
  - {on: cpu0, does: map, domain: two, buffer: y}
threads:
  - {on: cpu0, does: unmap, buffer: y}
  - {on: cpu1, does: attach, devices: nic0, domain: two}
  - {on: cpu2, does: unmap, buffer: x, start: 20 us}
run: {until: threads + 1 us}
expect: {threads: finished, faults: {min: 0}}
"""


def told(start: str, held: str) -> tuple[list[tuple[str, int]], list[Taken], dict[str, int]]:
    """The leaves that are cleared behind boot, the stores that clear them, and when the unmap of each domain begins."""
    topology = load(Source.parse(SYSTEM, "two"), driver=OWN, set={"threads.0.start": start, "run.hold": held or "1 ns"})
    cleared: list[tuple[str, int]] = []
    stores: list[Taken] = []
    began: dict[str, int] = {}

    def watch(sim: Sim) -> None:
        sim.chooser = Scheduled(sim.chooser.seed, {"cpu0.unmap.ld#0": 2} if held else {})
        sim.actions.watchers.append(
            lambda taken: stores.append(taken) if taken.place.partition(",")[0] == CLEARS else None
        )
        sim.probe(LeafCleared).watch(lambda event: cleared.append((event.domain, event.time)))
        sim.probe(UnmapBegun).watch(lambda event: began.setdefault(event.domain, event.time))

    begun = UnderWay(Point(topology, "two"), [watch])
    begun.advance()
    begun.close()
    return cleared, stores, began


@pytest.mark.parametrize(
    ("start", "held"), [("0 ns", "100 ns"), ("1.7 us", ""), ("4 us", "")], ids=["before", "amid", "behind"]
)
def test_a_leaf_is_cleared_when_its_store_takes_hold_in_the_domain_of_the_unmap(start: str, held: str) -> None:
    """The device leaves the first domain for the second, and has the context of the first one for a while."""
    cleared, stores, began = told(start, held)
    assert [time for domain, time in cleared if domain == "one"] == [stores[-1].time]
    assert len(stores) == 2
    assert stores[-1].time > began["one"]
    seen = [time for domain, time in cleared if domain == "two"]
    assert seen == ([] if start == "0 ns" else [stores[0].time])


def test_what_is_not_cleared_after_all_is_not_told() -> None:
    machine, heard = Machine(), list[int]()
    machine.sim.probe(LeafCleared).watch(lambda event: heard.append(event.iova))
    watch, words = LeafWatch(machine.kernel), [machine.kernel.static(8) for _ in range(2)]
    for word in words:
        machine.memory.write(word, 8, 1)
    stops = [watch.cleared("shared", number << 12, 4096, Cell(word)) for number, word in enumerate(words)]
    stops[0]()
    for word in words:
        machine.memory.write(word, 8, 0)
    assert heard == [1 << 12]


def test_a_leaf_is_cleared_once_with_the_entry_above_it() -> None:
    machine, heard = Machine(), list[int]()
    machine.sim.probe(LeafCleared).watch(lambda event: heard.append(event.iova))
    above, below = (machine.kernel.static(8) for _ in range(2))
    for word in (above, below):
        machine.memory.write(word, 8, 1)
    LeafWatch(machine.kernel).cleared("shared", 0x5000, 4096, Cell(above), Cell(below))
    machine.memory.write(above, 8, 3)
    assert not heard
    for word in (above, below):
        machine.memory.write(word, 8, 0)
        assert heard == [0x5000]
