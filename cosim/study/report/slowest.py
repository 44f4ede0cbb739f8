"""The slowest requests and calls of a report: step by step, what each waited for, when, and behind whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from cosim.study.report.page import Page, flow, words
from cosim.study.report.rounding import own_unit, unit_for
from cosim.study.run.result import Result
from cosim.study.run.uses import percent
from cosim.units.latency_parts import LatencyPart

if TYPE_CHECKING:
    from cosim.study.slowest.slow import Slow, Step

SMALL = 0.01
"""A step that is a smaller part of the whole, and waits for nobody, is counted and not shown."""

MOST = 10
"""Of the steps that wait for nobody, so many are shown: the longest."""

WORDS = 20
"""Characters that a line needs behind its numbers for words; with less, the words stand below."""


def slowest(result: Result, page: Page) -> list[Text]:
    """The slowest requests, then the slowest calls, each with its steps."""
    found = result.slowest
    if found is None:
        return []
    return [*_section("Slowest requests", found.requests, page), *_section("Slowest calls", found.calls, page)]


def _section(title: str, slow: Sequence[Slow], page: Page) -> list[Text]:
    lines = [Text(title, "bold")] if slow else []
    for each in slow:
        what = f" {each.what}" if each.what.startswith("#") else f", which {each.what}" if each.what else ""
        took = f"{each.name}{what}: {_time(each.ps)} from {each.began_ps / 1e6:,.3f} us on"
        lines += words(took, page, "", "  ", "    ")
        lines += _steps(each, page)
    return lines


def _steps(slow: Slow, page: Page) -> list[Text]:
    longest = sorted((step.ps for step in slow.steps if not step.behind), reverse=True)[:MOST]
    least = max(SMALL * slow.ps, longest[-1] if longest else 0)
    shown = [step for step in slow.steps if step.behind or step.ps >= least]
    unit = unit_for([step.ps for step in shown])
    lines = []
    for step in shown:
        at, ps = (unit.show(time) if unit else _time(time) for time in (step.began_ps - slow.began_ps, step.ps))
        head = f"    {'+' + at:>10} {ps:>10}{f' {unit.name}' if unit else ''} {percent(step.ps / slow.ps):>6}  "
        text = step.part + (f" in {step.call}" if step.call and step.call != slow.name.rpartition(".")[2] else "")
        behind = f", {_how(step)} {step.behind}" if step.behind else ""
        pieces = [Text(f"{word} ") for word in (text + behind).split()]
        style = "bold" if step.behind else ""
        if len(head) + WORDS > page.width:
            lines += [Text(head.rstrip(), style), *flow(pieces, page.width, " " * 8, " " * 8, style)]
        else:
            lines += flow(pieces, page.width, head, " " * len(head), style)
    if rest := [step.ps for step in slow.steps if step not in shown]:
        steps = "step" if len(rest) == 1 else "steps"
        lines += words(f"and {len(rest)} shorter {steps}, {_time(sum(rest))} in all", page, "dim", "    ", "    ")
    return lines


def _how(step: Step) -> str:
    return (
        "during" if step.behind.startswith("commands") else "behind" if LatencyPart[step.part.upper()].waits else "for"
    )


def _time(ps: int) -> str:
    unit = own_unit(ps)
    return f"{unit.show(ps)} {unit.name}"
