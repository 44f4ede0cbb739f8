"""The report of a sweep as a page, from its results file alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from itertools import product
from math import isfinite, prod

from cosim.study.html.chart import Curve, chart
from cosim.study.html.heat_map import heat_map
from cosim.study.html.page import folded, page, table
from cosim.study.html.sweep_points import points_of
from cosim.study.report.sweep_table import factor_of, heading, spelled
from cosim.study.results.estimate import Estimate, Mean, chosen
from cosim.study.results.results import Results, SweepRow
from cosim.units.quantities import parse_count, parse_size, parse_time

CURVES = 8
"""So many curves can be told apart in one picture."""
ROWS = 2000
"""So many points are in the table; --csv has all."""
FIGURES = 30
METRICS = 12
SPARSE = 2
"""If fewer points are there than the axes' values make by this factor, they were drawn, and each is a dot."""
NAMED = 8
"""So many values of an axis are named above everything."""


def sweep_page(results: Results, sweep: SweepRow, metrics: Sequence[str]) -> str:
    """The last state of `sweep`: a picture of each of `metrics` over the axes, its table, and what reproduces it."""
    points = points_of(results, sweep, metrics or sweep.metrics)
    return page(f"{sweep.topology}, swept", _body(sweep, points))


def _body(sweep: SweepRow, points: Sequence[Estimate]) -> Iterator[str]:
    done = sum(point.replications for point in points)
    failed = sum(point.failed for point in points)
    yield f"<h1>{escape(sweep.topology)}, swept</h1>"
    axes = "; ".join(f"{path} over {_named(values)}" for path, values in sweep.axes.items())
    yield f'<p class="lead">{escape(axes)}</p>'
    planned = prod(len(values) for values in sweep.axes.values())
    bad = " bad" if failed else ""
    yield f'<div class="verdict{bad}">{len(points):,} points of {planned:,}, {done:,} runs, {failed:,} failed</div>'
    names = chosen(dict.fromkeys(name for point in points for name in point.means), sweep.metrics)
    names = names or list(dict.fromkeys(name for point in points for name in point.means))
    for name in names[:METRICS]:
        yield f"<h2>{escape(heading(name))}</h2>"
        yield from _pictures(name, sweep, points)
    if names:
        yield "<h2>Every point</h2>"
        yield _table(sweep, points, names)
    if failed:
        rows = [[_settings(point), point.reason or "failed"] for point in points if point.failed]
        yield f"<h2>What failed</h2>{table(('point', 'why'), rows[:ROWS], 2)}"
    yield f"<h2>To get the same again</h2><p><code>{escape(sweep.command)}</code></p>"
    yield f"<p>model <code>{escape(sweep.model)}</code>, begun {escape(sweep.began)} UTC.</p>"
    yield folded("the topology without the axes, which runs by itself", f"<pre>{escape(sweep.base)}</pre>")


# --- Pictures --------------------------------------------------------------------------------------------------------


