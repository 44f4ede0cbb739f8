"""Strict, lazy and passthrough: what an I/O takes more in each."""

from __future__ import annotations

from typing import Any

from cosim.system.topology import Topology
from validation.runs import Runs
from validation.target import Outcome, Row, Target

MEASURED_NS = {"passthrough": 200.0, "lazy": 518.0, "strict": 1754.0}
"""The time of an I/O: 5.01, 1.93 and 0.57 million of them a second."""


def system(mode: str, gap_ns: float) -> Topology:
    """A CPU that maps, does something else, and unmaps."""
    loop: dict[str, Any] = {"on": "cpu0", "does": "map-unmap", "free": False, "gap": f"{gap_ns:.0f} ns"}
    loop["domain"] = "identity" if mode == "passthrough" else "nic0"
    if mode == "lazy":
        loop["mode"] = "lazy"
    data = {
        "parts": {
            "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "256 MiB", "ports": 8},
            "iommu0": {"kind": "iommu", "base": 0x0300_0000, "geometry": {"cq_log2": 10, "fq_log2": 6}},
            "nic0": {"kind": "dma", "through": "iommu0", "traffic": {"pattern": "none"}},
            "cpu0": {"kind": "cpu", "timing": {"switch": "0"}},
        },
        "driver": {"variant": "latest"},
        "threads": [loop],
        "run": {"warmup": "100 us", "until": "600 us"},
    }
    return Topology.model_validate(data)


def run(runs: Runs) -> Outcome:
    """What is no mapping is calibrated on passthrough; the driver's own costs are those of any topology."""
    rate = "cpu0.map-unmap.unmap.per_s"

    def took_ns(mode: str, gap_ns: float) -> float:
        (estimate,) = runs.at(system(mode, gap_ns), [{}], [rate])
        return 1e9 / estimate.means[rate].value

    gap_ns = 150 + MEASURED_NS["passthrough"] - took_ns("passthrough", 150)
    rows = [
        Row("an I/O", mode, measured, took_ns(mode, gap_ns), mode == "passthrough")
        for mode, measured in MEASURED_NS.items()
    ]
    return Outcome(rows, "ns", {"an I/O": {"threads.0.gap": f"{gap_ns:.0f} ns"}})


TARGET = Target(
    "modes",
    "Strict, lazy and passthrough",
    "consistency",
    "linux-nvme, November 2025 (lists.infradead.org, 059804): Optane, fio with io_uring: 570 K, 1.93 M and 5.01 M I/Os "
    "a second; the number of cores is not stated",
    "A CPU maps and unmaps a page for each I/O. What else an I/O takes is calibrated on passthrough; nothing of the "
    "driver is.",
    run,
    limits="Order and size of the ratios, and no more: it is another architecture, driver and IOMMU. Elsewhere lazy is "
    "2.67 times strict (iperf3, Graviton4, Linux 6.12.74), and passthrough 1.01 times lazy and 5.9 times strict (eight "
    "SSDs, Grace, NV-Kernels pull request 182): lazy near passthrough, strict far from both, as here.",
)
