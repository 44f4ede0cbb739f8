"""What the extension S saves an unmap."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, said, table

AXES = {"iommu0.capabilities.s": "s", "threads.0.pages": "pages"}
WAYS = {"false": "an IOTINVAL for each page", "true": "ranges (S)"}
UNMAP, READ = "cpu0.map-unmap.unmap.mean_ps", "gpu0.read.mean_ps"
UNMAPS = 4


def check(found: Found) -> None:
    """What the conclusion says."""
    unmap = {(s, pages): found.mean(UNMAP, s=s, pages=pages).value for s in WAYS for pages in found.values("pages")}
    read = {pages: found.mean(READ, s="true", pages=pages) for pages in found.values("pages")}
    assert unmap["false", "1"] == unmap["true", "1"]
    assert 2 < unmap["false", "8"] / unmap["true", "8"] < 2.3
    assert 7 < unmap["false", "64"] / unmap["true", "64"] < 8
    assert unmap["false", "256"] / unmap["true", "256"] > 12
    assert unmap["false", "512"] == unmap["true", "512"] < unmap["false", "64"]
    assert read["512"].value - read["512"].half > read["256"].value + read["256"].half
    for pages in ("1", "8", "64", "256"):
        assert found.mean(READ, s="false", pages=pages).value - read[pages].value < 1000


def draw(found: Found, folder: Path) -> None:
    """The unmap, and what the device reads meanwhile."""
    with figure.panels(folder / "ranges.svg", 2) as (unmaps, reads):
        for at, (s, label) in enumerate(WAYS.items()):
            figure.line(unmaps, found.curve(UNMAP, "pages", float, 1e-6, s=s), label, at)
            figure.line(reads, found.curve(READ, "pages", float, 1e-3, s=s), label, at, dashed=s == "true")
        for axes in (unmaps, reads):
            figure.doubling(axes, [1, 8, 64, 256, 512])
            axes.set_xlabel("pages of the unmap")
        figure.decades(unmaps, "y")
        unmaps.set_title("the unmap")
        unmaps.set_ylabel("mean, µs")
        unmaps.legend(loc="upper left")
        reads.set_title("reads of 32 other pages")
        reads.set_ylabel("mean, ns")
        reads.set_ylim(0, 250)


def tables(found: Found) -> str:
    """What an unmap takes, its commands, and what it makes the device miss."""
    rows = []
    for pages in found.values("pages"):
        row = [pages]
        for s in WAYS:
            at = {"s": s, "pages": pages}
            row += [
                f"{found.mean(UNMAP, **at).value / 1000:,.0f}",
                f"{found.mean('iommu0.commands.total', **at).value / UNMAPS:.0f}",
                f"{found.mean('iommu0.iotlb.misses', **at).value / UNMAPS:.0f}",
                said(found.mean(READ, **at), 1e-3, 2),
            ]
        rows.append(row)
    whats = ("unmap, ns", "commands", "misses after it", "read, ns")
    return table(["pages", *(f"{way}: {what}" for way in ("each", "S") for what in whats)], rows)
