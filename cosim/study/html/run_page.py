"""The report of a run as a page."""

from __future__ import annotations

import io
import platform
from collections.abc import Iterator
from html import escape

from cosim.study.drawing.nodes import drawing_of
from cosim.study.drawing.svg import svg
from cosim.study.html.bars import breakdown, fractions, time
from cosim.study.html.chart import chart, number
from cosim.study.html.colours import key
from cosim.study.html.histogram import histogram
from cosim.study.html.page import folded, page, table
from cosim.study.html.timeline import timeline
from cosim.study.pictures.shapes import Curve, Curves
from cosim.study.report.devices import about_devices
from cosim.study.report.report import print_report
from cosim.study.run.latency import Latency
from cosim.study.run.result import Result
from cosim.study.run.uses import is_access, percent, uses
from cosim.system.topology import Topology

FIGURES = 24
"""So many distributions are drawn, of what took most time in all."""

HEADS = ("", "count", "mean", "95 % interval", "sd", "p50", "p95", "p99", "p99.9", "max")


def run_page(result: Result, topology: Topology) -> str:
    """Everything that was measured of a run of `topology`."""
    return page(f"{result.topology}, driver {result.driver}", _body(result, topology))


def _body(result: Result, topology: Topology) -> Iterator[str]:
    yield f"<h1>{escape(result.topology)}</h1>"
    yield f'<p class="lead">{escape(result.limit)}</p>'
    yield _verdict(result)
    yield "<h2>What it ran on</h2>"
    yield f'<div class="wide">{svg(drawing_of(topology, result.topology), inside=True)}</div>'
    accesses = {name: latency for name, latency in result.latencies.items() if is_access(name) and latency.count}
    calls = {name: latency for name, latency in result.latencies.items() if not is_access(name) and latency.count}
    for title, found, slow in (
        ("DMA requests", accesses, result.slowest.requests if result.slowest else ()),
        ("The driver's operations", calls, result.slowest.calls if result.slowest else ()),
    ):
        if found:
            yield from _latencies(title, found)
        if slow:
            yield f"<h3>The slowest, on their way</h3>{timeline(slow)}"
    yield from _resources(result)
    yield from _over_time(result)
    yield from _wrong(result)
    yield from _again(result)


def _verdict(result: Result) -> str:
    begin, end = result.window_ps
    bad = "" if result.outcome == "ok" else " bad"
    who = f"driver {escape(result.driver)}, seed {result.seed}, digest <code>{result.digest}</code>"
    said = [f"<b>{result.outcome}</b>: {who}"]
    said.append(f"measured {time(end - begin)} of simulated time after boot, which took {time(result.boot_ps)}")
    said += [escape(text) for text in (*result.failures, *about_devices(result))]
    return f'<div class="verdict{bad}">{"<br>".join(said)}</div>'


def _latencies(title: str, found: dict[str, Latency]) -> Iterator[str]:
    by_time = sorted(found, key=lambda name: -found[name].count * found[name].mean_ps)
    ordered = {name: found[name] for name in by_time}
    yield f"<h2>{escape(title)}</h2>"
    yield table(HEADS, (_row(name, latency) for name, latency in ordered.items()))
    yield "<h3>What each mean is made of</h3>"
    yield breakdown(ordered)
    yield key(part for latency in ordered.values() for part in {**latency.parts, **latency.tail})
    shown = list(ordered.items())[:FIGURES]
    figures = "".join(histogram(name, latency) for name, latency in shown if latency.distribution)
    yield '<h3>How long they took</h3><p class="faint">Lines are the median and p99.</p>'
    yield f'<div class="grid">{figures}</div>'


