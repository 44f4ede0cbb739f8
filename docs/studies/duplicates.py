"""What it costs to invalidate once for each device of a domain."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, table

AXES = {"driver": "driver", "vf.count": "devices"}
UNMAP, OTHER = "cpu0.map-unmap.unmap.mean_ps", "cpu1.map-unmap.unmap.mean_ps"
WINDOW_S = 1e-3
DRIVERS = {"v2": "v2: once for each device", "merged": "merged: once for each IOMMU"}


def check(found: Found) -> None:
    """What the conclusion says."""
    slope = (_unmap(found, "v2", 64) - _unmap(found, "v2", 1)) / 63
    assert 600 < slope < 740, slope
    assert 17 < (_unmap(found, "merged", 64) - _unmap(found, "merged", 1)) / 63 < 23
    assert 18 < _unmap(found, "v2", 64) / _unmap(found, "merged", 64) < 22
    others = [found.mean(OTHER, driver="v2", devices=n).value / 1000 for n in found.values("devices")]
    assert 350 < max(others) - min(others) < 500


def draw(found: Found, folder: Path) -> None:
    """The unmap, and that of another domain."""
    with figure.panels(folder / "duplicates.svg", 2) as (mine, other):
        for at, (driver, label) in enumerate(DRIVERS.items()):
            for axes, metric in ((mine, UNMAP), (other, OTHER)):
                figure.line(axes, found.curve(metric, "devices", float, 1e-6, driver=driver), label, at)
        for axes in (mine, other):
            figure.doubling(axes, [float(count) for count in found.values("devices")])
            axes.set_xlabel("devices in the domain")
        figure.decades(mine, "y")
        mine.set_title("unmap of a page in the shared domain")
        other.set_title("unmap of a page in another domain")
        mine.set_ylabel("mean, µs")
        other.set_ylim(0, 2)
        mine.legend(loc="upper left")


def tables(found: Found) -> str:
    """What an unmap takes, and its commands."""
    rows = []
    for devices in found.values("devices"):
        row = [devices]
        for driver in DRIVERS:
            at = {"driver": driver, "devices": devices}
            calls, others = (found.mean(f"cpu{cpu}.map-unmap.unmap.per_s", **at).value * WINDOW_S for cpu in (0, 1))
            sent = found.mean("driver.commands_sent", **at).value
            row += [f"{_unmap(found, driver, int(devices)):,.0f}", f"{(sent - 2 * others) / calls:.0f}"]
            row += [f"{found.mean('iommu0.commands.utilisation', **at).value:.0%}"]
        rows.append(row)
    heads = [
        f"`{driver}`: {what}" for driver in DRIVERS for what in ("unmap, ns", "commands an unmap", "consumer busy")
    ]
    return table(["devices", *heads], rows)


def _unmap(found: Found, driver: str, devices: int) -> float:
    return found.mean(UNMAP, driver=driver, devices=str(devices)).value / 1000
