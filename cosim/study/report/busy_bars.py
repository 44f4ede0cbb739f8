"""How busy each resource was, drawn as a bar."""

from __future__ import annotations

from rich.text import Text

from cosim.study.report.families import SHOWN, families, more
from cosim.study.report.page import Page
from cosim.study.run.result import Result
from cosim.study.run.uses import SATURATED, percent, uses


def busy(result: Result, page: Page) -> list[Text]:
    """How busy each resource was that was used at all, the busiest first; many alike as the busiest of them."""
    fraction = {use.of: use.fraction for use in uses(result.scalars) if use.fraction}
    rows = []
    for family in families(fraction):
        most = max(family.members, key=lambda name: fraction[name])
        rows.append((family.label if family.members == (most,) else f"{most} (most of {len(family.members)})", most))
    rows.sort(key=lambda row: -fraction[row[1]])
    width = max((len(label) for label, _ in rows[:SHOWN]), default=0)
    lines = [Text("Busy", "bold")] if rows else []
    for label, name in rows[:SHOWN]:
        use = fraction[name]
        drawn = bar(use, max(0, min(40, page.width - width - 12)), page.unicode)
        style = "red" if use > SATURATED else "cyan"
        lines.append(Text.assemble(f"  {label:<{width}} {percent(use):>7}  ", (drawn, style)))
    return [*lines, *more(len(rows))]


def bar(fraction: float, width: int, unicode: bool) -> str:
    """A bar that is full at 1; eighths of a character where the encoding has them."""
    fraction = min(1.0, max(0.0, fraction))
    if not unicode:
        return "#" * round(fraction * width)
    eighths = round(fraction * width * 8)
    return "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")
