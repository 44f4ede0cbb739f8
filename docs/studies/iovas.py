"""What scattered IOVAs cost a packet."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, table

AXES = {"iova.align": "align", "iommu0.capabilities.nl": "nl"}
APART_KIB = {"4 KiB": 4, "64 KiB": 64, "256 KiB": 256, "2 MiB": 2048}
PARTS = ("walk", "link", "memory", "iotlb")
WRITE = "nic0.write.mean_ps"
READ_NS = 80
"""A read of a table."""


def ns(found: Found, metric: str, **at: str) -> float:
    """A mean time of one point."""
    return found.mean(metric, **at).value / 1e3


def reads(found: Found, **at: str) -> float:
    """How many tables a walk reads on average."""
    return found.mean("iommu0.walk_reads", **at).value / found.mean("iommu0.walks", **at).value


def check(found: Found) -> None:
    """What the conclusion says."""
    near, far = ns(found, WRITE, align="4 KiB", nl="false"), ns(found, WRITE, align="2 MiB", nl="false")
    assert ns(found, WRITE, align="64 KiB", nl="false") == near
    assert ns(found, WRITE, align="256 KiB", nl="false") < 1.02 * near
    assert READ_NS < far - near < 1.4 * READ_NS, (near, far)
    assert reads(found, align="4 KiB", nl="false") < 1.05
    assert reads(found, align="2 MiB", nl="false") > 1.9
    for align in APART_KIB:
        assert ns(found, WRITE, align=align, nl="true") == ns(found, WRITE, align=align, nl="false"), align


def draw(found: Found, folder: Path) -> None:
    """What a write takes, and what its walk does, by how far apart buffers are."""
    with figure.panels(folder / "iovas.svg", wide=5.4) as (axes,):
        for at, (metric, label) in enumerate(((WRITE, "a packet's write"), ("nic0.write.parts.walk", "its walk"))):
            points = found.curve(metric, "align", APART_KIB.__getitem__, 1e-3, nl="false")
            figure.line(axes, points, label, at)
        figure.doubling(axes, list(APART_KIB.values()), list(APART_KIB))
        axes.set_xlabel("buffers are apart, at least")
        axes.set_ylabel("ns")
        axes.set_ylim(bottom=0)
        axes.legend(loc="center left")


def tables(found: Found) -> str:
    """What a write consists of."""
    rows = []
    for align in APART_KIB:
        for nl, name in (("false", "no"), ("true", "yes")):
            at = {"align": align, "nl": nl}
            parts = [f"{ns(found, f'nic0.write.parts.{part}', **at):.0f}" for part in PARTS]
            rows.append([align, name, f"{ns(found, WRITE, **at):.1f}", *parts, f"{reads(found, **at):.2f}"])
    return table(["apart", "NL", "write, ns", *(f"{part}, ns" for part in PARTS), "reads of a walk"], rows)
