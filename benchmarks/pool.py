"""What a run costs that forks from a process which has booted, in bare SimPy timeouts measured in the same run.

A child makes as many runs as a pool gives a process at once. *Nothing*: it runs nothing, and 500 effects of each are
read back. *A run*: a schedule is run to its end, of an unmap beside an attach, with what is judged of it; that is once
the process has booted as many systems as it will. *Boot*: it boots them, prepares, and makes the first runs. The time
is that of all processes together, pages that are copied because they were written to included.
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

from bench import timeout_s

import cosim
from cosim.sim.simulation import Sim
from cosim.study.pool import Pool, worker
from cosim.study.pool.prepared import Prepared
from cosim.study.pool.record import Record, Row
from cosim.study.run.run import Point
from cosim.system.topology import Topology

READ_BACK = 500
BATCHES, FIRST, RUNS, NOTHINGS = 3, 48, 48, 400

TOPOLOGY = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu:    {kind: cpu, count: 3}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {cq_log2: 8, fq_log2: 8}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: none}}
  nic1:   {kind: dma, through: iommu0, traffic: {pattern: told, interval: 500 ns, requests: 24}}
domains:
  shared: {devices: nic0}
prepare:
  - {on: cpu0, does: map, domain: shared, buffer: x}
  - {on: cpu0, does: map, domain: nic1, buffer: own}
  - {on: cpu0, does: tell, device: nic1, buffer: own}
threads:
  - {on: cpu0, does: unmap, buffer: x}
  - {on: cpu1, does: attach, devices: nic1, domain: shared}
run: {until: threads + 10 us, hold: 5 us}
expect: {threads: finished, faults: {min: 0}}
"""


class Nothing(Prepared):
    """A process whose children run nothing, and give back what was found before."""

    rows: tuple[Row, ...] = ()

    def _next(self, sim: Sim) -> Point:
        while True:
            self._answer(lambda: Record("ok", rows=self.rows))


class Cost(NamedTuple):
    """Of one run, and of boots with the first runs."""

    run_s: float
    boot_s: float
    timeout_s: float
    """A bare SimPy timeout in the same seconds."""

    @property
    def run(self) -> float:
        """Of a run, in timeouts."""
        return self.run_s / self.timeout_s


def spent_s() -> float:
    """What this process and all that it has waited for have spent on the CPU so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def cost(topology: Topology, runs: int, *, actions: bool) -> Cost:
    """The median of several batches; each has a process of its own, whose time is known when it has ended."""
    points = [Point(topology, schedule=(f"nobody#{number}:1",)) for number in range(FIRST + runs)]
    found = []
    for _ in range(BATCHES):
        seconds, units = [], [timeout_s(1)]
        for several in (points[:FIRST], points):
            before = spent_s()
            with Pool(1, actions=actions) as pool:
                for _, record in pool.runs(several):
                    assert record.outcome == "ok", record.failures
                    assert not actions or len(record.actions) >= READ_BACK
            seconds.append(spent_s() - before)
            units.append(timeout_s(1))
        first, all_of_them = seconds
        found.append(Cost((all_of_them - first) / runs, first, median(units)))
    return sorted(found, key=lambda cost: cost.run)[BATCHES // 2]


def nothing_cost(topology: Topology) -> Cost:
    """The same where children run nothing, and give back the effects of one run."""
    with Pool(1, actions=True) as pool:
        ((_, record),) = pool.runs([Point(topology, schedule=("nobody#0:1",))])
    Nothing.rows = record.rows[:READ_BACK]
    with patch.object(worker, "Prepared", Nothing):
        return cost(topology, NOTHINGS, actions=True)


def little() -> Topology:
    """The topology that all of it is measured with."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "attach_unmap.yaml"
        path.write_text(TOPOLOGY, encoding="utf-8")
        return cosim.load(path)


def main() -> None:
    """Print the table."""
    topology = little()
    whole = cost(topology, RUNS, actions=False)
    nothing = nothing_cost(topology)
    print("                                    timeouts      ms")
    for what, seconds, unit in (
        (f"fork, run nothing, {READ_BACK} effects read", nothing.run_s, nothing.timeout_s),
        ("fork, run, judge", whole.run_s, whole.timeout_s),
        (f"boot, prepare, {FIRST} such runs", whole.boot_s, whole.timeout_s),
    ):
        print(f"{what:36}{seconds / unit:8,.0f}{1e3 * seconds:8.1f}")


if __name__ == "__main__":
    main()
