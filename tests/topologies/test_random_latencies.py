"""What shipped topologies expect does not rest on latencies: other ones, drawn at random, upset none of it."""

from __future__ import annotations

import random
from typing import Any

import pytest

import cosim
from cosim.study.pool import Pool
from cosim.study.run.run import Point
from cosim.system.topology import Topology
from cosim.units.quantities import NS

EXPECTING = ("shared_domain", "two_iommus", "rcu", "kernel_traces")
"""Those that tell of a driver and not of times; `concurrent_attach` needs a race, `io_modes` tells rates."""

TIMES = {
    "dram0.latency": (20, 300),
    "cpu.timing.drain": (5, 500),
    "cpu.timing.fence": (5, 80),
    "cpu.timing.atomic": (10, 200),
    "cpu.timing.mmio_read": (50, 4000),
    "cpu.timing.mmio_arrival": (50, 400),
    "iommu0.timing.link": (1, 200),
    "iommu0.timing.walk_step": (1, 50),
    "iommu0.timing.command_fetch": (5, 300),
    "iommu0.timing.invalidate_entry": (1, 200),
    "iommu0.timing.invalidate_all": (1, 2000),
}
"""The range of each, in nanoseconds."""


def changed(name: str, seed: int) -> Topology:
    """A shipped topology with other latencies, the same for all CPUs and for all IOMMUs."""
    topology = cosim.load(name)
    chance = random.Random(seed)
    changes: dict[str, Any] = {}
    for path, (least, most) in TIMES.items():
        part, _, field = path.partition(".")
        kind = part.rstrip("0")
        paths = [f"{one}.{field}" for one in topology.parts if one.rstrip("0123456789") == kind]
        changes |= dict.fromkeys(paths, f"{round(chance.uniform(least, most) * NS)} ps")
    return cosim.load(topology, set=changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTING)
def test_other_latencies_upset_no_expectation(name: str) -> None:
    points = [Point(changed(name, seed), name=f"{name} {seed}") for seed in range(2 if name == "kernel_traces" else 6)]
    with Pool() as pool:
        failed = {point.name: record.failures for point, record in pool.runs(points) if record.outcome != "ok"}
    assert not failed
