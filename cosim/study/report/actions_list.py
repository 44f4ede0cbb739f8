"""The list of what may be held in a run, and what each of it touches; the lines of C of what was held."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.text import Text

from cosim.study.explore.cells import Cell
from cosim.study.explore.listing import Listed
from cosim.study.report.page import Page, words
from cosim.units.quantities import US


def held_in_c(lines: Mapping[str, str], page: Page, indent: str) -> list[Text]:
    """The lines of a compiled driver that ask for what a schedule holds, by the names of these actions, in words."""
    told = [f"held: {name}, which is {line}" for name, line in lines.items()]
    return [text for line in told for text in words(line, page, "", indent, f"{indent}  ")]


def print_actions(cell: Cell, effects: Sequence[Listed], file: TextIO | None = None) -> None:
    """Print a cell's effects: ``!`` marks those that a bounded search holds, ``-`` those that no schedule does."""
    file = file or sys.stdout
    asking = [each for each in effects if each.asks]
    held = sum(each.in_conflict for each in effects)
    file.write(f"{cell.subject.name}, driver {cell.subject.driver_name}, {cell}\n")
    file.write(
        f"{len(asking):,} actions, {held:,} in conflict (!); {len(effects) - len(asking):,} not to be held (-)\n"
    )
    room = max((len(each.name) for each in effects), default=0)
    for each in effects:
        mark = "!" if each.in_conflict else " " if each.asks else "-"
        what = "changes" if each.changes else "looks at"
        touches = " ".join(each.touches) or "nothing"
        line = f"  {each.line}" if each.line else ""
        file.write(f"{mark} {each.time_ps / US:>13,.6f} us  {each.name:{room}}  {what} {touches}{line}\n")
