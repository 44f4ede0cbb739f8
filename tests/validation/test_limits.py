"""Whole systems against what follows from their own numbers, with nothing fitted (validation targets A1 and A2)."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import Any

import pytest

import cosim
from cosim.study.run.result import Result
from cosim.system.topology import Topology
from cosim.units.quantities import MS

MEMORY_NS, LINK_NS, LOOKUP_NS, WALK_NS = 60, 50, 2, 1
HIT_NS = LOOKUP_NS + 2 * LINK_NS + MEMORY_NS
"""A read whose translation is cached: there, the look-up, the memory, and back."""
READ_NS = MEMORY_NS + WALK_NS
"""One entry of a table, read and judged."""


def system(traffic: dict[str, Any], geometry: dict[str, Any] | None = None, **more: Any) -> Result:
    """One device behind one IOMMU, measured after it has touched all of its pages."""
    iommu = {
        "kind": "iommu",
        "base": 0x0300_0000,
        "geometry": {"cq_log2": 6, "fq_log2": 6, **(geometry or {})},
        "timing": {"lookup": "2 ns", "lookup_interval": "0", "walk_start": "0", "walk_step": "1 ns", "link": "0"},
    }
    data = {
        "parts": {
            "dram0": {
                "kind": "memory",
                "base": 0x8000_0000,
                "size": "64 MiB",
                "latency": f"{MEMORY_NS} ns",
                "ports": 64,
            },
            "cpu0": {"kind": "cpu"},
            "iommu0": iommu,
            "nic0": {"kind": "dma", "through": "iommu0", "link": f"{LINK_NS} ns", "traffic": traffic},
        },
        "run": {"until": "300 us", "warmup": "200 us", **more.pop("run", {})},
        **more,
    }
    result = cosim.run(Topology.model_validate(data))
    assert result.outcome == "ok", result
    return result


def random_reads(pages: int, outstanding: int = 1) -> dict[str, Any]:
    return {"pattern": "random", "size": "64 B", "window": f"{4 * pages} KiB", "outstanding": outstanding}


def measured_ps(result: Result) -> int:
    begin, end = result.window_ps
    return end - begin


def rate(result: Result) -> float:
    """Requests that the IOMMU translates, per nanosecond."""
    return result.scalars["iommu0.requests"] / (measured_ps(result) / 1000)


# --- A1: reads per translation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize(("scheme", "n"), [("sv39", 3), ("sv48", 4), ("sv57", 5)])
@pytest.mark.parametrize(("page", "saved"), [("4 KiB", 0), ("2 MiB", 1)])
def test_the_first_request_of_a_system_reads_every_level_once(
    levels: int, scheme: str, n: int, page: str, saved: int
) -> None:
    data = tiny(scheme, ddt_levels=levels)
    data["parts"]["nic0"]["traffic"] |= {"requests": 1, "page": page}
    scalars = cosim.run(Topology.model_validate(data)).scalars
    assert scalars["iommu0.ddt_reads"] == levels
    assert scalars["iommu0.walk_reads"] == n - saved


@pytest.mark.parametrize("warm", ["nonleaf", "ddt", "none"])
def test_each_warm_cache_saves_what_it_holds(warm: str) -> None:
    """Pages of one table, one after the other, by an IOMMU that has one of the caches, or none."""
    pages, levels, n = 8, 3, 5
    caches = {"iotlb_entries": 0, "ddtc_entries": 0, "nonleaf_entries": 0, "ddt_nonleaf_entries": 0}
    caches |= {"nonleaf": {"nonleaf_entries": 16}, "ddt": {"ddtc_entries": 1}, "none": {}}[warm]
    data = tiny("sv57", **caches)
    data["parts"]["nic0"]["traffic"] |= {"requests": pages, "pattern": "strided", "window": f"{4 * pages} KiB"}
    scalars = cosim.run(Topology.model_validate(data)).scalars
    assert scalars["iommu0.walk_reads"] == (n + pages - 1 if warm == "nonleaf" else n * pages)
    assert scalars["iommu0.ddt_reads"] == (levels if warm == "ddt" else levels * pages)


def tiny(scheme: str, **geometry: Any) -> dict[str, Any]:
    schemes = ("sv39", "sv48", "sv57")
    capabilities = {name: schemes.index(name) <= schemes.index(scheme) for name in schemes}
    return {
        "parts": {
            "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB"},
            "cpu0": {"kind": "cpu"},
            "iommu0": {
                "kind": "iommu",
                "base": 0x0300_0000,
                "capabilities": capabilities,
                "geometry": {"cq_log2": 6, "fq_log2": 6, **geometry},
            },
            "nic0": {"kind": "dma", "through": "iommu0", "traffic": {"pattern": "sequential"}},
        },
        "run": {"until": "200 us"},
    }


# --- A2: limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outstanding", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 16))])
def test_throughput_is_the_outstanding_window_over_the_latency(outstanding: int) -> None:
    """Little's law, where nothing is in anybody's way: X = N / L."""
    result = system(random_reads(pages=8, outstanding=outstanding))
    assert result.latencies["nic0.read"].mean_ps == pytest.approx(1000 * HIT_NS, rel=0.002)
    assert rate(result) == pytest.approx(outstanding / HIT_NS, rel=0.002)


@pytest.mark.slow
def test_a_blocking_iommu_makes_one_translation_after_the_other() -> None:
    """X = 1 / (t + m P), and P is m reads, of which the caches of the upper levels leave one."""
    result = system(random_reads(pages=64, outstanding=16), {"in_flight": 1, "iotlb_entries": 0})
    assert rate(result) == pytest.approx(1 / (LOOKUP_NS + READ_NS), rel=0.002)


@pytest.mark.slow
@pytest.mark.parametrize("walkers", [1, 2, 4])
def test_misses_are_no_more_than_the_walkers_can_walk(walkers: int) -> None:
    """X = W / P once more requests miss than there are walkers; with the upper levels cached P is one read."""
    result = system(random_reads(pages=512, outstanding=64), {"walkers": walkers, "iotlb_entries": 0})
    walks = result.scalars["iommu0.walks"] / (measured_ps(result) / 1000)
    assert walks == pytest.approx(walkers / READ_NS, rel=0.002)


@pytest.mark.slow
def test_without_a_limit_walks_of_different_pages_overlap() -> None:
    result = system(random_reads(pages=512, outstanding=4), {"walkers": 64, "iotlb_entries": 0, "nonleaf_entries": 0})
    assert rate(result) == pytest.approx(4 / (HIT_NS + 5 * READ_NS), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ways", "replacement"), [(0, "lru"), (0, "plru"), (0, "random"), (4, "lru"), (4, "plru"), (1, "lru")]
)
def test_a_random_window_hits_as_often_as_its_share_that_is_cached(ways: int, replacement: str) -> None:
    """hit = E / N, whatever the associativity and the replacement."""
    entries, pages = 32, 128
    geometry = {"iotlb_entries": entries, "iotlb_ways": ways, "iotlb_replacement": replacement}
    result = system(random_reads(pages), geometry, run={"until": "3 ms"})
    hits, misses = (result.scalars[f"iommu0.iotlb.{what}"] for what in ("hits", "misses"))
    expected, found = entries / pages, hits / (hits + misses)
    half = NormalDist().inv_cdf(0.9995) * sqrt(expected * (1 - expected) / (hits + misses))
    assert abs(found - expected) < half
    assert half < 0.02, "or else the test says nothing"
    assert abs(found - (entries - 4) / pages) > half, "four entries fewer would be seen"


@pytest.mark.slow
def test_a_random_window_costs_the_misses_share_of_a_walk() -> None:
    """Mean latency = hit + P (1 - E/N): the closed form of pcie-bench's measurements, target 1."""
    entries, pages = 32, 64
    result = system(random_reads(pages), {"iotlb_entries": entries}, run={"until": "3 ms"})
    expected = HIT_NS + READ_NS * (1 - entries / pages)
    assert result.latencies["nic0.read"].mean_ps == pytest.approx(1000 * expected, rel=0.002)


