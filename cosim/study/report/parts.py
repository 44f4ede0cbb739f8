"""The parts of a time in a report: the largest first, rounded so that they add up to the time as it is printed."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from cosim.study.report.page import Page, flow
from cosim.study.report.rounding import Unit, apportion, own_unit
from cosim.study.run.uses import percent


def parts_of(time_ps: int, parts: Mapping[str, int], unit: Unit | None, page: Page, indent: str = "  ") -> list[Text]:
    """``= fence 3,200.0 (82 %) + cpu 702.1``, in `unit`, or in the time's own one if that is None."""
    shown = unit or own_unit(time_ps)
    spelled = "" if unit else f" {shown.name}"
    shares = apportion(parts, shown.rounded(time_ps), shown.quantum_ps)
    pieces = []
    for index, (part, quanta) in enumerate(shares.items()):
        piece = Text(f"{'+ ' if index else ''}{part} {shown.spell(quanta)}{spelled} ")
        if index == 0:
            piece.append(f"({percent(parts[part] / time_ps)}) ")
            piece.stylize("yellow")
        pieces.append(piece)
    return flow(pieces, page.width, f"{indent}= ", f"{indent}  ") if pieces else []
