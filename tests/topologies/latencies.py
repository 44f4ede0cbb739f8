"""The latencies of a topology's hardware, each made a little shorter or longer."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from cosim.system.effects import ineffective
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
    """Each latency that has an effect by its path, times a factor of its own; the same factors for the same number."""
    chance = Random(number)
    found = {path: round(ps * chance.uniform(least, most)) for path, ps in latencies(topology)}
    idle = {".".join(map(str, complaint.path[1:])) for complaint in ineffective(_with(topology, found))}
    return {path: f"{ps} ps" for path, ps in found.items() if path not in idle}


def _with(topology: Topology, changed: dict[str, int]) -> Topology:
    """The topology with these latencies, whether or not they have an effect."""
    data = topology.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for path, ps in changed.items():
        part, *groups, field = path.split(".")
        place = data["parts"][part]
        for group in groups:
            place = place.setdefault(group, {})
        place[field] = f"{ps} ps"
    return Topology.model_validate(data)
