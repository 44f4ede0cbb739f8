"""Which requests failed, by device and cause."""

from __future__ import annotations

from rich.text import Text

from cosim.study.report.families import SHOWN, grouped, more
from cosim.study.report.page import Page, flow, listed
from cosim.study.run.result import Result


def faults(result: Result, page: Page) -> list[Text]:
    """Faults by device and cause."""
    lines = [Text("Faults", "bold")] if result.faults else []
    groups = grouped(result.faults)
    for family in groups[:SHOWN]:
        causes: dict[str, int] = {}
        for device in family.members:
            for cause, count in result.faults[device].items():
                causes[cause] = causes.get(cause, 0) + count
        pieces = [Text(piece) for piece in listed(f"{count:,} x {cause}" for cause, count in causes.items())]
        lines += flow(pieces, page.width, f"  {family.label}: ", "      ")
    return [*lines, *more(len(groups))]
