"""A result as numbers by name: its scalars, and of each latency what one number can say."""

from __future__ import annotations

import re

from cosim.study.run.latency import QUANTILES, Latency
from cosim.study.run.result import Result
from cosim.study.run.uses import ACCESSES

OF_A_LATENCY = ("count", "mean_ps", "sd_ps", *QUANTILES, "max_ps")
OVERLOADED = ".overloaded"
"""What the name of a device's scalar ends in that is 1 if its latencies grow with the length of the run."""
PART = ".parts."
"""What stands before a part in the name of a number, in picoseconds; a part that is not there is 0 if its mean is."""
COUNT = ".count"
"""What the name of a latency's count ends in; of a latency that is not there it is 0."""


def numbers_of(result: Result) -> dict[str, int | float]:
    """Every number of a result: scalars, ``nic0.read.mean_ps``, ``nic0.read.parts.walk``, ``iommu0.iotlb.hit_rate``."""
    found: dict[str, int | float] = {"simulated_ps": result.simulated_ps, "events": result.events}
    found["violations"] = result.violation_count
    found |= result.scalars
    for name, hits in result.scalars.items():
        cache = name.removesuffix(".hits")
        looked = hits + result.scalars.get(f"{cache}.misses", 0)
        if cache != name and looked:
            found[f"{cache}.hit_rate"] = hits / looked
    for name, latency in result.latencies.items():
        found |= {f"{name}.{word}": getattr(latency, word) for word in OF_A_LATENCY}
        found |= _interval(name, latency)
        found |= {f"{name}{PART}{part}": ps for part, ps in sorted(latency.parts.items())}
    return found


def _interval(name: str, latency: Latency) -> dict[str, int]:
    if latency.ci95_ps is None:
        return {}
    low, high = latency.ci95_ps
    return {f"{name}.ci95_from_ps": low, f"{name}.ci95_to_ps": high}


_GROWING = re.compile(rf"(.+)\.(?:(?:{'|'.join(sorted(ACCESSES))})\.(?:[a-z0-9]+_ps|parts\.slot)|backlog_(?:mean|max))")


def growing(name: str) -> str:
    """The number that is 1 if this one grows with the length of the run: `nic0.overloaded`; empty if there is none."""
    found = _GROWING.fullmatch(name)
    return f"{found[1]}{OVERLOADED}" if found else ""
