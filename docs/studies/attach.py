"""What an attach takes while another device's DMA runs."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, table

AXES = {"nic0.traffic.outstanding": "reads", "iommu0.geometry.walkers": "walkers", "driver": "driver"}
DRIVERS = {"merged": "merged: Linux 6.13", "latest": "latest: Linux 7.2"}
ATTACH, FENCE, READ = (
    "cpu0.attach-detach.attach.mean_ps",
    "cpu0.attach-detach.attach.parts.fence",
    "nic0.read.mean_ps",
)


def us(found: Found, metric: str, **at: str) -> float:
    """A mean time of one point."""
    return found.mean(metric, **at).value / 1e6


def check(found: Found) -> None:
    """What the conclusion says."""
    for walkers in found.values("walkers"):
        times = {
            driver: [us(found, ATTACH, driver=driver, reads=n, walkers=walkers) for n in ["1", "4", "16"]]
            for driver in DRIVERS
        }
        assert max(times["latest"]) - min(times["latest"]) < 0.001, times
        assert 2.7 < times["merged"][0] < 2.9, times
        assert 0.02 < times["merged"][2] / times["merged"][0] - 1 < 0.06, times
        assert 3.9 < times["latest"][0] < 4.0, times
        for reads in found.values("reads"):
            either = [us(found, READ, driver=driver, reads=reads, walkers=walkers) for driver in DRIVERS]
            assert abs(either[0] / either[1] - 1) < 0.001, either
    assert us(found, READ, driver="latest", reads="16", walkers="1") > 1.1


def draw(found: Found, folder: Path) -> None:
    """What an attach takes by how many reads the NIC has under way."""
    with figure.panels(folder / "attach.svg", wide=5.4) as (axes,):
        for at, (driver, label) in enumerate(DRIVERS.items()):
            for metric, what in ((ATTACH, label), (FENCE, "  of which in fences")):
                points = found.curve(metric, "reads", float, 1e-6, driver=driver, walkers="1")
                figure.line(axes, points, what, at, dashed=metric == FENCE)
        figure.doubling(axes, [1, 4, 16])
        axes.set_xlabel("reads that the NIC has under way")
        axes.set_ylabel("attach, µs")
        axes.set_ylim(0, 4.6)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def tables(found: Found) -> str:
    """An attach, what its fences take of it, and the NIC's reads meanwhile."""
    rows = []
    for at, _ in found.points:
        numbers = [f"{us(found, metric, **at):.2f}" for metric in (ATTACH, FENCE, READ)]
        rows.append([f"`{at['driver']}`", at["walkers"], at["reads"], *numbers])
    heads = ["walkers", "reads under way", "attach, µs", "of which fences", "the NIC's read, µs"]
    return table(["driver", *heads], sorted(rows, key=lambda row: (row[0], int(row[1]), int(row[2]))))
