"""What differs between two studies, as a report: the input, then what of the output is no chance."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import inf, isfinite
from typing import TextIO

from rich.text import Text

from cosim.study.report.columns import Columns
from cosim.study.report.page import Page, words
from cosim.study.report.sweep_table import GROWS, OVERLOADED, heading, short, spelled
from cosim.study.report.terminal import console_on
from cosim.study.results.comparison import Comparison, PointChange, Summary
from cosim.study.results.estimate import ACCESSES, Mean, chosen
from cosim.study.results.numbers import growing
from cosim.study.results.tested import Change
from cosim.units.time_names import PART

FEW_POINTS = 12
"""As many points are told one by one."""
SEEN_PS = 50
"""Parts that differ by less, in picoseconds, would be told as 0.0 ns."""
MOST_SUMMARIES = 24
"""As many numbers are named of those that differ."""


def print_comparison(found: Comparison, metrics: Sequence[str] = (), file: TextIO | None = None) -> None:
    """Print it to `file` (standard output if not given)."""
    console = console_on(file)
    page = Page(max(40, console.width))
    rows = [row for row in found.summaries() if PART not in row.name]
    grown = {name for point in found.points for name in point.tested.overloaded()}
    blocks = (_inputs(found, page), _extent(found, page), _points(found, metrics, page), _numbers(rows, grown, page))
    for lines in (*blocks, _remark(found, metrics, rows, grown, page)):
        for line in lines:
            console.print(line, soft_wrap=True)


def _inputs(found: Comparison, page: Page) -> Iterator[Text]:
    if not found.inputs:
        yield Text("input: no difference")
        return
    table = Columns(("input", "first", "second"))
    for path, first, second in found.inputs:
        table.add(path, first, second)
    yield from table.lines(page.width)


def _extent(found: Comparison, page: Page) -> Iterator[Text]:
    yield Text()
    if not found.points:
        yield from words("output: no point is in both", page)
        return
    only = [
        f"{len(some)} only in the {which}"
        for some, which in ((found.only_first, "first"), (found.only_second, "second"))
        if some
    ]
    failed = [
        f"{count} runs of the {which} have failed"
        for count, which in zip(found.failed, ("first", "second"), strict=True)
        if count
    ]
    said = ", ".join([f"output: {len(found.points)} point{'s' * (len(found.points) != 1)} in both", *only, *failed])
    yield from words(f"{said}; {found.real:,} of {found.tested:,} numbers really differ", page)
    if len(found.points) > FEW_POINTS:
        alike = dict.fromkeys(map(_runs, found.points))
        yield from words(f"at each point: {next(iter(alike))}" if len(alike) == 1 else _span(found), page)
    if all(1 in point.runs for point in found.points):
        yield from words("each has one run: nothing can be told to be no chance; --reps 5 makes more", page)


def _span(found: Comparison) -> str:
    """How many runs the points have, where not all have as many."""
    counts = [(min(runs), max(runs)) for runs in zip(*(point.runs for point in found.points), strict=True)]
    first, second = (f"{least}" if least == most else f"{least} to {most}" for least, most in counts)
    return f"a point has {first} runs in the first, {second} in the second"


def _points(found: Comparison, metrics: Sequence[str], page: Page) -> Iterator[Text]:
    if not found.points or len(found.points) > FEW_POINTS:
        return
    for point in found.points:
        changes = {change.name: change for change in point.changes}
        names = chosen(changes, metrics or ACCESSES)
        yield Text()
        yield from words(_title(point), page)
        if not names:
            yield Text("  no difference in what is shown here")
            continue
        table = Columns(("", "first", "second", "difference", ""))
        for name in names:
            table.add(*_row(changes[name]), below=_parts(changes, name, page))
        yield from table.lines(page.width)


def _title(point: PointChange) -> str:
    paths = list(point.settings)
    at = ", ".join(f"{name}={point.settings[path]}" for name, path in zip(short(paths), paths, strict=True))
    return f"{at or 'the only point'}: {_runs(point)}"


def _runs(point: PointChange) -> str:
    """How many runs a point has on each side, and which of them are compared."""
    first, second = point.runs
    runs = f"{first} and {second} runs" if first != second else f"{first} run{'s' * (first != 1)} each"
    if point.paired <= 1:
        return runs
    if point.paired == first == second:
        return f"{runs}, {point.paired} of them paired by seed"
    return f"{runs}, of which the {point.paired} pairs of equal seeds are compared"


def _row(change: Change) -> tuple[str, ...]:
    name = change.name
    means = [spelled(name, Mean(value, inf, 1)) for value in (change.first, change.second)]
    apart = spelled(name, Mean(change.difference, change.half, 2))
    sign = "+" if change.difference > 0 else ""
    marks = f"{'' if change.real else ' ?'}{f' {OVERLOADED}' * change.overloaded}"
    return (heading(name), *means, f"{sign}{apart}", f"{relative(change.relative)}{marks}")


def _parts(changes: Mapping[str, Change], name: str, page: Page) -> list[Text]:
    """The parts that a difference of a mean latency is made of, the largest first."""
    stem = name.removesuffix(".mean_ps") + PART
    if not name.endswith(".mean_ps"):
        return []
    parts = [change for each, change in changes.items() if each.startswith(stem) and abs(change.difference) >= SEEN_PS]
    parts.sort(key=lambda change: -abs(change.difference))
    texts = [f"{change.name.removeprefix(stem)} {change.difference / 1000:+,.1f}" for change in parts]
    return words(f"= {', '.join(texts)}", page, "", "  ", "    ") if texts else []


def _numbers(rows: Sequence[Summary], grown: Collection[str], page: Page) -> Iterator[Text]:
    """Those that differ anywhere; `grown` are the scalars that say which devices were overloaded at any point."""
    if not rows:
        return
    yield Text()
    table = Columns(("really different", "at points", "least", "middle", "most"))
    for row in rows[:MOST_SUMMARIES]:
        spread = (relative(row.least), relative(row.middle), relative(row.most))
        mark = f" {OVERLOADED}" if growing(row.name) in grown else ""
        table.add(f"{row.name}{mark}", f"{row.real} of {row.points}", *spread)
    yield from table.lines(page.width)
    if len(rows) > MOST_SUMMARIES:
        yield from words(f"and {len(rows) - MOST_SUMMARIES} more; --json has them all", page)


def _remark(
    found: Comparison, metrics: Sequence[str], rows: Sequence[Summary], grown: Collection[str], page: Page
) -> Iterator[Text]:
    """What the mark of overloaded devices means, if there is one."""
    few = found.points if len(found.points) <= FEW_POINTS else ()
    names = [name for point in few for name in chosen([each.name for each in point.changes], metrics or ACCESSES)]
    names += [row.name for row in rows[:MOST_SUMMARIES]]
    if any(growing(name) in grown for name in names):
        yield from words(GROWS, page)


def relative(fraction: float) -> str:
    """`+12 %`, `-0.3 %`, and in words what was nothing before."""
    if not isfinite(fraction):
        return "from 0"
    percent = fraction * 100
    decimals = 0 if abs(percent) >= 10 else 1 if abs(percent) >= 1 else 2
    return f"{percent:+,.{decimals}f} %"
