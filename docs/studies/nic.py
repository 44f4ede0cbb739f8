"""How many walkers, and how large an IOTLB, a NIC needs."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, said, table

AXES = {
    "nic0.traffic.interval": "interval",
    "dram0.latency": "latency",
    "iommu0.geometry.iotlb_entries": "entries",
    "iommu0.geometry.walkers": "walkers",
}
RATES = {"163_840 ps": 100, "40_960 ps": 400, "20_480 ps": 800}
PACKET_BITS = 2048 * 8
WALKS_NS = {"80 ns": 102, "300 ns": 322}
"""A walk of one read: to start it, a hop to memory and back, and its latency."""
ENTRIES = {"64": "94 % miss", "512": "50 % miss"}
WALKERS = ("1", "2", "4", "8", "16", "32")
WRITTEN = "nic0.written_gbps"


def needed(gbps: float, missing: float, walk_ns: float) -> float:
    """As many walkers are busy on average (Little's law)."""
    return gbps / PACKET_BITS * missing * walk_ns


def check(found: Found) -> None:
    """What the conclusion says: line rate takes as many walkers as are busy on average, and nothing else does."""
    for at, means in found.points:
        rate, walkers = RATES[at["interval"]], int(at["walkers"])
        busy = needed(rate, 1 - means["iommu0.iotlb.hit_rate"].value, WALKS_NS[at["latency"]])
        share = means[WRITTEN].value / rate
        if walkers >= 1.05 * busy:
            assert share > 0.985, (at, share, busy)
        if walkers <= 0.9 * busy:
            assert abs(share * busy / walkers - 1) < 0.1, (at, share, busy)


def draw(found: Found, folder: Path) -> None:
    """What is received, by the number of walkers: of what is caught up with, no more than line rate."""
    with figure.panels(folder / "nic.svg", 2, sharey=True, wide=7.4, tall=3.0) as both:
        for axes, latency in zip(both, WALKS_NS, strict=True):
            for at, (interval, rate) in enumerate(RATES.items()):
                for entries, says in ENTRIES.items():
                    here = {"interval": interval, "latency": latency, "entries": entries}
                    if points := found.curve(WRITTEN, "walkers", float, **here):
                        label = f"{rate} Gb/s, {says}"
                        points = [(walkers, min(gbps, rate), half) for walkers, gbps, half in points]
                        figure.line(axes, points, label, at, dashed=entries == "512")
                axes.axhline(rate, color="0.45", linestyle=":", linewidth=1)
            figure.doubling(axes, [1, 2, 4, 8, 16, 32])
            axes.set_xlabel("walkers")
            axes.set_title(f"memory of {latency}")
            axes.set_ylim(0, 850)
        both[0].set_ylabel("received, Gb/s")
        both[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))


def tables(found: Found) -> str:
    """What is needed, and what was measured around it."""
    rows = []
    for interval, rate in RATES.items():
        for latency, walk_ns in WALKS_NS.items():
            for entries in ENTRIES:
                here = {"interval": interval, "latency": latency, "entries": entries}
                points = [(at, means) for at, means in found.points if here.items() <= at.items()]
                if not points:
                    continue
                missing = 1 - points[-1][1]["iommu0.iotlb.hit_rate"].value
                row = [f"{rate} Gb/s", latency, entries, f"{missing:.0%}", f"{needed(rate, missing, walk_ns):.1f}"]
                measured = {at["walkers"]: said(means[WRITTEN], 1, 0) for at, means in points}
                rows.append([*row, *(measured.get(walkers, "") for walkers in WALKERS)])
    heads = ["line rate", "memory", "IOTLB entries", "misses", "walkers busy"]
    return table([*heads, *(f"Gb/s with {walkers}" for walkers in WALKERS)], rows)
