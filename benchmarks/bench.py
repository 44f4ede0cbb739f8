"""What a DMA transaction costs the host, in bare SimPy timeouts measured in the same run: `make bench`.

The unit is one ``yield env.timeout(1)`` of as many SimPy processes as there are masters. A transaction goes from its
master over a link, through the IOMMU (context and IOTLB look-up, and a walk where that misses), over another hop to
memory, and back. Nothing is watched. Caches are warm, host time is that of this process.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import simpy

from cosim import compiled
from cosim.hw.bus.bus import Bus
from cosim.hw.dma.master import DmaMaster
from cosim.hw.dma.options import DmaOptions
from cosim.hw.iommu.iommu import Iommu
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.sim.simulation import Sim
from cosim.spec.pagetable import PAGE, SV39, Pte
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import Dc, IosatpMode

EXECUTORS = {"plain": Plain, "agenda": Agenda}
MASTERS = (1, 8, 64)
STRIDES = {0: (64, 4096), 1: (64, 2 << 20), 10: (448, 2 << 20), 100: (4096, 2 << 20)}
"""For each percentage of misses, about: the stride in bytes, and how much of the window is used."""

DRAM, WINDOW, WARM_UP_PS = 0x8000_0000, 2 << 20, 2_000_000
LAST = Path(__file__).with_name("last.json")


class Rig:
    """Masters behind one IOMMU, each with a device context and 2 MiB of pages of its own, written into memory."""

    def __init__(
        self,
        executor: Any,
        masters: int,
        misses: int,
        transactions: int,
        *,
        outstanding: int = 4,
        nonleaf_entries: int = 16,
    ) -> None:
        self.sim = Sim(executor=executor)
        bus = Bus(self.sim)
        self.memory = Memory(self.sim, "dram0", MemoryOptions(kind="memory", base=DRAM, size="1 GiB"))
        bus.attach(DRAM, 1 << 30, self.memory, "dram0")
        geometry = {"iotlb_entries": 256, "ddtc_entries": 64, "ddt_levels": 1, "nonleaf_entries": nonleaf_entries}
        options = IommuOptions.model_validate({"kind": "iommu", "base": 0, "geometry": geometry})
        self.iommu = Iommu(self.sim, "iommu0", options, bus.port("iommu0", 10_000), wire=lambda vector, level: None)
        self._free = DRAM
        directory, root = self._page(), self._page()
        stride, used = STRIDES[misses]
        traffic = {
            "pattern": "strided",
            "stride": f"{stride} B",
            "size": "64 B",
            "outstanding": outstanding,
            "requests": transactions // masters,
        }
        self.masters = []
        for number in range(masters):
            self._map(root, number * WINDOW)
            self._context(directory, number + 1, root)
            made = DmaOptions.model_validate({"kind": "dma", "through": "iommu0", "traffic": traffic})
            master = DmaMaster(self.sim, f"nic{number}", made, (number + 1,), self.iommu.transport)
            master.start(number * WINDOW, used)
            self.masters.append(master)
        self.iommu.registers.write(DDTP.offset, 8, Ddtp.of(iommu_mode=IommuMode.LVL1, ppn=directory >> 12))

    def _page(self) -> int:
        self._free += PAGE
        return self._free - PAGE

    def _map(self, root: int, iova: int) -> None:
        """Map a window to memory, page by page, in leaf tables of its own."""
        table = root
        for level in (2, 1):
            entry = table + 8 * SV39.vpn(level, iova)
            pointer = self.memory.peek(entry, 8) or Pte.of(v=1, ppn=self._page() >> 12)
            self.memory.poke(entry, 8, pointer)
            table = Pte(pointer).ppn << 12
        for index in range(WINDOW // PAGE):
            leaf = Pte.of(v=1, r=1, w=1, u=1, a=1, d=1, ppn=(DRAM + 0x2000_0000 + iova >> 12) + index)
            self.memory.poke(table + 8 * index, 8, leaf)

    def _context(self, directory: int, device_id: int, root: int) -> None:
        dc = Dc.of(tc=1, ta=1 << 12, fsc=IosatpMode.SV39 << 60 | root >> 12)
        for word, value in enumerate(dc):
            self.memory.poke(directory + Dc.SIZE * device_id + 8 * word, 8, value)

    def counts(self) -> Counts:
        """What has happened so far."""
        executor = self.sim.executor
        if isinstance(executor, Agenda):
            events, activations = executor.events, executor.activations
        else:
            events = activations = next(self.sim.env._eid)
        walks = self.iommu.counters()["walks"]
        return Counts(sum(sum(master.requests) for master in self.masters), walks, events, activations)

    def run(self) -> tuple[float, Counts]:
        """Host seconds that the run takes once the caches are warm, and what happens in that time."""
        self.sim.env.run(until=WARM_UP_PS)
        before = self.counts()
        gc.collect()
        began = time.process_time()
        self.sim.env.run()
        seconds = time.process_time() - began
        assert not sum(master.counters()["failed"] for master in self.masters)
        return seconds, Counts(*(now - then for now, then in zip(self.counts(), before, strict=True)))


class Counts(NamedTuple):
    """How often things have happened."""

    transactions: int
    walks: int
    events: int
    activations: int


def timeout_s(processes: int, timeouts: int = 20_000) -> float:
    """Host seconds of one bare SimPy timeout."""
    env = simpy.Environment()

    def process() -> Generator[Any, Any, None]:
        for _ in range(timeouts // processes):
            yield env.timeout(1)

    for _ in range(processes):
        env.process(process())
    gc.collect()
    began = time.process_time()
    env.run()
    return (time.process_time() - began) / timeouts


class Cost(NamedTuple):
    """What one case costs for each transaction."""

    timeouts: float
    microseconds: float
    walks: float
    events: float
    activations: float


def measure(
    executor: str,
    masters: int,
    misses: int,
    transactions: int,
    repetitions: int,
    **rig_options: int,
) -> Cost:
    """The cheapest of several repetitions, each between two measurements of the unit."""
    costs = []
    for _ in range(repetitions):
        rig = Rig(EXECUTORS[executor], masters, misses, transactions, **rig_options)
        unit = timeout_s(masters)
        seconds, counts = rig.run()
        unit = min(unit, timeout_s(masters))
        done = counts.transactions
        costs.append(
            Cost(
                seconds / done / unit,
                1e6 * seconds / done,
                counts.walks / done,
                counts.events / done,
                counts.activations / done,
            )
        )
    return min(costs)


def rows_of(core: str, transactions: int, repetitions: int) -> dict[str, dict[str, float]]:
    """The rows as a process of their own measures them, with the compiled core ("1") or without ("0")."""
    command = [sys.executable, __file__, "--rows", f"--transactions={transactions}", f"--repetitions={repetitions}"]
    environment = {**os.environ, compiled.SWITCH: core}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table, and how it compares with the last one that was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transactions", type=int, default=8000, help="in each measurement (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="of which the cheapest counts (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print rows instead, each as timeouts, and keep nothing")
    parser.add_argument("--rows", action="store_true", help="the same of this process alone, whatever its core is")
    arguments = parser.parse_args()
    if arguments.rows:
        from rows import rows  # which asks this file for most of them

        print(json.dumps(rows(arguments.transactions, arguments.repetitions)))
        return
    if arguments.json:
        found = rows_of("0", arguments.transactions, arguments.repetitions)
        if compiled.runs():
            for name, row in rows_of("1", arguments.transactions, arguments.repetitions).items():
                found[name]["compiled"] = row["timeouts"]
        print(json.dumps({"rows": found}, indent=1))
        return
    last = json.loads(LAST.read_text()) if LAST.exists() else {}
    kept: dict[str, float] = {}
    print("timeouts: how many bare SimPy timeouts cost as much as one transaction (was: when last measured here)")
    print("executor masters misses timeouts    was      us events  events/s activations")
    for executor in EXECUTORS:
        for masters in MASTERS:
            for misses in STRIDES:
                cost = measure(executor, masters, misses, arguments.transactions, arguments.repetitions)
                case = f"{executor} {masters} {misses}"
                kept[case] = round(cost.timeouts, 2)
                was = f"{last[case]:.1f}" if case in last else "-"
                print(
                    f"{executor:8} {masters:7} {cost.walks:6.1%} {cost.timeouts:8.1f} {was:>6} "
                    f"{cost.microseconds:7.1f} {cost.events:6.1f} {1e6 * cost.events / cost.microseconds:9,.0f} "
                    f"{cost.activations:11.2f}",
                    flush=True,
                )
    LAST.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
