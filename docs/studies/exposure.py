"""How long a device reaches what was unmapped lazily."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import figure
from found import Found, said, table

AXES = {
    "threads.0.gap": "gap",
    "run.until": "until",
    "iova.flush_entries": "entries",
    "iova.flush_timeout": "timeout",
}
GAPS = {"100 us": "10,000 unmaps a second", "10 us": "84,000 unmaps a second"}
TIMEOUTS_MS = {"1 ms": 1, "10 ms": 10, "50 ms": 50}
TICK_MS = 4
"""The kernel's clock has 250 ticks a second."""
LONGEST, MEAN = "nic0.exposed.max_ps", "nic0.exposed.mean_ps"
UNMAP, RATE = "cpu0.map-unmap.unmap.mean_ps", "cpu0.map-unmap.unmap.per_s"


def ms(found: Found, metric: str, **at: str) -> float:
    """A time of one point."""
    return found.mean(metric, **at).value / 1e9


def full_ms(found: Found, **at: str) -> float:
    """How long it takes until the queue is full: one of its entries is never used."""
    return (int(at["entries"]) - 1) / found.mean(RATE, **at).value * 1e3


def timer_ms(at: dict[str, str]) -> float:
    """How long the timer takes: whole ticks, and the one that is under way."""
    return (ceil(TIMEOUTS_MS[at["timeout"]] / TICK_MS) + 1) * TICK_MS


def check(found: Found) -> None:
    """What the conclusion says: whichever comes first, the full queue or the timer; and half of that on average."""
    for settings, _ in found.points:
        at = {name: settings[name] for name in ("gap", "entries", "timeout")}
        longest = ms(found, LONGEST, **at)
        bound = min(full_ms(found, **at), timer_ms(at))
        assert 0.95 * bound < longest < 1.05 * bound, (at, longest, bound)
        assert 0.42 < ms(found, MEAN, **at) / longest < 0.58, at
    default = {"gap": "100 us", "entries": "256", "timeout": "10 ms"}
    short = {"gap": "100 us", "entries": "16", "timeout": "10 ms"}
    assert 15 < ms(found, LONGEST, **default) < 17
    assert 1.7 < found.mean(UNMAP, **short).value / found.mean(UNMAP, **default).value < 2.1


def draw(found: Found, folder: Path) -> None:
    """The longest exposure and the mean, by the timer; a panel for each rate of unmaps."""
    with figure.panels(folder / "exposure.svg", 2, sharey=True, wide=7.2, tall=3.1) as panels:
        for axes, (gap, title) in zip(panels, GAPS.items(), strict=True):
            for at, entries in enumerate(found.values("entries")):
                for metric, label in ((LONGEST, "longest"), (MEAN, "mean")):
                    points = [
                        (number, ms(found, metric, gap=gap, entries=entries, timeout=timeout), 0.0)
                        for timeout, number in TIMEOUTS_MS.items()
                    ]
                    figure.line(axes, points, f"{entries} entries, {label}", at, dashed=metric == MEAN)
            axes.set_title(title)
            figure.decades(axes, "x")
            figure.decades(axes, "y")
            axes.set_xticks(list(TIMEOUTS_MS.values()))
            axes.set_xlabel("flush_timeout, ms")
        panels[0].set_ylabel("reached after the unmap, ms")
        panels[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))


def tables(found: Found) -> str:
    """What bounds it, what was measured, and what an unmap costs."""
    rows = []
    for settings, _ in found.points:
        at = {name: settings[name] for name in ("gap", "entries", "timeout")}
        rows.append(
            [
                f"{found.mean(RATE, **at).value:,.0f}",
                at["entries"],
                at["timeout"],
                f"{full_ms(found, **at):.2f}",
                f"{timer_ms(at)}",
                f"{ms(found, LONGEST, **at):.2f}",
                f"{ms(found, MEAN, **at):.2f}",
                said(found.mean(UNMAP, **at), 1e-3, 0),
            ]
        )
    heads = ["entries", "flush_timeout", "full after, ms", "timer, ms", "longest, ms", "mean, ms", "unmap, ns"]
    return table(["unmaps/s", *heads], rows)
