"""A result as numbers by name."""

from __future__ import annotations

from cosim.study.run.numbers import numbers_in
from cosim.study.run.result import Result


def numbers_of(result: Result) -> dict[str, int | float]:
    """Every number of a result: scalars, ``nic0.read.mean_ps``, ``nic0.read.parts.walk``, ``iommu0.iotlb.hit_rate``."""
    found: dict[str, int | float] = {"simulated_ps": result.simulated_ps, "events": result.events}
    found["violations"] = result.violation_count
    return found | numbers_in(result.scalars, result.latencies)
