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
from cosim.spec.pagetable import PAGE, SV39, Pte, Scheme
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import DDT_BASE, Dc, Ddte, IosatpMode

EXECUTORS = {"plain": Plain, "agenda": Agenda}
MASTERS = (1, 8, 64, 256)
MOST_PROCESSES = 64
"""The unit is measured in as many SimPy processes as there are masters, and in no more."""
STRIDES = {0: (64, 4096), 1: (64, 2 << 20), 10: (448, 2 << 20), 100: (4096, 2 << 20)}
"""For each percentage of misses, about: the stride in bytes, and how much of the window is used."""

DRAM, WINDOW, WARM_UP_PS = 0x8000_0000, 2 << 20, 2_000_000
LAST = Path(__file__).with_name("last.json")


class Rig:
    """Masters behind IOMMUs, shared out in turn, each with a device context and 2 MiB of IOVAs of its own.

    Contexts and tables are written into memory; of an IOVA window those pages are mapped that the master uses.
    """

    def __init__(
        self,
        executor: Any,
        masters: int,
        misses: int,
        transactions: int,
        *,
        outstanding: int = 4,
        nonleaf_entries: int = 16,
        iommus: int = 1,
        scheme: Scheme = SV39,
    ) -> None:
        self.sim = Sim(executor=executor)
        self._bus = Bus(self.sim)
        self.memory = Memory(self.sim, "dram0", MemoryOptions(kind="memory", base=DRAM, size="16 GiB"))
        self._bus.attach(DRAM, 16 << 30, self.memory, "dram0")
        each = -(-masters // iommus)
        self._levels = 1 if each < 1 << DDT_BASE.width(1) else 2
        geometry = {
            "iotlb_entries": max(256, each),
            "ddtc_entries": max(64, each),
            "ddt_levels": self._levels,
            "nonleaf_entries": nonleaf_entries,
        }
        self.iommus = [self._iommu(f"iommu{number}", geometry) for number in range(iommus)]
        self._free = DRAM
        root, directories = self._page(), [self._page() for _ in self.iommus]
        stride, used = STRIDES[misses]
        traffic = {
            "pattern": "strided",
            "stride": f"{stride} B",
            "size": "64 B",
            "outstanding": outstanding,
            "requests": transactions // masters,
        }
        self.masters = []
        made = DmaOptions.model_validate({"kind": "dma", "through": "iommu0", "traffic": traffic})
        for number in range(masters):
            self._map(scheme, root, number * WINDOW, used)
            turn, device_id = number % iommus, number // iommus + 1
            self._context(directories[turn], device_id, scheme, root)
            master = DmaMaster(self.sim, f"nic{number}", made, (device_id,), self.iommus[turn].transport)
            master.start(number * WINDOW, used)
            self.masters.append(master)
        mode = IommuMode.LVL1 if self._levels == 1 else IommuMode.LVL2
        for iommu, directory in zip(self.iommus, directories, strict=True):
            iommu.registers.write(DDTP.offset, 8, Ddtp.of(iommu_mode=mode, ppn=directory >> 12))

    def _iommu(self, path: str, geometry: dict[str, int]) -> Iommu:
        options = IommuOptions.model_validate({"kind": "iommu", "base": 0, "geometry": geometry})
        return Iommu(self.sim, path, options, self._bus.port(path, 10_000), wire=lambda vector, level: None)

    def _page(self) -> int:
        self._free += PAGE
        return self._free - PAGE

    def _map(self, scheme: Scheme, root: int, iova: int, used: int) -> None:
        """Map what is used of a window to memory, page by page, in leaf tables of its own."""
        table = root
        for level in reversed(range(1, scheme.levels)):
            table = self._below(table + 8 * scheme.vpn(level, iova), Pte)
        for index in range(-(-used // PAGE)):
            leaf = Pte.of(v=1, r=1, w=1, u=1, a=1, d=1, ppn=(DRAM + 0x2000_0000 + iova >> 12) + index)
            self.memory.poke(table + 8 * index, 8, leaf)

    def _context(self, directory: int, device_id: int, scheme: Scheme, root: int) -> None:
        table = directory
        if self._levels == 2:
            table = self._below(directory + DDT_BASE.offset(1, device_id), Ddte)
        dc = Dc.of(tc=1, ta=1 << 12, fsc=IosatpMode[scheme.name.upper()] << 60 | root >> 12)
        for word, value in enumerate(dc):
            self.memory.poke(table + DDT_BASE.offset(0, device_id) + 8 * word, 8, value)

    def _below(self, entry: int, form: type[Pte] | type[Ddte]) -> int:
        """The table that the entry at this address leads to, made if it is not there."""
        pointer = self.memory.peek(entry, 8) or form.of(v=1, ppn=self._page() >> 12)
        self.memory.poke(entry, 8, pointer)
        return form(pointer).ppn << 12

    def counts(self) -> Counts:
        """What has happened so far."""
        executor = self.sim.executor
        if isinstance(executor, Agenda):
            events, activations = executor.events, executor.activations
        else:
            events = activations = next(self.sim.env._eid)
        walks = sum(iommu.counters()["walks"] for iommu in self.iommus)
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
    **rig_options: Any,
) -> Cost:
    """The cheapest of several repetitions, each between two measurements of the unit."""
    costs = []
    for _ in range(repetitions):
        rig = Rig(EXECUTORS[executor], masters, misses, transactions, **rig_options)
        unit = timeout_s(min(masters, MOST_PROCESSES))
        seconds, counts = rig.run()
        unit = min(unit, timeout_s(min(masters, MOST_PROCESSES)))
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