@pytest.mark.parametrize(("replacement", "hits"), [("lru", False), ("random", True)])
def test_a_round_that_is_longer_than_the_iotlb_tells_true_lru_from_others(replacement: str, hits: bool) -> None:
    """A cyclic sequence over N > E pages never hits with LRU."""
    traffic = {"pattern": "strided", "size": "64 B", "window": "80 KiB", "stride": "4 KiB"}
    result = system(traffic, {"iotlb_entries": 16, "iotlb_replacement": replacement})
    assert (result.scalars["iommu0.iotlb.hits"] > 0) is hits


@pytest.mark.slow
@pytest.mark.parametrize("cpus", [1, 2, 4, 8, 16])
def test_strict_unmaps_stay_below_the_bounds_of_the_closed_loop(cpus: int) -> None:
    """N CPUs that each wait for their own fence: X <= min(N / (Z + S), 1 / S).

    S is what an unmap's two commands take the consumer, Z + S a round; both are read off one CPU's run. With few CPUs
    the first bound is nearly reached. With many the second is not: they wait for each other's tickets before that.
    """
    alone, many = loops(1), loops(cpus)
    rounds = alone.latencies["cpu0.map-unmap.unmap"].count
    service, cycle = alone.scalars["iommu0.commands.busy_ps"] / rounds, measured_ps(alone) / rounds
    found = sum(latency.count for name, latency in many.latencies.items() if name.endswith(".unmap"))
    found /= measured_ps(many)
    assert found <= 1.02 * min(cpus / cycle, 1 / service)
    assert cpus > 2 or found >= 0.85 * cpus / cycle


def loops(cpus: int) -> Result:
    """Threads that begin 5 ns apart: in step, they would meet at every word that they share, or at none."""
    threads = [{"on": f"cpu{n}", "start": f"{5 * n} ns", "does": "map-unmap", "domain": "nic0"} for n in range(cpus)]
    data = tiny("sv39", cq_log2=10) | {"threads": threads, "run": {"until": "400 us", "warmup": "100 us"}}
    data["parts"] |= {f"cpu{n}": {"kind": "cpu"} for n in range(cpus)}
    data["parts"]["nic0"]["traffic"] = {"pattern": "none"}
    return cosim.run(Topology.model_validate(data))


@pytest.mark.parametrize(("stall", "gives_up"), [("149 ms", False), ("152 ms", True)])
def test_a_time_out_is_a_step(stall: str, gives_up: bool) -> None:
    """The reviewed driver waits 150 ms for the fence of an unmap, and not a moment longer."""
    sets = {"threads.0.count": 1, "stalls.0.for": stall}
    result = cosim.run("iofence_timeout", driver="v2", set=sets, until="3 s")
    unmap = result.latencies["cpu0.map-unmap.unmap"]
    assert unmap.max_ps == pytest.approx((150 if gives_up else 149) * MS, rel=0.001)
    assert any("timed out" in line.text for line in result.log if line.time_ps < 1_200 * MS) is gives_up
