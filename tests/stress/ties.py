"""Small systems drawn at random in which much happens at the same instant: every time is a few of one quantum."""

from __future__ import annotations

from random import Random
from typing import Any

from cosim.config.problems import TopologyError
from cosim.system.load import load
from cosim.system.topology import Topology
from tests.stress.topologies import LATITUDE, TIMING

QUANTA_NS = (1, 5, 10, 50, 100)
MASTERS = (*12 * (1, 2, 2, 3), *4 * (4, 8), 16)
LARGE = 50
"""Each system of so many has 64 devices."""
REQUESTS = 120
"""So many requests are made at most, by all devices together."""
BASE, IOMMUS = 0x8000_0000, 0x0300_0000

Values = dict[str, Any]


def tied(number: int) -> Topology:
    """The system of that number: up to 64 devices behind up to 3 IOMMUs on one memory, and threads that share CPUs."""
    draw = Random(f"tied {number}")
    while True:
        try:
            return load(_System(draw, large=number % LARGE == LARGE - 1).data())
        except TopologyError:  # a system of which an option has no effect is none of the user's, and is not drawn
            continue


class _System:
    """What one system is drawn from."""

    def __init__(self, draw: Random, *, large: bool) -> None:
        self.draw = draw
        self.quantum = draw.choice(QUANTA_NS)
        self.cpus = [f"cpu{n}" for n in range(draw.choice((1, 1, 2, 3)))]
        self.iommus = [f"iommu{n}" for n in range(draw.choice((1, 1, 1, 2, 3)))]
        self.nics = [f"nic{n}" for n in range(64 if large else draw.choice(MASTERS))]

    def data(self) -> Topology:
        """The topology, as a file would have it."""
        draw, parts = self.draw, {"dram0": self.memory()}
        parts |= {cpu: self.cpu() for cpu in self.cpus}
        parts |= {name: self.iommu(number) for number, name in enumerate(self.iommus)}
        alike = draw.random() < 0.7
        first = self.device()
        parts |= {nic: (first if alike else self.device()) | {"through": draw.choice(self.iommus)} for nic in self.nics}
        settled = self.nics[: draw.randrange(len(self.nics) + 1)] if draw.random() < 0.6 else []
        domains = {"shared": {"devices": settled}} if settled else {}
        data = {
            "parts": parts,
            "domains": domains,
            "driver": draw.choice(("merged", "merged", "current", "latest", "ideal", "v2")),
            "kernel": {"kfree_rcu_delay": "5 us", "gp_scan": "2 us", "hz": 10_000},
            "threads": [self.thread(settled) for _ in range(draw.choice((0, 1, 2, 2, 3, 4)))],
            "run": {"until": f"{draw.choice((3, 5, 10))} us", "seed": draw.randrange(1 << 16)},
        }
        return Topology.model_validate(data)

    def time(self, *often: int) -> str:
        """One of so many quanta."""
        return f"{self.quantum * self.draw.choice(often or (0, 1, 1, 1, 2, 4))} ns"

    def memory(self) -> Values:
        draw = self.draw
        more = {"bandwidth": "16 GB/s"} if draw.random() < 0.2 else {}
        return {
            "kind": "memory",
            "base": BASE,
            "size": "16 MiB",
            "latency": self.time(1, 2, 8),
            "ports": draw.choice((1, 1, 2, 4)),
            **more,
        }

    def cpu(self) -> Values:
        draw = self.draw
        costs = ("load", "store", "atomic", "fence", "mmio_read", "mmio_write", "mmio_arrival", "switch")
        return {
            "kind": "cpu",
            "memory_model": draw.choice(("rvwmo", "rvwmo", "tso", "sequential")),
            "store_buffer": draw.choice((1, 8)),
            "slice": draw.choice(("1 us", "4 ms")),
            "timing": {name: self.time(1, 1, 2) for name in costs if draw.random() < 0.5},
        }

    def iommu(self, number: int) -> Values:
        draw = self.draw
        geometry: Values = {
            "iotlb_entries": draw.choice((64, 4, 1, 0)),
            "ddtc_entries": draw.choice((16, 1, 0)),
            "nonleaf_entries": draw.choice((16, 1, 0)),
            "iotlb_replacement": draw.choice(("lru", "plru", "random")),
            "walkers": draw.choice((1, 2, 4)),
            "in_flight": draw.choice((1, 4, 64)),
            "arbitration": draw.choice(("arrival", "reads-first")),
            "order": draw.choice(("any", "any", "writes", "kind", "device")),
            "fault_buffer": draw.choice((0, 4)),
            "command_burst": draw.choice((1, 1, 4)),
            "cq_log2": draw.choice((2, 5)),
            "fq_log2": draw.choice((2, 5)),
        }
        if geometry["iotlb_entries"] and draw.random() < 0.3:
            geometry["iotlb_allocation"] = "miss"
        latitude = {name: "on" for name in LATITUDE if draw.random() < 0.1}
        return {
            "kind": "iommu",
            "base": IOMMUS + 0x1000 * number,
            "geometry": geometry,
            "timing": {name: self.time() for name in TIMING if draw.random() < 0.7} | {"busy": self.time(1)},
            "latitude": latitude,
            "capabilities": {"s": draw.random() < 0.5, "nl": draw.random() < 0.5},
            "interrupts_to": draw.choice(self.cpus),
        }

    def device(self) -> Values:
        draw = self.draw
        traffic: Values = {
            "pattern": draw.choice(("sequential", "sequential", "strided", "random")),
            "read": draw.choice((0.0, 0.5, 1.0, 1.0)),
            "size": draw.choice(("64 B", "64 B", "256 B", "4 KiB")),
            "window": draw.choice(("8 KiB", "32 KiB")),
            "outstanding": draw.choice((1, 2, 8)),
            "requests": max(2, min(40, REQUESTS // len(self.nics))),
        }
        if draw.random() < 0.5:
            traffic["interval"] = self.time(1, 2, 10)
        return {
            "kind": "dma",
            "link": self.time(0, 1, 1, 2),
            "posted": draw.random() < 0.3,
            "traffic": traffic,
        }

    def thread(self, settled: list[str]) -> Values:
        draw, cpu = self.draw, self.draw.choice(self.cpus)
        begin = {"on": cpu, "start": self.time(0, 0, 10, 100)}
        moved = [nic for nic in self.nics if nic not in settled][:2]
        if moved and draw.random() < 0.3:
            where = "shared" if settled else "identity"
            return {"does": "attach-detach", "devices": draw.choice(moved), "domains": where, "stay": "1 us", **begin}
        if moved and draw.random() < 0.2:
            return {"does": "domain-cycle", "devices": draw.choice(moved), "stay": "1 us", **begin}
        return {
            "does": "map-unmap",
            "domain": "shared" if settled and draw.random() < 0.7 else draw.choice(moved or ["shared"]),
            "pages": draw.choice((1, 2, 4)),
            "mode": draw.choice(("strict", "strict", "lazy")),
            "hold": self.time(0, 1, 10),
            "gap": self.time(1, 10, 100),
            **begin,
        }
