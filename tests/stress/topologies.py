"""Small topologies drawn at random, over every option that may not decide whether a sound driver is safe."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from cosim.system.topology import Topology

LATITUDE = ("out_of_order", "walk_across_invalidation", "evict", "invalidate_more")
TIMES = ("0", "1 ns", "5 ns", "20 ns", "150 ns")
TIMING = (
    *("lookup", "lookup_interval", "walk_start", "walk_step", "beat", "context_fill", "fill", "turnaround", "link"),
    *("write_start", "command_start", "command_fetch", "invalidate_entry", "invalidate_all", "fence", "fault_answer"),
    *("register_access", "interrupt"),
)
LATE, LONG_TIMES = ("walk_step", "context_fill", "fill"), ("1 us", "4 us")
"""Steps between what was read and what is done with it, which may last as long as a driver's whole flush."""


def topology(
    draw: Random, executor: str, *, driver: str = "merged", defects: Mapping[str, Any] | None = None
) -> Topology:
    """A topology with up to 3 CPUs, 2 IOMMUs and 4 devices; its queues are short, so that they fill."""
    iommus = draw.choice((1, 1, 2))
    parts: dict[str, Any] = {"dram0": _memory(draw, 0x8000_0000, 16, node=0)}
    if draw.random() < 0.3:
        parts["dram1"] = _memory(draw, 0x9000_0000, 8, node=1)
    cpus = draw.randint(1, 3)
    for n in range(cpus):
        parts[f"cpu{n}"] = _cpu(draw, node=n % 2)
    for n in range(iommus):
        parts[f"iommu{n}"] = _iommu(draw, 0x0300_0000 + 0x1000 * n, f"cpu{draw.randrange(cpus)}", defects or {})
    for n in range(draw.randint(1, 4)):
        parts[f"nic{n}"] = _device(draw, f"iommu{draw.randrange(iommus)}")
    return Topology.model_validate(
        {
            "parts": parts,
            "driver": driver,
            "kernel": {"kfree_rcu_delay": "20 us", "gp_scan": "10 us", "hz": 10_000},
            "run": {
                "until": "3600 s",
                "seed": draw.randrange(1 << 16),
                "hold": draw.choice(("50 ns", "300 ns", "1 us")),
                "executor": executor,
            },
        }
    )


def _memory(draw: Random, base: int, mib: int, node: int) -> dict[str, Any]:
    memory = {
        "kind": "memory",
        "base": base,
        "size": f"{mib} MiB",
        "latency": draw.choice(("1 ns", "20 ns", "80 ns", "400 ns") if node == 0 else ("80 ns", "4 us")),
        "ports": draw.choice((1, 2)),
        "node": node,
    }
    if draw.random() < 0.3:
        memory["bandwidth"] = draw.choice(("2 GB/s", "16 GB/s"))
    if draw.random() < 0.4:
        memory["write_latency"] = draw.choice(("5 ns", "200 ns", "4 us"))
    return memory


def _cpu(draw: Random, node: int) -> dict[str, Any]:
    return {
        "kind": "cpu",
        "memory_model": draw.choice(("rvwmo", "rvwmo", "tso", "sequential")),
        "store_buffer": draw.choice((1, 2, 8)),
        "preempt": draw.choice(("full", "full", "voluntary")),
        "slice": draw.choice(("20 us", "4 ms")),
        "history": "2 us",
        "node": node,
    }


def _iommu(draw: Random, base: int, cpu: str, defects: Mapping[str, Any]) -> dict[str, Any]:
    entries = draw.choice((0, 1, 2, 8, 64))
    geometry = {
        "iotlb_entries": entries,
        "iotlb_ways": draw.choice((0, 1)) if entries else 0,
        "ddtc_entries": draw.choice((0, 1, 2, 16)),
        "nonleaf_entries": draw.choice((0, 1, 16)),
        "ddt_nonleaf_entries": draw.choice((0, 1, 4)),
        **{f"{cache}_replacement": draw.choice(("lru", "plru", "random")) for cache in ("iotlb", "ddtc", "nonleaf")},
        "plru_free_first": draw.random() < 0.5,
        "walkers": draw.choice((1, 2, 4)),
        "in_flight": draw.choice((1, 2, 64)),
        "arbitration": draw.choice(("arrival", "reads-first")),
        "fault_buffer": draw.choice((0, 0, 1, 4)),
        "ddt_levels": draw.choice((1, 2, 3)),
        "cq_log2": 8,
        "fq_log2": draw.choice((2, 3, 6)),
        "icvec_bits": draw.choice((0, 2)),
    }
    timing = {name: draw.choice(TIMES) for name in TIMING if draw.random() < 0.5}
    timing |= {name: draw.choice(LONG_TIMES) for name in LATE if draw.random() < 0.2}
    return {
        "kind": "iommu",
        "base": base,
        "capabilities": {
            "sv48": draw.random() < 0.7,
            "sv57": draw.random() < 0.7,
            "igs": draw.choice(("wsi", "msi", "both")),
        },
        "geometry": geometry,
        "timing": timing | {"busy": draw.choice(("1 ns", "500 ns"))},
        "latitude": {name: draw.choice(("off", "on")) for name in LATITUDE},
        "defects": dict(defects),
        "interrupts_to": cpu,
        "node": draw.randrange(2),
    }


def _device(draw: Random, iommu: str) -> dict[str, Any]:
    device = {
        "kind": "dma",
        "through": iommu,
        "link": draw.choice(("0", "50 ns")),
        "posted": draw.random() < 0.3,
        "traffic": {
            "pattern": draw.choice(("none", "sequential", "strided", "random")),
            "read": draw.choice((0.0, 0.5, 1.0)),
            "size": draw.choice(("64 B", "4 KiB")),
            "window": draw.choice(("4 KiB", "32 KiB")),
            "outstanding": draw.choice((1, 4, 16)),
            "interval": draw.choice(("300 ns", "2 us")),
            "arrivals": draw.choice(("regular", "poisson")),
            "requests": draw.randint(1, 20),
        },
    }
    if draw.random() < 0.3:
        device["bandwidth"] = "4 GB/s"
    return device
