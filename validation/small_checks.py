"""Small consistency checks: a walk of Arm's MMU-600, a page's share of an unmap, a serial law, counts on silicon."""

from __future__ import annotations

from typing import Any

from cosim.system.topology import Topology
from validation.runs import Runs
from validation.target import Outcome, Row, Target


def _system(traffic: dict[str, Any], iommu: dict[str, Any], memory: str, **more: Any) -> Topology:
    link = {} if traffic["pattern"] == "none" else {"link": "0"}
    data = {
        "parts": {
            "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "256 MiB", "latency": memory, "ports": 8},
            "cpu0": {"kind": "cpu", **more.pop("cpu", {})},
            "iommu0": {"kind": "iommu", "base": 0x0300_0000, **iommu},
            "nic0": {"kind": "dma", "through": "iommu0", "traffic": traffic, **link},
        },
        "run": {"until": "200 us"},
        **more,
    }
    return Topology.model_validate(data)


# --- 5: Agilex 5 ------------------------------------------------------------------------------------------------------


def agilex(runs: Runs) -> Outcome:
    """A cold first-stage walk of four reads."""
    iommu: dict[str, Any] = {
        "capabilities": {"sv57": False},
        "geometry": {"cq_log2": 6, "fq_log2": 6, "iotlb_entries": 0, "nonleaf_entries": 0},
        "timing": {"link": "0", "lookup": "15 ns", "walk_start": "0", "walk_step": "0"},
    }
    traffic = {"pattern": "strided", "window": "32 KiB", "requests": 8}
    (found,) = runs.at(_system(traffic, iommu, "68 ns"), [{}], ["nic0.read.parts.*", "nic0.read.count"])
    parts = {name.rpartition(".")[2]: mean.value / 1000 for name, mean in found.means.items()}
    cold = parts["walk"] + parts["iotlb"]
    rows = [Row("four table reads of 68 ns, and the way to the TCU of 15 ns", "cold", 290, cold)]
    return Outcome(rows, "ns")


AGILEX = Target(
    "agilex-5",
    "A cold walk of Arm's MMU-600",
    "consistency",
    "Intel, Agilex 5 Hard Processor System Technical Reference Manual (814346), 4.3.9.2.1: translation back at the TBU "
    "after about 290 ns, four table reads of about 68 ns, 15 ns from TBU to TCU",
    "One number, all of it approximate: the walk is serial, four reads and what is around them.",
    agilex,
    limits="The manual does not say whether 35 ns from the TCU's miss to its first read are part of the 290.",
)


# --- 4: F&S -----------------------------------------------------------------------------------------------------------

L0_NS, LM_NS, PAGE_BITS = 65, 197, 4096 * 8
CASES = (
    ("sv39", "4 MiB", 16, 64),
    ("sv39", "8 MiB", 1, 4),
    ("sv39", "4 MiB", 0, 3),
    ("sv48", "4 MiB", 0, 4),
    ("sv57", "4 MiB", 0, 5),
)
OPERATING = (("5 flows", 1.76, 79.6), ("40 flows", 4.36, 35.5))


def fast_and_safe(runs: Runs) -> Outcome:
    """The throughput of 4 KiB requests, one after the other, against the law, at several misses a page."""
    points = []
    for scheme, window, nonleaf, _ in CASES:
        schemes = ("sv39", "sv48", "sv57")
        iommu = {
            "capabilities": {name: schemes.index(name) <= schemes.index(scheme) for name in schemes},
            "geometry": {"cq_log2": 6, "fq_log2": 6, "iotlb_entries": 0, "nonleaf_entries": nonleaf},
            "timing": {"link": "0", "lookup": "0", "walk_start": "0", "walk_step": "0", "lookup_interval": "0"},
        }
        # Reads take a memory's latency in the walk, and the device's own 4 KiB are l0: what a hit takes besides.
        traffic = {"pattern": "random", "size": "4096 B", "window": window}
        system = _system(traffic, iommu, f"{LM_NS} ns", run={"warmup": "900 us", "until": "1500 us"})
        names = ["iommu0.walk_reads", "iommu0.requests", "nic0.read.mean_ps"]
        (found,) = runs.at(system, [{}], names)
        reads, requests, mean_ps = (found.means[name].value for name in names)
        points.append((reads / requests, mean_ps / 1000 - LM_NS + L0_NS))
    rows = [
        Row(
            "4 KiB requests, one after the other",
            f"M = {misses:.2f}",
            PAGE_BITS / (L0_NS + misses * LM_NS),
            PAGE_BITS / ns,
        )
        for misses, ns in points
    ]
    (low, slow), (high, fast) = points[0], points[-1]
    slope = (fast - slow) / (high - low)
    for name, misses, law in OPERATING:
        rows.append(Row("operating points of the paper", name, law, PAGE_BITS / (slow + (misses - low) * slope)))
    return Outcome(rows, "Gb/s")


