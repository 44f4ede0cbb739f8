"""Small topologies drawn at random, over every option that may not decide whether a sound driver is safe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from cosim.system.topology import Topology

LATITUDE = ("out_of_order", "walk_across_invalidation", "evict", "invalidate_more")
TIMES = ("0", "1 ns", "5 ns", "20 ns", "150 ns")
TIMING = (
    *("lookup", "lookup_interval", "walk_start", "walk_step", "beat", "context_fill", "fill", "turnaround", "link"),
    *("turnaround_line", "turnaround_large", "walker_turnaround"),
    *("write_start", "command_start", "command_fetch", "invalidate_entry", "invalidate_all", "fence", "fault_answer"),
    *("record_turnaround", "register_access", "interrupt"),
)
LATE, LONG_TIMES = ("walk_step", "context_fill", "fill"), ("1 us", "4 us")
"""Steps between what was read and what is done with it, which may last as long as a driver's whole flush."""

Values = dict[str, Any]


def topology(parts: Mapping[str, Values], run: Values, *, defects: Values, driver: str) -> Topology:
    """The topology of drawn parts with a driver; every IOMMU has the defects, and by the seed of the run S and NL."""
    flushes = {"s": bool(run["seed"] & 1), "nl": bool(run["seed"] & 2)}
    return Topology.model_validate(
        {
            "parts": {
                name: part
                | (
                    {"defects": defects, "capabilities": part.get("capabilities", {}) | flushes}
                    if part["kind"] == "iommu"
                    else {}
                )
                for name, part in parts.items()
            },
            "driver": driver,
            "kernel": {"kfree_rcu_delay": "20 us", "gp_scan": "10 us", "hz": 10_000},
            "run": {"until": "3600 s", **run},
        }
    )


def runs() -> st.SearchStrategy[Values]:
    """The part `run` of a topology, but for its executor."""
    return st.fixed_dictionaries(
        {"seed": st.integers(0, (1 << 16) - 1), "hold": st.sampled_from(("50 ns", "300 ns", "1 us"))}
    )


@st.composite
def parts(draw: st.DrawFn) -> dict[str, Values]:
    """Up to 3 CPUs, 2 IOMMUs and 4 devices; their queues are short, so that they fill."""
    found = {"dram0": draw(_memory(0x8000_0000, 16, node=0))}
    if draw(_sometimes(30)):
        found["dram1"] = draw(_memory(0x9000_0000, 8, node=1))
    cpus = [f"cpu{n}" for n in range(draw(st.integers(1, 3)))]
    for n, cpu in enumerate(cpus):
        found[cpu] = draw(_cpu(node=n % 2))
    iommus = [f"iommu{n}" for n in range(draw(st.sampled_from((1, 1, 2))))]
    for n, iommu in enumerate(iommus):
        found[iommu] = draw(_iommu(0x0300_0000 + 0x1000 * n, cpus))
    for n in range(draw(st.integers(1, 4))):
        found[f"nic{n}"] = draw(_device(iommus))
    return found


def _sometimes(percent: int) -> st.SearchStrategy[bool]:
    return st.integers(1, 100).map(lambda n: n > 100 - percent)


def _memory(base: int, mib: int, node: int) -> st.SearchStrategy[Values]:
    latencies = ("20 ns", "1 ns", "80 ns", "400 ns", "2 us") if node == 0 else ("80 ns", "4 us")
    return st.fixed_dictionaries(
        {
            "kind": st.just("memory"),
            "base": st.just(base),
            "size": st.just(f"{mib} MiB"),
            "latency": st.sampled_from(latencies),
            "ports": st.sampled_from((1, 2)),
            "node": st.just(node),
        },
        optional={
            "bandwidth": st.sampled_from(("2 GB/s", "16 GB/s")),
            "write_latency": st.sampled_from(("5 ns", "200 ns", "4 us")),
        },
    )


def _cpu(node: int) -> st.SearchStrategy[Values]:
    return st.fixed_dictionaries(
        {
            "kind": st.just("cpu"),
            "memory_model": st.sampled_from(("rvwmo", "rvwmo", "tso", "sequential")),
            "store_buffer": st.sampled_from((1, 2, 8)),
            "preempt": st.sampled_from(("full", "full", "voluntary")),
            "slice": st.sampled_from(("20 us", "4 ms")),
            "history": st.just("2 us"),
            "node": st.just(node),
        }
    )


GEOMETRY = {
    "iotlb_entries": st.sampled_from((64, 8, 2, 1, 0)),
    "ddtc_entries": st.sampled_from((0, 1, 2, 16)),
    "nonleaf_entries": st.sampled_from((0, 1, 16)),
    "ddt_nonleaf_entries": st.sampled_from((0, 1, 4)),
    **{f"{cache}_replacement": st.sampled_from(("lru", "plru", "random")) for cache in ("iotlb", "ddtc", "nonleaf")},
    "plru_free_first": st.booleans(),
    "walkers": st.sampled_from((1, 2, 4)),
    "in_flight": st.sampled_from((1, 2, 64)),
    "arbitration": st.sampled_from(("arrival", "reads-first")),
    "place_until": st.sampled_from(("departure", "translation")),
    "fault_buffer": st.sampled_from((0, 0, 1, 4)),
    "fill_refused": st.booleans(),
    "ddt_levels": st.sampled_from((1, 2, 3)),
    "command_burst": st.sampled_from((1, 2, 8)),
    "cq_log2": st.just(8),
    "fq_log2": st.sampled_from((2, 3, 6)),
    "icvec_bits": st.sampled_from((0, 2)),
}


@st.composite
def _iommu(draw: st.DrawFn, base: int, cpus: list[str]) -> Values:
    geometry = draw(st.fixed_dictionaries(GEOMETRY))
    if geometry["iotlb_entries"]:
        geometry["iotlb_ways"] = draw(st.sampled_from((0, 1)))
    timing = draw(st.fixed_dictionaries({}, optional={name: st.sampled_from(TIMES) for name in TIMING}))
    timing |= {name: draw(st.sampled_from(LONG_TIMES)) for name in LATE if draw(_sometimes(30))}
    return {
        "kind": "iommu",
        "base": base,
        "capabilities": {
            "sv48": draw(_sometimes(70)),
            "sv57": draw(_sometimes(70)),
            "igs": draw(st.sampled_from(("wsi", "msi", "both"))),
        },
        "geometry": geometry,
        "timing": timing | {"busy": draw(st.sampled_from(("1 ns", "500 ns")))},
        "latitude": {name: draw(st.sampled_from(("off", "on"))) for name in LATITUDE},
        "interrupts_to": draw(st.sampled_from(cpus)),
        "node": draw(st.integers(0, 1)),
    }


def _device(iommus: list[str]) -> st.SearchStrategy[Values]:
    traffic = {
        "pattern": st.sampled_from(("none", "sequential", "strided", "random")),
        "read": st.sampled_from((0.0, 0.5, 1.0)),
        "size": st.sampled_from(("64 B", "4 KiB")),
        "window": st.sampled_from(("4 KiB", "32 KiB")),
        "outstanding": st.sampled_from((1, 4, 16)),
        "interval": st.sampled_from(("300 ns", "2 us")),
        "arrivals": st.sampled_from(("regular", "poisson")),
        "requests": st.integers(1, 20),
    }
    return st.fixed_dictionaries(
        {
            "kind": st.just("dma"),
            "through": st.sampled_from(iommus),
            "link": st.sampled_from(("0", "50 ns")),
            "posted": _sometimes(30),
            "traffic": st.fixed_dictionaries(traffic),
        },
        optional={"bandwidth": st.just("4 GB/s")},
    )
