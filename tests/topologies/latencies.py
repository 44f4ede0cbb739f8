"""The latencies of a topology's hardware, each made a little shorter or longer."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from cosim.system.topology import Topology

OWN = ("latency", "write_latency", "link", "register_access")
"""The latencies that are options of a part itself; all others are in its `timing`."""


def latencies(topology: Topology) -> Iterator[tuple[str, int]]:
    """Each latency that is not 0, by its path, in picoseconds."""
    for name, part in topology.parts.items():
        found = [(field, getattr(part, field, None)) for field in OWN]
        found += [(f"timing.{field}", value) for field, value in getattr(part, "timing", ())]
        yield from ((f"{name}.{field}", value) for field, value in found if value)


def scaled(topology: Topology, number: int, least: float = 0.8, most: float = 1.25) -> dict[str, object]:
    """Each latency by its path, times a factor of its own; the same factors for the same number."""
    chance = Random(number)
    return {path: f"{round(ps * chance.uniform(least, most))} ps" for path, ps in latencies(topology)}
