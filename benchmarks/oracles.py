"""What the oracles cost the host, for a DMA transaction that hits and for an operation of the driver: `make bench`.

The unit is a bare SimPy timeout, measured in the same run. The events of a booted system are written down, then
made and told to the oracles again without the system: so the cost is that of the oracles, and of the events that are
made for them alone. Operations are those of a thread that maps and unmaps a page, over and over, with its flushes, as
in `driver_operations.py`. The cheapest of several tellings counts.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Collection, Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import timeout_s
from driver_operations import operations_counted

from cosim.events import DmaCommitted, DmaDone
from cosim.oracles import ORACLES, RECORDERS, Book, Bounds, Oracle
from cosim.sim.chooser import Chooser
from cosim.sim.probe import Probe
from cosim.sim.simulation import Sim
from cosim.spec.page import PAGE_LG2
from cosim.study.run.violations import Violations
from cosim.system.build import build
from cosim.system.load import load
from cosim.system.patience import patience
from cosim.units.quantities import US

PARTS = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 256 MiB, ports: 8}
  cpu: {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {iotlb_entries: 256}}
"""
CASES = {
    "hit": f"{PARTS}  nic: {{kind: dma, count: 8, through: iommu0, traffic: {{window: 64 KiB, outstanding: 4}}}}\n",
    "operation": f"{PARTS}  nic0: {{kind: dma, through: iommu0, traffic: {{pattern: none}}}}\n"
    "threads: [{on: cpu0, does: map-unmap, domain: nic0}]\n",
}
WARM_UP_PS, SPAN_PS = 30 * US, 60 * US
MOST = {"hit": 4, "operation": 5}
"""Timeouts that the oracles may cost."""


Telling = tuple[type, Probe[Any], tuple[Any, ...], Hashable]
"""An event's kind, where it is seen, its values and, of an access, what is the same of those that are alike."""


class Story(NamedTuple):
    """What a run told: all of it in order, where the span that is measured begins, and how much happened in that."""

    events: Sequence[tuple[type, tuple[Any, ...]]]
    begins: int
    count: int
    bounds: Bounds


def story(case: str, driver: str) -> Story:
    """Run a case once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{case}.yaml")
        path.write_text(CASES[case] + "run: {until: 100 ms}\n", encoding="utf-8")
        topology = load(path, driver=driver)
    system = build(topology, Chooser())
    bounds = patience(topology, 0)
    events: list[tuple[type, tuple[Any, ...]]] = []
    for kind in heard():
        system.sim.probe(kind).watch(lambda event: events.append((type(event), _values(event))))
    system.start()
    while not system.booted:
        system.sim.env.run(until=system.sim.now + 10 * US)
    system.sim.env.run(until=system.sim.now + WARM_UP_PS)
    begins = len(events)
    operations = operations_counted(system)
    system.sim.env.run(until=system.sim.now + SPAN_PS)
    system.close()
    hits = sum(kind is DmaDone for kind, _ in events[begins:])
    return Story(events, begins, hits if case == "hit" else operations[0], bounds)


def heard() -> set[type]:
    """The events that any of them listens to."""
    books: dict[type[Book], Book] = {}
    oracles = [oracle(lambda _: None, Bounds(), books) for oracle in ORACLES.values()]
    listening = (*books.values(), *oracles, *(recorder() for recorder in RECORDERS))
    return {event for each in listening for event, _ in each.listeners()}


def _values(event: Any) -> tuple[Any, ...]:
    return tuple([getattr(event, field) for field in event.__dataclass_fields__])


def cost(told: Story, oracles: Collection[type[Oracle]], repetitions: int, *, recorders: bool) -> float:
    """Bare timeouts that these cost for each transaction or operation."""
    best = unit = float("inf")
    for _ in range(repetitions):
        unit = min(unit, timeout_s(1))
        sim = Sim(Chooser())
        found = Violations(sim, told.bounds, oracles, beside=[each() for each in RECORDERS] if recorders else ())
        tellings = [_telling(sim, kind, values) for kind, values in told.events if sim.probe(kind)]
        begins = sum(1 for kind, _ in told.events[: told.begins] if sim.probe(kind))
        _tell(tellings[:begins])
        rest = tellings[begins:]
        gc.collect()
        began = time.process_time()
        _tell(rest)
        best = min(best, time.process_time() - began)
        assert not found.count
    return best / told.count / unit


def _telling(sim: Sim, kind: type, values: tuple[Any, ...]) -> Telling:
    alike = None
    if kind is DmaCommitted:
        event = DmaCommitted(*values)
        alike = (event.who, event.iova >> PAGE_LG2, event.address - event.iova, event.write)
    return kind, sim.probe(kind), values, alike


def _tell(tellings: Sequence[Telling]) -> None:
    """Make the events and tell them, but for accesses of which who watches has seen enough."""
    for kind, probe, values, alike in tellings:
        if alike is None:
            probe(kind(*values))
        elif alike not in probe.known:
            probe.show(kind(*values), alike)


def main() -> None:
    """Print what all oracles cost, and each alone if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5, help="of which the cheapest counts (%(default)s)")
    parser.add_argument("--drivers", default="merged,current", help="(%(default)s)")
    parser.add_argument("--each", action="store_true", help="also each oracle alone, with the books that it keeps")
    arguments = parser.parse_args()
    print("timeouts: what all oracles add to a transaction or an operation, in bare SimPy timeouts")
    print("case      driver   events  added   most")
    for case in CASES:
        for driver in arguments.drivers.split(","):
            told = story(case, driver)
            added = cost(told, tuple(ORACLES.values()), arguments.repetitions, recorders=True)
            events = (len(told.events) - told.begins) / told.count
            print(f"{case:9} {driver:8} {events:6.1f} {added:6.1f} {MOST[case]:6}", flush=True)
            for oracle in ORACLES.values() if arguments.each else ():
                alone = cost(told, (oracle,), arguments.repetitions, recorders=False)
                print(f"  {oracle.name:20} {alone:6.2f}", flush=True)


if __name__ == "__main__":
    main()
