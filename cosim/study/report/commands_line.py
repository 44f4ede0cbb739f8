"""How many commands the driver sent, and how many were needed."""

from __future__ import annotations

from rich.text import Text

from cosim.study.report.page import Page, flow
from cosim.study.run.result import Result


def commands(result: Result, page: Page) -> list[Text]:
    """One line on all IOMMUs together; none without commands."""
    sent, needed = (int(result.scalars.get(f"driver.commands_{what}", 0)) for what in ("sent", "needed"))
    if not sent:
        return []
    pieces = [f"{sent:,} sent", f", {needed:,} needed"]
    if needed and sent > needed:
        pieces.append(f" ({sent / needed:.3g} times as many)")
    lines = flow([Text(piece) for piece in pieces], page.width, "Commands: ", "  ")
    lines[0].stylize("bold", 0, len("Commands"))
    return lines
