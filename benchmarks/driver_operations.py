"""What an operation of a driver costs the host, in bare SimPy timeouts measured in the same run: `make bench`.

Two threads map and unmap a page each, over and over, under RVWMO. What is counted is the operations of all threads in
a span of simulated time, behind the boot; all oracles watch. *Explored* is the same while a search asks: each of them
that others can see asks a chooser, which lets it take hold.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import timeout_s

from cosim.hw.cpu.thread import Thread
from cosim.sim.operations import Op
from cosim.study.run.run import Point, UnderWay
from cosim.system.load import load
from cosim.system.system import System
from cosim.units.quantities import US

TOPOLOGY = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 256 MiB}
  cpu: {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic: {kind: dma, count: 2, through: iommu0, traffic: {pattern: none}}
threads:
  - {on: cpu0, does: map-unmap, domain: nic0}
  - {on: cpu1, does: map-unmap, domain: nic1}
run: {until: 100 ms}
"""
WARM_UP_PS, SPAN_PS, SPANS = 100 * US, 50 * US, 5
EXECUTORS = ("plain", "agenda")
NOBODY = ("nobody#0:1",)


def _begin(executor: str, *, explored: bool, folder: Path) -> UnderWay:
    """A run that has come to the end of its warm-up."""
    path = folder / "operations.yaml"
    path.write_text(TOPOLOGY, encoding="utf-8")
    topology = load(path, sets=[f"run.executor={executor}"])
    run = UnderWay(Point(topology, schedule=NOBODY if explored else ()))
    run.system.start()
    run.system.sim.env.run(until=WARM_UP_PS)
    return run


def operations_counted(system: System) -> list[int]:
    """A list whose one number grows with each operation that a thread of any CPU of a system asks for."""
    count = [0]

    def awaited(thread: Thread, op: Op[object]) -> None:
        count[0] += 1

    for cpu in system.cpus.values():
        cpu.awaited.append(awaited)
    return count


def counted(folder: Path) -> list[int]:
    """How many operations fall into each span: the same under either executor."""
    found = []
    run = _begin("agenda", explored=False, folder=folder)
    count = operations_counted(run.system)
    for number in range(1, SPANS + 1):
        count[0] = 0
        run.system.sim.env.run(until=WARM_UP_PS + number * SPAN_PS)
        found.append(count[0])
    run.close()
    return found


def costs(executors: Sequence[str] = EXECUTORS) -> dict[str, float]:
    """Timeouts for each operation, by executor and whether a search asks: medians of spans that take turns."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        operations = counted(folder)
        runs = {
            f"{executor}{' explored' * explored}": _begin(executor, explored=explored, folder=folder)
            for executor in executors
            for explored in (False, True)
        }
        for number, count in enumerate(operations, start=1):
            for case, run in runs.items():
                unit = timeout_s(1)
                gc.collect()
                began = time.process_time()
                run.system.sim.env.run(until=WARM_UP_PS + number * SPAN_PS)
                seconds = time.process_time() - began
                found.setdefault(case, []).append(seconds / count / min(unit, timeout_s(1)))
        for run in runs.values():
            run.close()
    return {case: median(each) for case, each in found.items()}


def main() -> None:
    """Print the table."""
    print("an operation of a driver  timeouts")
    for case, timeouts in costs().items():
        print(f"{case:26}{timeouts:8.1f}")


if __name__ == "__main__":
    main()
