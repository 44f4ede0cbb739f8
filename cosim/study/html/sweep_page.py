"""The report of a sweep as a page, from its results file alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from cosim.study.html.chart import chart
from cosim.study.html.heat_map import heat_map
from cosim.study.html.page import folded, page, table
from cosim.study.pictures.of_sweep import pictures_of, settings_of, short
from cosim.study.pictures.shapes import Curves, Heat
from cosim.study.report.sweep_table import heading, remarks, spelled
from cosim.study.results.estimate import Estimate, chosen
from cosim.study.results.points import points_of
from cosim.study.results.results import Results, SweepRow

ROWS = 2000
"""So many points are in the table; --csv has all."""
METRICS = 12
"""So many numbers are drawn at most."""
NAMED = 8
"""So many values of an axis are named above everything."""


def sweep_page(results: Results, sweep: SweepRow, metrics: Sequence[str]) -> str:
    """The last state of `sweep`: a picture of each of `metrics` over the axes, its table, and what reproduces it."""
    asked = metrics or sweep.metrics
    points = points_of(results, sweep, asked)
    planned = sum(1 for _ in results.places(sweep.id))
    return page(f"{sweep.topology}, swept", _body(sweep, points, asked, planned))


def _body(sweep: SweepRow, points: Sequence[Estimate], asked: Sequence[str], planned: int) -> Iterator[str]:
    configurations = {point.point: point for point in points}.values()
    done = sum(point.replications for point in configurations)
    failed = sum(point.failed for point in configurations)
    yield f"<h1>{escape(sweep.topology)}, swept</h1>"
    axes = "; ".join(f"{path} over {_named(values)}" for path, values in sweep.axes.items())
    yield f'<p class="lead">{escape(axes)}</p>'
    bad = " bad" if failed else ""
    yield f'<div class="verdict{bad}">{len(points):,} points of {planned:,}, {done:,} runs, {failed:,} failed</div>'
    names = chosen(dict.fromkeys(name for point in points for name in point.means), asked)
    for name in names[:METRICS]:
        yield f"<h2>{escape(heading(name))}</h2>"
        drawn = [_figure(picture) for picture in pictures_of(name, sweep, points)]
        yield f'<div class="pictures">{"".join(drawn)}</div>'
    if len(names) > METRICS:
        yield f"<p class='faint'>{len(names) - METRICS:,} more numbers are in the table alone</p>"
    if names:
        yield "<h2>Every point</h2>"
        yield _table(sweep, points, names)
    if failed:
        rows = [[_settings(point), point.reason or "failed"] for point in points if point.failed]
        yield f"<h2>What failed</h2>{table(('point', 'why'), rows[:ROWS], 2)}"
    yield f"<h2>To get the same again</h2><p><code>{escape(sweep.command)}</code></p>"
    yield f"<p>model <code>{escape(sweep.model)}</code>, begun {escape(sweep.began)} UTC.</p>"
    yield folded("the topology that was swept, which runs by itself", f"<pre>{escape(sweep.base)}</pre>")


def _figure(picture: Curves | Heat) -> str:
    return chart(picture) if isinstance(picture, Curves) else heat_map(picture)


# --- Words ----------------------------------------------------------------------------------------------------------


def _named(values: Sequence[str]) -> str:
    if len(values) <= NAMED:
        return ", ".join(values)
    return f"{len(values)} values, {values[0]} to {values[-1]}"


def _settings(point: Estimate) -> str:
    return ", ".join(f"{short(path)} {value}" for path, value in point.settings.items())


def _table(sweep: SweepRow, points: Sequence[Estimate], names: Sequence[str]) -> str:
    heads = [*sweep.axes, "runs", *map(heading, names)]
    rows = (
        [
            *(*settings_of(point, sweep), str(point.replications)),
            *(spelled(name, point.means.get(name), point.good) for name in names),
        ]
        for point in points[:ROWS]
    )
    more = [f"and {len(points) - ROWS:,} more points"] if len(points) > ROWS else []
    below = "".join(f"<p class='faint'>{escape(text)}</p>" for text in [*more, *remarks(points[:ROWS], names)])
    return table(heads, rows, len(sweep.axes)) + below
