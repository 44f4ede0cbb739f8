"""The same pictures for a paper, as PNG and SVG: drawn by matplotlib, which is an extra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from cosim.study.html.colours import COLOURS
from cosim.study.pictures.of_sweep import pictures_of
from cosim.study.pictures.shapes import Curves, Heat
from cosim.study.report.rounding import unit_for
from cosim.study.results.estimate import chosen
from cosim.study.results.points import points_of
from cosim.study.results.results import Results, SweepRow
from cosim.study.run.latency import Latency
from cosim.study.run.result import Result
from cosim.study.run.uses import is_access

WIDE, TALL = 5.0, 3.2
"""Inches: a column of a paper."""
DPI = 200
PLAIN: Any = {
    "svg.hashsalt": "cosim",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Equal pictures are equal files, and text stays text."""


def plots_of_run(result: Result, folder: Path) -> list[Path]:
    """What latencies are made of, and how they are distributed, of requests and of calls; the files. Raises OSError."""
    files = []
    for kind, wanted in (("requests", True), ("calls", False)):
        found = {name: latency for name, latency in result.latencies.items() if is_access(name) == wanted}
        found = {name: latency for name, latency in found.items() if latency.count}
        if found:
            files += _breakdown(found, folder, f"{kind}-made-of")
            files += _distributions(found, folder, f"{kind}-distribution")
    return files


def plots_of_sweep(results: Results, sweep: SweepRow, metrics: Sequence[str], folder: Path) -> list[Path]:
    """Each picture of each number of a sweep; the files. Raises OSError."""
    points = points_of(results, sweep, metrics or sweep.metrics)
    names = chosen(dict.fromkeys(name for point in points for name in point.means), metrics or sweep.metrics)
    files = []
    for name in names:
        for index, picture in enumerate(pictures_of(name, sweep, points)):
            stem = _stem(f"{name}-{index}" if index else name)
            files += _curves(picture, folder, stem) if isinstance(picture, Curves) else _heat(picture, folder, stem)
    return files


@contextmanager
def _drawn(files: list[Path], folder: Path, stem: str, tall: float = TALL) -> Iterator[Any]:
    """Axes to draw on, which are then written as PNG and as SVG."""
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(WIDE, tall), layout="constrained")
        yield figure.add_subplot()
        for suffix, metadata in (("png", {"Software": "cosim"}), ("svg", {"Date": None})):
            path = folder / f"{stem}.{suffix}"
            figure.savefig(path, dpi=DPI, metadata=metadata)
            files.append(path)


def _breakdown(latencies: Mapping[str, Latency], folder: Path, stem: str) -> list[Path]:
    files: list[Path] = []
    names = sorted(latencies, key=lambda name: -latencies[name].mean_ps)
    with _drawn(files, folder, stem, 1 + 0.3 * len(names)) as axes:
        seen: set[str] = set()
        for row, name in enumerate(names):
            left = 0.0
            for part, ps in sorted(latencies[name].parts.items(), key=lambda each: -each[1]):
                label = None if part in seen else part
                axes.barh(row, ps / 1000, left=left / 1000, color=COLOURS[part], label=label)
                seen.add(part)
                left += ps
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("mean, ns")
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return files


def _distributions(latencies: Mapping[str, Latency], folder: Path, stem: str) -> list[Path]:
    """The share of requests that took as long or longer, over the time that they took; a dot at the slowest.

    Up to each latency the share is that of those who took it or longer, and behind the slowest there is nothing.
    """
    files: list[Path] = []
    unit = unit_for([latency.max_ps for latency in latencies.values()])
    with _drawn(files, folder, stem) as axes:
        for name, latency in latencies.items():
            shares = latency.shares()
            times = [ps / 1000 for ps in shares]
            axes.step(times, list(shares.values()), ".-", where="pre", label=name, markevery=[-1])
        axes.set_yscale("log")
        if unit is None or max(latency.max_ps for latency in latencies.values()) > 20 * min(
            latency.p50_ps or 1 for latency in latencies.values()
        ):
            axes.set_xscale("log")
        axes.set_xlabel("latency, ns")
        axes.set_ylabel("share that took as long or longer")
        axes.legend(fontsize=7)
    return files


def _curves(picture: Curves, folder: Path, stem: str) -> list[Path]:
    files: list[Path] = []
    with _drawn(files, folder, stem) as axes:
        for name, curve in picture.curves.items():
            xs, ys = zip(*curve.points, strict=True)
            alone = curve.alone if len(xs) - curve.alone > 1 else len(xs)
            apart, joined = slice(alone), slice(alone, None)
            (dots,) = axes.plot(xs, ys, "o", markersize=3, label=name)
            colour = dots.get_color()
            axes.plot(xs[joined], ys[joined], "-", color=colour)
            if curve.band:
                low, high = zip(*curve.band, strict=True)
                axes.fill_between(xs[joined], low[joined], high[joined], alpha=0.25, color=colour, linewidth=0)
                axes.vlines(xs[apart], low[apart], high[apart], alpha=0.25, color=colour, linewidth=4)
        if picture.ticks:
            axes.set_xticks([at for at, _ in picture.ticks], [said for _, said in picture.ticks])
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.set_xlabel(picture.across)
        axes.set_ylabel(picture.title)
        if len(picture.curves) > 1:
            axes.legend(fontsize=7)
    return files


def _heat(picture: Heat, folder: Path, stem: str) -> list[Path]:
    files: list[Path] = []
    (across, right), (down, below) = picture.across, picture.down
    with _drawn(files, folder, stem) as axes:
        rows = [[picture.values.get((x, y), float("nan")) for x in right] for y in below]
        image = axes.imshow(rows, aspect="auto", cmap="viridis")
        axes.grid(visible=False)
        axes.set_xticks(range(len(right)), right)
        axes.set_yticks(range(len(below)), below)
        axes.set_xlabel(across)
        axes.set_ylabel(down)
        axes.figure.colorbar(image, label=picture.title)
    return files


def _stem(name: str) -> str:
    """A name as that of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
