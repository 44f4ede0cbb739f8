"""The slowest requests and calls, each on a line from its beginning on, with what it waited for and behind whom."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cosim.study.html.bars import time
from cosim.study.html.colours import COLOURS
from cosim.study.html.page import folded
from cosim.study.slowest.slow import Slow, Step

MOST = 12
"""So many steps are told in words: those that wait for somebody, and the longest."""


def timeline(slow: Sequence[Slow]) -> str:
    """A line for each, all to the same scale."""
    longest = max(each.ps for each in slow)
    return "".join(_line(each, longest, opened=index == 0) for index, each in enumerate(slow))


def _line(slow: Slow, longest: int, *, opened: bool) -> str:
    pieces = "".join(_piece(slow, step, longest) for step in slow.steps)
    name = f"{escape(slow.name)} <span class='faint'>{escape(slow.what)}</span>"
    head = f'<div class="slow"><span>{name}</span><span class="n">{time(slow.ps)}</span></div>'
    bar = f'<div class="line">{pieces}</div>'
    told = [step for step in slow.steps if step.behind]
    for step in sorted(slow.steps, key=lambda each: -each.ps):
        if len(told) >= MOST:
            break
        if step not in told and step.ps * 50 >= slow.ps:
            told.append(step)
    items = "".join(f"<li>{_words(slow, step)}</li>" for step in sorted(told, key=lambda each: each.began_ps))
    summary = f"from {slow.began_ps / 1e6:,.3f} us on, step by step"
    return head + bar + folded(summary, f'<ol class="steps">{items}</ol>', opened=opened)


def _piece(slow: Slow, step: Step, longest: int) -> str:
    left, wide = 100 * (step.began_ps - slow.began_ps) / longest, 100 * step.ps / longest
    title = f"+{time(step.began_ps - slow.began_ps)}: {step.part} {time(step.ps)}"
    title += f", behind {step.behind}" if step.behind else ""
    style = f"left:{left:.3f}%;width:{wide:.3f}%;background:{COLOURS[step.part]}"
    return f'<i style="{style}" title="{escape(title, quote=True)}"></i>'


def _words(slow: Slow, step: Step) -> str:
    behind = f", behind <b>{escape(step.behind)}</b>" if step.behind else ""
    if step.behind.startswith("commands"):
        behind = f", during <b>{escape(step.behind)}</b>"
    call = f" in {escape(step.call)}" if step.call and not slow.name.endswith(f".{step.call}") else ""
    dot = f'<span class="dot" style="background:{COLOURS[step.part]}"></span>'
    return f"{dot}+{time(step.began_ps - slow.began_ps)}: <b>{step.part}</b>{call} {time(step.ps)}{behind}"
