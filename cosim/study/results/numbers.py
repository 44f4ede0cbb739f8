"""A result as numbers by name."""

from __future__ import annotations

import re

from cosim.study.run.numbers import numbers_in
from cosim.study.run.result import Result
from cosim.system.number_names import ACCESSES

OVERLOADED = ".overloaded"
"""What the name of a device's scalar ends in that is 1 if its latencies grow with the length of the run."""
COUNT = ".count"
"""What the name of a latency's count ends in; of a latency that is not there it is 0."""


def numbers_of(result: Result) -> dict[str, int | float]:
    """Every number of a result: scalars, ``nic0.read.mean_ps``, ``nic0.read.parts.walk``, ``iommu0.iotlb.hit_rate``."""
    found: dict[str, int | float] = {"simulated_ps": result.simulated_ps, "events": result.events}
    found["violations"] = result.violation_count
    return found | numbers_in(result.scalars, result.latencies)


_GROWING = re.compile(rf"(.+)\.(?:(?:{'|'.join(sorted(ACCESSES))})\.(?:[a-z0-9]+_ps|parts\.slot)|backlog_(?:mean|max))")


def growing(name: str) -> str:
    """The number that is 1 if this one grows with the length of the run: `nic0.overloaded`; empty if there is none."""
    found = _GROWING.fullmatch(name)
    return f"{found[1]}{OVERLOADED}" if found else ""
