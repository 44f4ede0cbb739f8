"""When a fence times out, by the length of the queue and what a command takes."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, table

AXES = {"driver": "driver", "iommu0.geometry.cq_log2": "log2", "iommu0.timing.invalidate_entry": "cost"}
DRIVERS = {"v2": "v2", "merged": "merged: Linux 6.13", "latest": "latest: Linux 7.2"}
COSTS_US = {"10 us": 10.0, "100 us": 100.0, "1 ms": 1e3, "10 ms": 1e4}
LIMITS_MS = {"v2": 150, "merged": 90_000}
COMMANDS = 786
"""All that are to be executed: 12 unmaps of 64 pages, 3 of one, and a fence for each."""
AHEAD = 262
"""So many are under way at most, four unmaps and what is around them: a longer queue is never full."""
CPUS = range(5)


def longest_ms(found: Found, **at: str) -> float:
    """The longest wait for a fence, of all CPUs."""
    return max(found.mean(f"cpu{cpu}.map-unmap.cmd_sync.max_ps", **at).value for cpu in CPUS) / 1e9


def lost(found: Found, **at: str) -> int:
    """How many commands were not executed before all threads had given up waiting."""
    return round(COMMANDS - found.mean("iommu0.commands.total", **at).value)


def check(found: Found) -> None:
    """What the conclusion says."""
    for log2 in found.values("log2"):
        for cost, us in COSTS_US.items():
            at = {"log2": log2, "cost": cost}
            full = 2 ** int(log2) < AHEAD
            behind = min(2 ** int(log2), AHEAD) * us / 1e3
            assert not lost(found, driver="latest", **at)
            assert 0.8 * behind < longest_ms(found, driver="latest", **at) < 1.35 * behind, at
            for driver, limit_ms in LIMITS_MS.items():
                out = longest_ms(found, driver=driver, **at) >= limit_ms
                assert out == (full or behind > limit_ms), (driver, at)
                assert bool(lost(found, driver=driver, **at)) == out, (driver, at)


def draw(found: Found, folder: Path) -> None:
    """The longest wait for a fence, by what a command takes; a panel for each driver."""
    with figure.panels(folder / "timeouts.svg", 3, sharey=True, wide=7.4, tall=3.0) as panels:
        for axes, (driver, title) in zip(panels, DRIVERS.items(), strict=True):
            for limit_ms in LIMITS_MS.values():
                axes.axhline(limit_ms, color="0.45", linestyle=":", linewidth=1)
            for at, log2 in enumerate(found.values("log2")):
                points = [
                    (us, longest_ms(found, driver=driver, log2=log2, cost=cost), 0.0) for cost, us in COSTS_US.items()
                ]
                figure.line(axes, points, f"{2 ** int(log2)} entries", at)
            if driver in LIMITS_MS:
                above = (330, LIMITS_MS[driver])
                axes.annotate(
                    "timed out: 32 to 256 entries", above, (0, 5), textcoords="offset points", ha="center", fontsize=7
                )
            axes.set_title(title)
            axes.set_xlabel("time that a command takes")
            figure.decades(axes, "x")
            axes.set_xticks(list(COSTS_US.values()), [cost.replace("us", "µs") for cost in COSTS_US])
            axes.set_xlim(6, 17_000)
            figure.decades(axes, "y")
            axes.set_yticks([1, 10, 100, 1e3, 1e4, 1e5], ["1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"])
            axes.set_ylim(0.2, 4e5)
        panels[0].set_ylabel("longest wait for a fence")
        panels[2].legend(loc="center left", bbox_to_anchor=(1, 0.5))


def tables(found: Found) -> str:
    """The longest wait for a fence, and how many commands were left."""
    rows = []
    for driver in DRIVERS:
        for log2 in found.values("log2"):
            row = [f"`{driver}`", f"{2 ** int(log2)}"]
            for cost in COSTS_US:
                at = {"driver": driver, "log2": log2, "cost": cost}
                gone = lost(found, **at)
                row.append(f"{longest_ms(found, **at):,.1f}" + (f", {gone} left" if gone else ""))
            rows.append(row)
    return table(["driver", "queue", *(f"{cost}: longest wait, ms" for cost in COSTS_US)], rows)
