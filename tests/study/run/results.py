"""Results made by hand: what a run might have given back."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cosim.oracles import Violation
from cosim.study.gather.latencies import Latencies
from cosim.study.run.kernel_lines import LogLine
from cosim.study.run.latency import Latency
from cosim.study.run.limit import limit_of
from cosim.study.run.result import Result
from cosim.system.topology import Topology

NS, US, MS = 10**3, 10**6, 10**9


def latency(count: int = 1000, tail: int = 0, **parts: int) -> Latency:
    """`count` samples of the same parts, in picoseconds; in one of fifty, the first takes `tail` more."""
    seen = Latencies()
    first = next(iter(parts))
    for index in range(count):
        these = dict(parts)
        if index % 50 == 49:
            these[first] += tail
        seen.add(sum(these.values()), these)
    return seen.summary()


def random_latency(seed: int, count: int = 2000) -> Latency:
    """Hits and misses of a DMA read, with walks that wait for a walker."""
    chance = random.Random(seed)
    seen = Latencies()
    for _ in range(count):
        parts = {"link": 120 * NS, "iotlb": 2 * NS, "memory": 80 * NS, "queue": chance.randrange(9 * NS)}
        if chance.random() < 0.3:
            parts |= {"walk": 303 * NS, "walker_wait": chance.randrange(2000 * NS)}
        seen.add(sum(parts.values()), parts)
    return seen.summary()


DEVICE = {"kind": "dma", "through": "iommu0", "bandwidth": "16 GB/s", "traffic": {"outstanding": 16}}
SYSTEM = Topology.model_validate(
    {
        "parts": {
            "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB", "bandwidth": "16 GB/s"},
            "cpu0": {"kind": "cpu"},
            "iommu0": {"kind": "iommu", "base": 0x0300_0000},
            "gpu0": DEVICE,
            **{f"nic{number}": DEVICE for number in range(10)},
        }
    }
)
"""The system that made the results."""

COUNTED = {
    "memory": ("reads", "writes", "port.waited_ps", "port.utilisation"),
    "cpu": ("utilisation",),
    "iommu": (
        *("walk_reads", "ddt_reads", "walkers.busy_ps", "places.busy_ps", "commands.stalled_ps"),
        *("walkers.utilisation", "places.utilisation", "lookup.utilisation", "commands.utilisation"),
        *("fq.busy_ps", "fq.utilisation"),
    ),
    "dma": (
        *("reads", "writes", "in_flight_mean", "backlog_mean", "link_up.busy_ps", "link_down.busy_ps"),
        *("link_up.utilisation", "link_down.utilisation"),
    ),
}
NOTHING: dict[str, int | float] = {
    f"{path}.{name}": 0 for path, part in SYSTEM.parts.items() for name in COUNTED[part.kind]
}
"""What a run counts of which a test says nothing."""


def limit(latencies: Mapping[str, Latency], scalars: Mapping[str, int | float], system: Topology = SYSTEM) -> str:
    """What limited a run of which only these scalars are not 0."""
    return limit_of(latencies, NOTHING | dict(scalars), system)


SCALARS: dict[str, int | float] = {
    "iommu0.iotlb.hits": 12_345,
    "iommu0.iotlb.misses": 1_790,
    "iommu0.ddtc.hits": 14_134,
    "iommu0.ddtc.misses": 1,
    "iommu0.nonleaf1.hits": 1_700,
    "iommu0.nonleaf1.misses": 2,
    "iommu0.nonleaf2.hits": 0,
    "iommu0.nonleaf2.misses": 2,
    "iommu0.walks": 1_702,
    "iommu0.walk_reads": 2_011,
    "iommu0.ddt_walks": 1,
    "iommu0.ddt_reads": 3,
    "iommu0.merged": 88,
    "iommu0.commands.total": 514,
    "iommu0.commands.iotinval_vma": 257,
    "iommu0.commands.iofence": 257,
    "iommu0.commands.iodir_inval_ddt": 0,
    "iommu0.commands.stalled_ps": 0,
    "iommu0.overtaken": 0,
    "iommu0.ad_updates": 0,
    "iommu0.fq.recorded": 0,
    "iommu0.fq.lost": 0,
    "iommu0.fq.kept_back": 0,
    "iommu0.commands.busy_ps": 108_900_000,
    "iommu0.cq.depth_mean": 3.2,
    "iommu0.cq.depth_max": 17,
    "iommu0.fq.depth_mean": 0.0,
    "iommu0.fq.depth_max": 0,
    "iommu0.walkers.utilisation": 0.98,
    "iommu0.commands.utilisation": 0.121,
    "dram0.port.utilisation": 0.41,
    "nic0.link_up.utilisation": 0.223,
    "nic0.link_down.utilisation": 0.0,
    "cpu0.utilisation": 0.77,
    "nic0.reads": 11_135,
    "nic0.writes": 3_000,
    "nic0.read_bytes": 11_135 * 64,
    "nic0.written_bytes": 3_000 * 64,
    "nic0.read_gbps": 6.334,
    "nic0.written_gbps": 1.706,
    "nic0.in_flight_mean": 16.0,
    "nic0.failed": 0,
    "nic0.refused": 0,
    "nic0.bus_errors": 0,
    "kernel.pages.Bond": 64,
    "kernel.pages.DomainObject": 96,
    "kernel.pages.ddt": 3 << 12,
    "kernel.pages.table": 12 << 12,
    "kernel.leaked_pages": 0,
}


def result(**changes: Any) -> Result:
    """A run of quickstart in which all went well, but for `changes`."""
    latencies = {
        "nic0.read": random_latency(1),
        "nic0.write": random_latency(2, 500),
        "dma_map": latency(257, cpu=800 * NS, lock=120 * NS, mmio=0),
        "dma_unmap": latency(
            257, 40 * US, fence=3_200 * NS, cpu=900 * NS, mmio=480 * NS, ticket=210 * NS, irq=3, lock=77 * NS
        ),
    }
    made = Result(
        version="0.1.0",
        topology="quickstart",
        driver="merged",
        seed=1,
        schedule=(),
        outcome="ok",
        simulated_ps=MS,
        window_ps=(100 * US, MS),
        boot_ps=42_300_000,
        events=12_345,
        digest="5a6526ed64d39812",
        scalars=SCALARS,
        latencies=latencies,
        faults={},
        violations=(),
        violation_count=0,
        failures=(),
        limit="",
        ended=sum(each.count for each in latencies.values()),
        ran={"parts": {}},
    )
    made = replace(made, **changes)
    return made if made.limit else replace(made, limit=limit(made.latencies, made.scalars))


def stale_dma() -> Result:
    """A run in which a device read through a translation that was gone."""
    found = Violation(
        "stale-dma",
        "stale-dma: read, page unmapped",
        "nic0 (device 1) read 0x80201000 by IOVA 0xfffff000 at 412,345 ns, 30 ns after its unmap from nic0 returned",
        412_345_000,
        412_315_000,
    )
    return result(
        outcome="failed",
        violations=(found,) * 5,
        violation_count=7,
        signatures={found.signature: 7},
        failures=("7 violations, and none was expected",),
        replay="cosim run concurrent_attach --driver v2 --seed 1",
        faults={"nic0": {"ddt_not_valid": 1, "read_page_fault": 3}},
        bus_errors={"nic0": {"access_fault": 2}},
        requests={"nic0": 90},
        log=(
            LogLine(1000 * NS, "cpu0.boot", "info", "iommu0: probed, 3-level device directory"),
            *(LogLine((2 + n) * US, "cpu0.irq", "error", f"iommu0: fault 13 at iova {n * 4096:#x}") for n in range(40)),
        ),
    )
