"""What a sweep costs beside its runs: points a second against a loop of `cosim.run`, a point's overhead, shared boots.

A thousand points of the smallest real system, in a loop, and as a sweep with as many processes as there are CPUs. The
overhead is in processor time of all processes together; it is that of loading, forking, telling and keeping. Then
points that differ in `run.until` alone, each with a boot of its own, and all with the same.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np  # so that neither side pays for its import

import cosim
from cosim.study.pool import Pool
from cosim.study.run.run import Point

TINY = Path(__file__).parent.parent / "tests" / "tiny.yaml"
AXIS = "iommu0.geometry.iotlb_entries"
UNTILS = range(1, 41)
POINTS = int(os.environ.get("POINTS", "1000"))
CPUS = len(os.sched_getaffinity(0))


def spent_s() -> float:
    """What this process and all that it has waited for have spent on the CPU so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Print the table."""
    assert np.zeros(1).size
    values = range(1, POINTS + 1)
    cosim.run(TINY, until="1 us")
    begun, spent = time.monotonic(), spent_s()
    digests = [cosim.run(TINY, set={AXIS: value}, until="1 us").digest for value in values]
    loop_s, loop_cpu = time.monotonic() - begun, spent_s() - spent
    with tempfile.TemporaryDirectory() as folder:
        begun, spent = time.monotonic(), spent_s()
        study = cosim.sweep(TINY, {AXIS: values}, until="1 us", file=Path(folder) / "s.sqlite")
        for _ in study:
            pass
        sweep_s = time.monotonic() - begun
        assert sorted(run.digest for run in study.runs) == sorted(digests)
    sweep_cpu = spent_s() - spent
    print(f"{POINTS} points                      points/s   ms of CPU a point")
    print(f"cosim.run in a loop              {POINTS / loop_s:8.1f}  {1e3 * loop_cpu / POINTS:8.1f}")
    print(f"cosim.sweep, {CPUS} processes         {POINTS / sweep_s:8.1f}  {1e3 * sweep_cpu / POINTS:8.1f}")
    print(f"rate against {CPUS} times the loop's  {loop_s / sweep_s / CPUS:8.0%}")
    print(f"overhead of a point                        {1e3 * (sweep_cpu - loop_cpu) / POINTS:8.1f}")
    boots()


def boots() -> None:
    """Print what a point costs that boots, and one that shares its boot."""
    points = [Point(cosim.load("quickstart", until=f"{until} us")) for until in UNTILS]
    found = []
    print(f"{len(points)} points of run.until, of quickstart  ms of CPU a point")
    for says, booting in (("each boots for itself", True), ("all share a boot", False)):
        spent = spent_s()
        with Pool(1, results=True) as pool:
            found.append([record.digest for _, record in pool.runs(points, alone=lambda _, alone=booting: alone)])
        print(f"{says:38}  {1e3 * (spent_s() - spent) / len(points):8.1f}")
    assert found[0] == found[1]


if __name__ == "__main__":
    main()
