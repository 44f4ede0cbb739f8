"""What strict unmaps, lazy ones and passthrough cost."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, said, table

AXES = {
    "threads.*.domain": "domain",
    "threads.*.mode": "mode",
    "threads.[123].start": "second",
    "threads.[4567].start": "last",
}
WAYS = {
    "strict": {"domain": "rx", "mode": "strict"},
    "lazy": {"domain": "rx", "mode": "lazy"},
    "passthrough": {"domain": "identity", "mode": "strict"},
}
CPUS = {"1 s": 1, "0": 4, "0 ns": 8}
"""By when the second thread begins."""
MAP, UNMAP, READ = "cpu0.map-unmap.map.mean_ps", "cpu0.map-unmap.unmap.mean_ps", "nic0.read.mean_ps"


def rate(found: Found, way: str, second: str) -> float:
    """Million pairs of map and unmap in a second, of all CPUs."""
    at = {**WAYS[way], "second": second}
    return sum(found.mean(f"cpu{cpu}.map-unmap.unmap.per_s", **at).value for cpu in range(CPUS[second])) / 1e6


def check(found: Found) -> None:
    """What the conclusion says."""
    one, eight = ({way: rate(found, way, second) for way in WAYS} for second in ("1 s", "0 ns"))
    assert 3.5 < one["lazy"] / one["strict"] < 4
    assert 7 < eight["lazy"] / eight["strict"] < 8
    assert 2.2 < one["passthrough"] / one["lazy"] < 2.5
    assert eight["strict"] < 4.2 * one["strict"]
    for second in ("1 s", "0"):
        lazy, strict = (found.mean(READ, **WAYS[way], second=second) for way in ("lazy", "strict"))
        assert lazy.value - lazy.half > strict.value + strict.half


def draw(found: Found, folder: Path) -> None:
    """The rate of all CPUs together, and what the NIC's reads take."""
    with figure.panels(folder / "modes.svg", 2) as (rates, reads):
        for at, way in enumerate(WAYS):
            figure.line(rates, [(float(cpus), rate(found, way, second), 0.0) for second, cpus in CPUS.items()], way, at)
            figure.line(reads, found.curve(READ, "second", lambda text: CPUS[text], 1e-3, **WAYS[way]), way, at)
        for axes in (rates, reads):
            figure.doubling(axes, [1, 4, 8])
            axes.set_xlabel("CPUs that map and unmap")
        figure.decades(rates, "y")
        rates.set_ylim(0.5, 100)
        rates.set_title("all CPUs together")
        reads.set_title("the NIC, beside them")
        rates.set_ylabel("maps and unmaps, million pairs a second")
        reads.set_ylabel("mean of the NIC's reads, ns")
        reads.set_ylim(bottom=0)
        rates.legend(loc="best")


def tables(found: Found) -> str:
    """What a pair takes, and what of it is waited for."""
    rows = []
    for second, cpus in CPUS.items():
        for way, at in WAYS.items():
            here = {**at, "second": second}
            rows.append(
                [
                    f"{cpus}",
                    way,
                    f"{rate(found, way, second):.2f}",
                    said(found.mean(MAP, **here), 1e-3, 0),
                    said(found.mean(UNMAP, **here), 1e-3, 0),
                    said(found.mean(READ, **here), 1e-3, 1),
                    said(found.mean("nic0.read.p99_ps", **here), 1e-3, 0),
                    f"{found.mean('iommu0.commands.utilisation', **here).value:.0%}",
                ]
            )
    return table(
        ["CPUs", "unmaps", "pairs, M/s", "map, ns", "unmap, ns", "read, ns", "read p99, ns", "consumer busy"], rows
    )
