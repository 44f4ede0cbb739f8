"""What a schedule costs that a search runs, in bare SimPy timeouts measured in the same run, and how many it runs.

A schedule is a fork from a process that has booted, a run to its end with all oracles on, what is read back, and the
conflicts that lead to the next ones. The time is that of all processors; how much faster two processes are is told by
the clock on the wall, and only a machine with two idle processors can show it.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from bench import timeout_s
from pool import spent_s

import cosim

SEARCHES = ("c10_doorbells_overtake", "b6_context_first")
BATCHES = 3


class Cost(NamedTuple):
    """Of one schedule: processor time and time on the wall, in seconds, and how many were run."""

    processor_s: float
    wall_s: float
    schedules: int


def cost(name: str, jobs: int) -> Cost:
    """The cheapest of several searches of `merged`, at one hold and one start, of at most one deviation."""
    found = []
    for _ in range(BATCHES):
        spent, clock = spent_s(), time.perf_counter()
        (row,) = cosim.explore(name, drivers=["merged"], one_cell=True, deviations=1, jobs=jobs).rows
        found.append(Cost((spent_s() - spent) / row.runs, (time.perf_counter() - clock) / row.runs, row.runs))
    return min(found)


def main() -> None:
    """Print the table."""
    unit = timeout_s(1)
    costs = {name: (cost(name, 1), cost(name, 2)) for name in SEARCHES}
    unit = min(unit, timeout_s(1))
    print(f"a schedule                  timeouts      ms  a minute  two processes   (a timeout: {1e6 * unit:.2f} us)")
    for name, (one, two) in costs.items():
        told = f"{one.processor_s / unit:10,.0f}{1e3 * one.processor_s:8.1f}{60 / one.wall_s:10,.0f}"
        print(f"{name:26}{told}  {one.wall_s / two.wall_s:5.2f} times as many")


if __name__ == "__main__":
    main()
