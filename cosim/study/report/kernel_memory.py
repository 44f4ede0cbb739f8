"""What the modelled kernel has allocated at the end of a run."""

from __future__ import annotations

from rich.text import Text

from cosim.study.report.page import Page, flow, listed
from cosim.study.run.result import Result
from cosim.units.quantities import format_size


def pages(result: Result, page: Page) -> list[Text]:
    """What the modelled kernel has allocated at the end, by purpose, and what leaked of it."""
    prefix = "kernel.pages."
    purposes = {name.removeprefix(prefix): int(n) for name, n in result.scalars.items() if name.startswith(prefix)}
    objects = sum(size for purpose, size in purposes.items() if purpose[:1].isupper())
    sizes = [(purpose, size) for purpose, size in purposes.items() if not purpose[:1].isupper()]
    sizes = sorted(sizes, key=lambda item: -item[1]) + ([("objects", objects)] if objects else [])
    pieces = [f"{purpose} {format_size(size)}" for purpose, size in sizes if size]
    leaked = result.scalars.get("kernel.leaked_pages")
    if leaked is not None:
        pieces.append(f"leaked pages {leaked:,}")
    if not pieces:
        return []
    lines = flow([Text(piece) for piece in listed(pieces)], page.width, "Kernel memory: ", "  ")
    lines[0].stylize("bold red" if leaked else "bold", 0, len("Kernel memory"))
    return lines