FAST_AND_SAFE = Target(
    "fast-and-safe",
    "F&S: throughput against misses of a page",
    "consistency",
    "*Fast & Safe IO Memory Protection*, SOSP 2024, section 2.2: T = p / (l0 + M lm), with p = 4,096 B, l0 = 65 ns and "
    "lm = 197 ns fitted by the authors, within 10 % of what they measured",
    "A device makes requests of 4 KiB, one after the other, and memory takes lm for each entry that a walk reads: how "
    "many that are, M, follows from the levels of the table and from the caches. The published constants are put in, "
    "none is fitted. What stands as measured is what the law gives.",
    fast_and_safe,
    limits="This says that walks are serial and that their reads add up, as the law has it, and no more. How many "
    "misses 40 flows have a page is **not** predicted: with the entries that give 5 flows 1.30 misses a page, flows "
    "that take turns in an IOTLB with random replacement would have more than 10 at 40 flows (arithmetic, not a run), "
    "where 2.20 were measured. The order in which a NIC takes up the pages of its flows is not published.",
)


# --- 8: unmap against size --------------------------------------------------------------------------------------------

PAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
UNMAP_US = (3, 4, 6.1, 10.2, 18.5, 35, 67.5, 127.9, 248.6)
UNMAP_ON = (1, 256)


def unmap(runs: Runs) -> Outcome:
    """What an unmap takes with its pages, the table's entries at a cost that is calibrated."""
    timing = {"command_fetch": "20 ns"}

    def times(call_ns: float, pte_ns: float, pages: tuple[int, ...]) -> list[float]:
        found = []
        for count in pages:
            system = _system(
                {"pattern": "none"},
                {"geometry": {"cq_log2": 9, "fq_log2": 6}, "timing": timing},
                "80 ns",
                threads=[{"on": "cpu0", "does": "map-unmap", "domain": "nic0", "pages": count, "count": 3}],
                costs={"call": f"{call_ns:.1f} ns", "pte": f"{pte_ns:.1f} ns"},
                run={"until": "threads + 1 us"},
            )
            name = "cpu0.map-unmap.unmap.mean_ps"
            (estimate,) = runs.at(system, [{}], [name])
            found.append(estimate.means[name].value / 1e6)
        return found

    (one, many), (one_call, _), (_, many_pte) = (
        times(call, pte, UNMAP_ON) for call, pte in ((0, 0), (1000, 0), (0, 100))
    )
    call_ns = 1000 * (UNMAP_US[0] - one) / (one_call - one)
    pte_ns = 100 * (UNMAP_US[-1] - many - call_ns / 1000 * (one_call - one)) / (many_pte - many)
    found = times(call_ns, pte_ns, PAGES)
    rows = [
        Row("dma_unmap", f"{4 * pages} KiB", measured, here, pages in UNMAP_ON)
        for pages, measured, here in zip(PAGES, UNMAP_US, found, strict=True)
    ]
    return Outcome(rows, "us", {"dma_unmap": {"costs.call": f"{call_ns:.0f} ns", "costs.pte": f"{pte_ns:.0f} ns"}})


UNMAP = Target(
    "unmap-size",
    "An unmap against its size",
    "consistency",
    "Ashish Mhetre, linux-kernel, August 2024, dma_map_benchmark: unmap of 4 KiB to 1 MiB, an SMMU whose walker is "
    "not coherent",
    "An unmap is a constant and a slope: the driver's cost of a call and of an entry are calibrated on the first and "
    "the last size.",
    unmap,
    limits="The slope is that of cache maintenance for each entry, which the driver of RISC-V does not have.",
)


# --- 14: counts on silicon --------------------------------------------------------------------------------------------


def t100(runs: Runs) -> Outcome:
    """A copy: one page is read, another one written."""
    iommu = {
        "capabilities": {"sv48": False, "sv57": False},
        "geometry": {"cq_log2": 6, "fq_log2": 6, "nonleaf_entries": 0, "ddt_levels": 3},
    }
    traffic = {"pattern": "strided", "window": "8 KiB", "requests": 2, "size": "64 B"}
    names = ["iommu0.ddt_reads", "iommu0.walk_reads", "iommu0.iotlb.misses"]
    (found,) = runs.at(_system(traffic, iommu, "80 ns"), [{}], names)
    counts = [found.means[name].value for name in names]
    rows = [
        Row("one copy", "directory reads", 3, counts[0]),
        Row("one copy", "page-table reads", 6, counts[1]),
        Row("one copy", "IOTLB misses", 3, counts[2]),
    ]
    return Outcome(rows, "events")


T100 = Target(
    "t100",
    "Counts on RISC-V silicon",
    "consistency",
    "SpacemiT T100, its IOMMU's counters over one copy of dmatest: mails of 4 and 28 Feb 2026 to linux-riscv",
    "A directory of three levels, and two walks of three: no parameter.",
    t100,
    limits="Of the IOTLB's misses 3 were counted in one run and 7 in another; with two pages there can be 2 here.",
)

TARGETS = (AGILEX, FAST_AND_SAFE, UNMAP, T100)
