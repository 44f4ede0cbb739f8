"""The distribution of a latency, drawn as columns."""

from __future__ import annotations

import math
from html import escape

from cosim.study.html.bars import time
from cosim.study.run.latency import Latency

WIDTH, HEIGHT, BELOW = 320, 110, 18
COLUMNS = 48
WIDE = 4
"""From a largest latency of so many times the smallest on, the axis is logarithmic."""


def histogram(name: str, latency: Latency) -> str:
    """A figure: how many requests took how long, with p50 and p99 marked."""
    least, most = min(latency.distribution), latency.max_ps
    logarithmic = most >= WIDE * max(1, least)
    low, high = (math.log(max(1, least)), math.log(max(2, most))) if logarithmic else (float(least), float(most))
    if high <= low:
        high = low + 1

    def at(ps: float) -> float:
        value = math.log(max(1.0, ps)) if logarithmic else ps
        return min(1.0, max(0.0, (value - low) / (high - low)))

    counts = [0] * COLUMNS
    for ps, count in latency.distribution.items():
        counts[min(COLUMNS - 1, int(at(ps) * COLUMNS))] += count
    tallest, wide = max(counts), WIDTH / COLUMNS
    columns = "".join(
        f'<rect class="column" x="{index * wide:.1f}" width="{wide - 0.6:.1f}" y="{HEIGHT - height:.1f}" '
        f'height="{height:.1f}"><title>{count:,}</title></rect>'
        for index, count in enumerate(counts)
        if count and (height := max(1.0, (HEIGHT - 8) * count / tallest))
    )
    marks = "".join(
        f'<path class="{kind}" d="M{at(ps) * WIDTH:.1f} 0V{HEIGHT}"><title>{label} {time(ps)}</title></path>'
        for label, ps, kind in (("p50", latency.p50_ps, "mark"), ("p99", latency.p99_ps, "mark99"))
    )
    axis = f'<path class="axis" d="M0 {HEIGHT}H{WIDTH}"/><text x="0" y="{HEIGHT + 13}">{time(least)}</text>'
    middle = math.exp((low + high) / 2) if logarithmic else (low + high) / 2
    axis += f'<text x="{WIDTH // 2}" y="{HEIGHT + 13}" text-anchor="middle">{time(middle)}</text>'
    axis += f'<text x="{WIDTH}" y="{HEIGHT + 13}" text-anchor="end">{time(most)}</text>'
    scale = ", logarithmic" if logarithmic else ""
    said = f"{latency.count:,} of {name}: p50 {time(latency.p50_ps)}, p99 {time(latency.p99_ps)}{scale}"
    view = f'class="c" viewBox="0 0 {WIDTH} {HEIGHT + BELOW}" role="img" aria-label="{escape(said, quote=True)}"'
    return f"<figure><figcaption>{escape(said)}</figcaption><svg {view}>{columns}{marks}{axis}</svg></figure>"
