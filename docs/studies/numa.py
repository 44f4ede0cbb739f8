"""What a page table on another node costs."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, said, table

AXES = {
    "dev0.through": "tables",
    "dram1.remote": "way",
    "iommu0.geometry.iotlb_entries": "entries",
}
PLACES = {"iommu0": "near", "iommu1": "far"}
WAYS_NS = {"60 ns": 60, "150 ns": 150}
READ, HITS = "nic0.read.mean_ps", "iommu0.iotlb.hit_rate"


def missing(found: Found, **at: str) -> float:
    """The share of reads that miss the IOTLB."""
    return 1 - found.mean(HITS, **at).value


def longer_ns(found: Found, **at: str) -> float:
    """How much longer a read takes if the table is far."""
    near, far = (found.mean(READ, tables=place, **at).value for place in PLACES)
    return (far - near) / 1000


def check(found: Found) -> None:
    """What the conclusion says: the way there and back, for the share of reads that miss, and nothing else."""
    for way, ns in WAYS_NS.items():
        for entries in found.values("entries"):
            at = {"way": way, "entries": entries}
            expected = 2 * ns * missing(found, tables="iommu1", **at)
            assert abs(longer_ns(found, **at) - expected) < 0.07 * 2 * ns, (at, longer_ns(found, **at), expected)
        assert longer_ns(found, way=way, entries="8") > 1.5 * ns
        assert 0 <= longer_ns(found, way=way, entries="128") < 0.1 * ns


def draw(found: Found, folder: Path) -> None:
    """The mean of a read by the share that misses: the table near, and far by either way."""
    with figure.panels(folder / "numa.svg", wide=5.4) as (axes,):
        lines = [("near", "iommu0", "60 ns")] + [(f"far, {way} one way", "iommu1", way) for way in WAYS_NS]
        for at, (label, tables, way) in enumerate(lines):
            points = []
            for entries in found.values("entries"):
                here = {"tables": tables, "way": way, "entries": entries}
                points.append((100 * missing(found, **here), found.mean(READ, **here).value / 1000, 0.0))
            figure.line(axes, sorted(points), label, at)
        axes.set_xlabel("reads that miss the IOTLB, %")
        axes.set_ylabel("mean of a read, ns")
        axes.set_ylim(bottom=0)
        axes.legend(title="page table", loc="lower right")


def tables(found: Found) -> str:
    """The mean of a read with either place of the table."""
    rows = []
    for way in WAYS_NS:
        for entries in found.values("entries"):
            at = {"way": way, "entries": entries}
            rows.append(
                [
                    way,
                    entries,
                    f"{missing(found, tables='iommu1', **at):.0%}",
                    *(said(found.mean(READ, tables=place, **at), 1e-3, 0) for place in PLACES),
                    f"{longer_ns(found, **at):.0f}",
                ]
            )
    heads = [f"table {place}: read, ns" for place in PLACES.values()]
    return table(["way", "IOTLB entries", "misses", *heads, "longer, ns"], rows)