def _pictures(name: str, sweep: SweepRow, points: Sequence[Estimate]) -> Iterator[str]:
    """Curves over the longest axis, one for each setting of the others if they are few; heat maps over two axes."""
    found = {_key(point, sweep): point.means[name] for point in points if name in point.means}
    axes = {path: _present(path, points) for path in sweep.axes}
    axes = {path: values for path, values in axes.items() if len(values) > 1}
    if not axes or not found:
        return
    if len(found) * SPARSE < prod(len(values) for values in axes.values()):
        yield f'<div class="pictures">{"".join(_dots(name, sweep, found, path) for path in axes)}</div>'
        return
    longest = max(axes, key=lambda path: len(axes[path]))
    others = [path for path in axes if path != longest]
    figures = []
    combinations = list(product(*(axes[path] for path in others)))
    if len(combinations) <= CURVES:
        curves = {}
        for settings in combinations:
            fixed = dict(zip(others, settings, strict=True))
            curve = _curve(name, sweep, found, longest, axes[longest], fixed)
            if curve.points:
                curves[", ".join(f"{_short(path)} {value}" for path, value in fixed.items()) or heading(name)] = curve
        ticks = [(float(at), value) for at, value in enumerate(axes[longest])]
        figures.append(chart(heading(name), curves, across=longest, ticks=ticks[:: 1 + len(ticks) // 10]))
    if others:
        second = max(others, key=lambda path: len(axes[path]))
        rest = [path for path in others if path != second]
        for settings in list(product(*(axes[path] for path in rest)))[:FIGURES]:
            fixed = dict(zip(rest, settings, strict=True))
            figures.append(_heat(name, sweep, found, (longest, axes[longest]), (second, axes[second]), fixed))
    yield f'<div class="pictures">{"".join(figures)}</div>'


def _curve(
    name: str,
    sweep: SweepRow,
    found: dict[tuple[str, ...], Mean],
    path: str,
    values: Sequence[str],
    fixed: dict[str, str],
) -> Curve:
    factor = factor_of(name)
    points, band = [], []
    for at, value in enumerate(values):
        mean = found.get(tuple((fixed | {path: value}).get(axis, "") for axis in sweep.axes))
        if mean is None:
            mean = next((each for key, each in found.items() if _matches(key, sweep, fixed | {path: value})), None)
        if mean is not None:
            half = mean.half if isfinite(mean.half) else 0.0
            points.append((float(at), mean.value * factor))
            band.append(((mean.value - half) * factor, (mean.value + half) * factor))
    return Curve(points, band if len(points) > 1 else ())


def _dots(name: str, sweep: SweepRow, found: dict[tuple[str, ...], Mean], path: str) -> str:
    """A dot for each point over one axis: of points that were drawn, no two share the settings of the others."""
    place, factor = list(sweep.axes).index(path), factor_of(name)
    points = [(at, mean.value * factor) for key, mean in found.items() if (at := _magnitude(key[place])) is not None]
    if not points:
        return ""
    return chart(heading(name), {heading(name): Curve(points, line=False)}, across=path)


def _magnitude(text: str) -> float | None:
    """A value of an axis as a number, in the smallest unit of its kind; None if it is none."""
    for parse in (parse_count, parse_time, parse_size):
        with suppress(ValueError):
            return float(parse(text))
    with suppress(ValueError):
        return float(text)
    return None


def _heat(
    name: str,
    sweep: SweepRow,
    found: dict[tuple[str, ...], Mean],
    across: tuple[str, Sequence[str]],
    down: tuple[str, Sequence[str]],
    fixed: dict[str, str],
) -> str:
    factor = factor_of(name)
    cells: dict[tuple[str, str], str] = {}
    values: dict[tuple[str, str], float] = {}
    for key, mean in found.items():
        here = dict(zip(sweep.axes, key, strict=True))
        if all(here[path] == value for path, value in fixed.items()):
            place = here[across[0]], here[down[0]]
            values[place] = mean.value * factor
            cells[place] = f"{values[place]:.4g}"
    if not values:
        return ""
    which = f" at {', '.join(f'{_short(path)} {value}' for path, value in fixed.items())}" if fixed else ""
    return heat_map(f"{heading(name)}{which}", across, down, cells, values)


def _key(point: Estimate, sweep: SweepRow) -> tuple[str, ...]:
    return tuple(point.settings.get(path, "") for path in sweep.axes)


def _matches(key: tuple[str, ...], sweep: SweepRow, settings: dict[str, str]) -> bool:
    return all(settings.get(path, value) == value for path, value in zip(sweep.axes, key, strict=True))


def _present(path: str, points: Sequence[Estimate]) -> list[str]:
    """The values of an axis at the points that there are, in their order."""
    return list(dict.fromkeys(point.settings[path] for point in points if path in point.settings))


def _named(values: Sequence[str]) -> str:
    if len(values) <= NAMED:
        return ", ".join(values)
    return f"{len(values)} values, {values[0]} to {values[-1]}"


def _short(path: str) -> str:
    return path.rpartition(".")[2]


def _settings(point: Estimate) -> str:
    return ", ".join(f"{_short(path)} {value}" for path, value in point.settings.items())


def _table(sweep: SweepRow, points: Sequence[Estimate], names: Sequence[str]) -> str:
    heads = [*sweep.axes, "runs", *map(heading, names)]
    rows = (
        [*_key(point, sweep), str(point.replications), *(spelled(name, point.means.get(name)) for name in names)]
        for point in points[:ROWS]
    )
    more = f"<p class='faint'>and {len(points) - ROWS:,} more points</p>" if len(points) > ROWS else ""
    return table(heads, rows, len(sweep.axes)) + more
