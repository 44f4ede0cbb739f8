"""Bars: what each mean latency is made of, how busy each resource was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from cosim.study.html.colours import COLOURS
from cosim.study.report.rounding import own_unit
from cosim.study.run.latency import Latency
from cosim.study.run.uses import percent


def time(ps: int | float) -> str:
    """A time in its own unit, with three digits."""
    if round(ps) == 0:
        return "0 ns"
    unit = own_unit(round(ps))
    return f"{unit.show(round(ps))} {unit.name}"


def breakdown(latencies: Mapping[str, Latency]) -> str:
    """A bar of parts for each latency, as long as its mean is beside the longest, and one of what is slow of it."""
    longest = max(max(latency.mean_ps, sum(latency.tail.values())) for latency in latencies.values())
    rows = []
    for name, latency in latencies.items():
        rows.append(_row(name, latency.mean_ps, latency.parts, longest))
        if latency.tail and latency.max_ps > 1.2 * latency.mean_ps:
            rows.append(_row("from p99 on", sum(latency.tail.values()), latency.tail, longest, faint=True))
    return f'<div class="bars">{"".join(rows)}</div>'


def _row(name: str, ps: int, parts: Mapping[str, int], longest: int, *, faint: bool = False) -> str:
    pieces = [
        f'<i style="width:{100 * part_ps / longest:.3f}%;background:{COLOURS[part]}" '
        f'title="{escape(part)} {time(part_ps)}, {percent(part_ps / ps)}"></i>'
        for part, part_ps in sorted(parts.items(), key=lambda each: -each[1])
    ]
    said = "; ".join(
        f"{part} {percent(part_ps / ps)}" for part, part_ps in sorted(parts.items(), key=lambda each: -each[1])[:4]
    )
    who = f'<span class="who{" faint" if faint else ""}">{escape(name)}</span>'
    bar = f'<div class="bar" role="img" aria-label="{escape(said)}">{"".join(pieces)}</div>'
    return f'{who}<span class="n">{time(ps)}</span>{bar}'


def fractions(found: Iterable[tuple[str, float]]) -> str:
    """A bar for each name and fraction of 1."""
    rows = [
        f'<span class="who">{escape(name)}</span><span class="n">{percent(fraction)}</span>'
        f'<div class="bar"><i style="width:{100 * min(1.0, fraction):.1f}%;background:var(--mark)"></i></div>'
        for name, fraction in found
    ]
    return f'<div class="bars">{"".join(rows)}</div>'
