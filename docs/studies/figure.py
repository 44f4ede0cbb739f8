"""The figures of studies: small SVG files, which are equal whenever the numbers are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from cosim.study.pictures.plots import PLAIN

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito's: they are told apart by whoever sees colours otherwise, and on paper by their markers."""
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE: Any = {
    **PLAIN,
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "savefig.facecolor": "white",
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
}


@contextmanager
def panels(file: Path, count: int = 1, *, wide: float = 7.0, tall: float = 2.9, **kind: Any) -> Iterator[Any]:
    """So many axes side by side, which are then written to `file`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(wide, tall), layout="constrained")
        axes = figure.subplots(1, count, squeeze=False, **kind)[0]
        yield axes
        figure.savefig(file, metadata={"Date": None, "Creator": None})
    text = re.sub(r"[ \t]+$", "", file.read_text(encoding="utf-8"), flags=re.M)
    file.write_text(text, encoding="utf-8")


def line(
    axes: Any, points: Sequence[tuple[float, float, float]], label: str, place: int, *, dashed: bool = False
) -> None:
    """A curve with its band."""
    xs, ys, halves = zip(*points, strict=True)
    colour = COLOURS[place % len(COLOURS)]
    axes.plot(xs, ys, f"{MARKERS[place % len(MARKERS)]}{'--' if dashed else '-'}", color=colour, label=label)
    low = [y - half for y, half in zip(ys, halves, strict=True)]
    high = [y + half for y, half in zip(ys, halves, strict=True)]
    axes.fill_between(xs, low, high, color=colour, alpha=0.2, linewidth=0)


def decades(axes: Any, which: str) -> None:
    """A logarithmic axis whose numbers are written out."""
    axes.set(**{f"{which}scale": "log"})
    ticks = getattr(axes, f"{which}axis")
    ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ticks.set_minor_locator(NullLocator())


def doubling(axes: Any, values: Sequence[float], labels: Sequence[str] = ()) -> None:
    """An axis of which each value is twice the one before."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(labels or [f"{value:g}" for value in values])
