"""What a last-level cache in front of the walkers saves."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, table

AXES = {"dram0.cache_lines": "lines", "iommu0.geometry.walkers": "walkers"}
LINES = {"0": "none: there is no cache", "64": "half of the tables", "256": "all of the tables"}
LINE_RATE, PACKET_BITS = 400, 2048 * 8
MEMORY_NS, CACHE_NS, AROUND_NS = 300, 30, 22
"""A read of a table, with cache and without, and what else a walk of one read takes."""
WRITTEN = "nic0.written_gbps"


def in_cache(found: Found, **at: str) -> float:
    """The share of the IOMMU's own reads that find their line."""
    if at["lines"] == "0":
        return 0.0
    hits, misses = (found.mean(f"dram0.cache.{what}", **at).value for what in ("hits", "misses"))
    return hits / (hits + misses)


def busy(found: Found, **at: str) -> float:
    """As many walkers are busy at line rate on average (Little's law)."""
    share = in_cache(found, **at)
    walk_ns = AROUND_NS + share * CACHE_NS + (1 - share) * MEMORY_NS
    return LINE_RATE / PACKET_BITS * (1 - found.mean("iommu0.iotlb.hit_rate", **at).value) * walk_ns


def check(found: Found) -> None:
    """What the conclusion says."""
    for at, means in found.points:
        needed, walkers = busy(found, **at), int(at["walkers"])
        share = means[WRITTEN].value / LINE_RATE
        if walkers >= 1.1 * needed:
            assert share > 0.97, (at, share, needed)
        if walkers <= 0.85 * needed:
            assert abs(share * needed / walkers - 1) < 0.15, (at, share, needed)
    whole, half, none = (busy(found, lines=lines, walkers="8") for lines in ("256", "64", "0"))
    assert 5 < none / whole < 7, (none, whole)
    assert 1.5 < none / half < 2.1, (none, half)
    assert in_cache(found, lines="256", walkers="8") == 1
    assert found.mean(WRITTEN, lines="256", walkers="2").value > 0.99 * LINE_RATE
    assert found.mean(WRITTEN, lines="0", walkers="4").value < 0.75 * LINE_RATE


def draw(found: Found, folder: Path) -> None:
    """What is received by the number of walkers."""
    with figure.panels(folder / "table_cache.svg", wide=5.4) as (axes,):
        for at, (lines, label) in enumerate(LINES.items()):
            points = found.curve(WRITTEN, "walkers", float, lines=lines)
            figure.line(axes, [(walkers, min(gbps, LINE_RATE), half) for walkers, gbps, half in points], label, at)
        axes.axhline(LINE_RATE, color="0.45", linestyle=":", linewidth=1)
        figure.doubling(axes, [1, 2, 4, 8])
        axes.set_xlabel("walkers")
        axes.set_ylabel("received, Gb/s")
        axes.set_ylim(0, 430)
        axes.legend(title="the cache holds", loc="lower right")


def tables(found: Found) -> str:
    """What is needed, and what was measured around it."""
    rows = []
    for lines in LINES:
        row = [lines, f"{in_cache(found, lines=lines, walkers='8'):.0%}"]
        row.append(f"{busy(found, lines=lines, walkers='8'):.1f}")
        row += [f"{found.mean(WRITTEN, lines=lines, walkers=n).value:.0f}" for n in found.values("walkers")]
        row.append(f"{found.mean('nic0.write.mean_ps', lines=lines, walkers='8').value / 1000:.0f}")
        rows.append(row)
    gbps = [f"Gb/s with {walkers}" for walkers in found.values("walkers")]
    return table(["lines", "reads in cache", "walkers busy", *gbps, "write with 8, ns"], rows)
