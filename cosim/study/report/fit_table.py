"""What a fit has found: the parameters, a line for each point, and how well those are predicted that were held out."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import TextIO

from rich.text import Text

from cosim.study.fit.fitted import Fitted, FittedPoint
from cosim.study.report.columns import Columns
from cosim.study.report.page import Page, words
from cosim.study.report.sweep_table import factor_of, heading, short, spelled
from cosim.study.report.terminal import console_on


def print_fit(fitted: Fitted, file: TextIO | None = None) -> None:
    """Print it to `file` (standard output if not given)."""
    console = console_on(file)
    for line in fit_lines(fitted, Page(max(40, console.width))):
        console.print(line, soft_wrap=True)


def fit_lines(fitted: Fitted, page: Page) -> Iterator[Text]:
    """The lines."""
    parameters = Columns(("parameter", "value", ""))
    for path, value in fitted.values.items():
        notes = [f"at its {fitted.at_bound[path]} bound"] if path in fitted.at_bound else []
        notes += ["changes nothing near this value"] if path in fitted.without_effect else []
        parameters.add(path, value, "; ".join(notes))
    yield from parameters.lines(page.width)
    yield Text()
    paths = list(dict.fromkeys(path for point in fitted.points for path in point.measured.settings))
    rows = Columns((*short(paths), f"measured {heading(fitted.metric)}", "found", "error %", ""))
    for point in fitted.points:
        settings = (point.measured.settings.get(path, "-") for path in paths)
        rows.add(*settings, *_numbers(fitted.metric, point), "held out" if point.measured.held_out else "")
    yield from rows.lines(page.width)
    yield from words(_verdict(fitted), page)


def _numbers(metric: str, point: FittedPoint) -> tuple[str, str, str]:
    measured = point.measured.value * factor_of(metric)
    found = spelled(metric, point.found)
    return f"{measured:,.5g}" if abs(measured) < 1e5 else f"{measured:,.0f}", found, f"{100 * point.error:+.2f}"


def _verdict(fitted: Fitted) -> str:
    fit_on = len(fitted.points) - len(fitted.held_out)
    said = f"fitted on {fit_on} point{'s' * (fit_on != 1)}, {100 * fitted.rms:.2f} % off (root of mean square)"
    if fitted.worst is None:
        return f"{said}; nothing was held out, so that this says nothing of any other point: --on COLUMN=VALUES"
    held = len(fitted.held_out)
    verdict = f"{said}; the worst of the {held} held out is {100 * abs(fitted.worst.error):.2f} % off"
    half = fitted.worst.found.half
    return (
        f"{verdict}, of which ± {100 * half / fitted.worst.measured.value:.2f} % is chance"
        if isfinite(half)
        else verdict
    )