def _row(name: str, latency: Latency) -> list[str]:
    about = "~" if latency.relative_error else ""
    interval = "unknown"
    if latency.ci95_ps is not None:
        interval = " to ".join(map(time, latency.ci95_ps))
    quantiles = [about + time(ps) for ps in (latency.p50_ps, latency.p95_ps, latency.p99_ps, latency.p999_ps)]
    return [
        name,
        f"{latency.count:,}",
        time(latency.mean_ps),
        interval,
        time(latency.sd_ps),
        *quantiles,
        time(latency.max_ps),
    ]


def _resources(result: Result) -> Iterator[str]:
    busy = sorted(((use.of, use.fraction) for use in uses(result.scalars) if use.fraction), key=lambda each: -each[1])
    if busy:
        yield f"<h2>How busy everything was</h2>{fractions(busy[:20])}"
    caches = []
    for name, hits in result.scalars.items():
        cache = name.removesuffix(".hits")
        looked = hits + result.scalars.get(f"{cache}.misses", 0)
        if cache != name and looked:
            caches.append((cache, hits / looked, f"{int(looked):,}"))
    if caches:
        yield "<h2>Caches</h2>"
        yield table(("", "hit", "of look-ups"), ([name, percent(rate, 1), of] for name, rate, of in caches))
    commands = [
        (name.removesuffix(".total"), value)
        for name, value in result.scalars.items()
        if ".commands." in name and value and name.rpartition(".")[2] not in ("utilisation", "busy_ps", "stalled_ps")
    ]
    if commands:
        yield f"<h2>Commands</h2>{table(('', 'executed'), ([name, f'{int(value):,}'] for name, value in commands))}"


def _over_time(result: Result) -> Iterator[str]:
    series = result.series
    shown = {name: values for name, values in series.values.items() if any(values)}
    if not series.at_ps or not shown:
        return
    begin = result.window_ps[0]
    at = [(ps - begin) / 1e6 for ps in series.at_ps]
    figures = []
    for name, values in shown.items():
        points = [(x, float(y)) for x, y in zip(at, values, strict=True) if y is not None]
        if 4 * len(points) > len(at) and name.endswith(("_gbps", "in_flight_mean", "hit_rate", "depth_mean")):
            figures.append(chart(Curves(name, "us since the window opened", {name: Curve(points)})))
    if figures:
        yield f'<h2>Over time</h2><div class="grid">{"".join(figures[:FIGURES])}</div>'


def _wrong(result: Result) -> Iterator[str]:
    if result.violation_count:
        rows = [[signature, f"{count:,}"] for signature, count in result.signatures.items()]
        yield f"<h2>Violations</h2>{table(('signature', 'times'), rows)}"
        first = "".join(f"<li>{escape(found.message)}</li>" for found in result.violations[:10])
        yield folded("the first of them", f"<ol>{first}</ol>", opened=True)
    failed = [
        [device, cause, f"{count:,}"]
        for by_device in (result.faults, result.bus_errors)
        for device, causes in by_device.items()
        for cause, count in causes.items()
    ]
    if failed:
        yield f"<h2>Requests that failed</h2>{table(('device', 'by', 'requests'), failed, 2)}"


def _again(result: Result) -> Iterator[str]:
    yield "<h2>To get the same again</h2>"
    if result.replay:
        yield f"<p><code>{escape(result.replay)}</code></p>"
    model = f"model <code>{escape(result.model)}</code>"
    yield f"<p>cosim {escape(result.version)}, {model}, Python {platform.python_version()}."
    yield "An equal model gives an equal digest on any machine.</p>"
    if result.schedule:
        yield f"<p>schedule <code>{escape(', '.join(result.schedule))}</code></p>"
    yield folded("the topology as it ran, which runs by itself", f"<pre>{escape(result.resolved)}</pre>")
    text = io.StringIO()
    print_report(result, text)
    yield folded("the report as text", f"<pre>{escape(text.getvalue())}</pre>")
    numbers = table(("", "value"), ([name, number(float(value))] for name, value in result.scalars.items()))
    yield folded(f"all {len(result.scalars):,} numbers", numbers)
