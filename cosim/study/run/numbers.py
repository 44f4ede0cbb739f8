"""A run as numbers by name: its scalars, and of each latency what one number can say."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.study.run.latency import Latency
from cosim.system.number_names import OF_A_LATENCY
from cosim.units.time_names import PART


def numbers_in(scalars: Mapping[str, int | float], latencies: Mapping[str, Latency]) -> dict[str, int | float]:
    """Scalars with ``nic0.read.mean_ps``, ``nic0.read.parts.walk`` and ``iommu0.iotlb.hit_rate`` beside them."""
    found: dict[str, int | float] = dict(scalars)
    for name, hits in scalars.items():
        cache = name.removesuffix(".hits")
        looked = hits + scalars.get(f"{cache}.misses", 0)
        if cache != name and looked:
            found[f"{cache}.hit_rate"] = hits / looked
    for name, latency in latencies.items():
        found |= {f"{name}.{word}": getattr(latency, word) for word in OF_A_LATENCY}
        found |= _interval(name, latency)
        found |= {f"{name}{PART}{part}": ps for part, ps in sorted(latency.parts.items())}
    return found


def _interval(name: str, latency: Latency) -> dict[str, int]:
    if latency.ci95_ps is None:
        return {}
    low, high = latency.ci95_ps
    return {f"{name}.ci95_from_ps": low, f"{name}.ci95_to_ps": high}
