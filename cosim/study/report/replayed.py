"""What is printed of a finding that was run again: whether it is the same, and what it shows."""

from __future__ import annotations

from typing import TextIO

from rich.text import Text

from cosim.study.finding.replay import Replayed
from cosim.study.report.actions_list import held_in_c
from cosim.study.report.ordering.recording import lines_held
from cosim.study.report.page import Page, words
from cosim.study.report.report import NARROWEST, WIDEST
from cosim.study.report.terminal import console_on
from cosim.study.report.verdict import outcome


def print_replayed(replayed: Replayed, file: TextIO | None = None) -> None:
    """Print it to `file` (standard output if not given)."""
    console = console_on(file)
    page = Page(min(WIDEST, max(NARROWEST, console.width)), console.encoding.lower().startswith("utf"))
    for line in [*_compared(replayed, page), Text(), *outcome(replayed.result, page)]:
        console.print(line, soft_wrap=True)


def _compared(replayed: Replayed, page: Page) -> list[Text]:
    found, result = replayed.finding, replayed.result
    if result.outcome == "interrupted":
        return words("interrupted, so that nothing can be said of it", page, "yellow")
    if replayed.same:
        lines = words(f"the same again, to the last of {found.events:,} events: {found.signature}", page, "bold")
        return lines + held_in_c(lines_held(found.point()), page, "  ")
    lines = words(f"not the same again: {found.signature}", page, "bold red")
    then, now = f"{found.events:,} events, digest {found.digest}", f"{result.events:,} events, digest {result.digest}"
    lines += words(f"found {then}", page, "red", "  ", "    ") + words(f"replayed {now}", page, "red", "  ", "    ")
    if not replayed.shows:
        lines += words("and the violation did not come", page, "red", "  ", "    ")
    return lines
