"""What is printed of two drivers: the cells in which they differ, their drawings, and what each cell costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.text import Text

from cosim.study.compare.cost import CALLS, Cost
from cosim.study.compare.difference import CellPair, Side
from cosim.study.report.catalogue import first_sentence
from cosim.study.report.columns import Columns
from cosim.study.report.page import Page, words
from cosim.study.report.terminal import console_on
from cosim.sw.driver.axes import AXES

NARROWEST, WIDEST = 40, 160
BETWEEN = " | "
"""What stands between two drawings that are side by side."""
STILL_TEXT = 30
"""Characters of a line in which sentences can be read."""


def print_differences(first: str, second: str, pairs: Sequence[CellPair], file: TextIO | None = None) -> None:
    """Print the cells to `file` (standard output if not given)."""
    console = console_on(file)
    for line in cells(first, second, pairs, _page(console)):
        console.print(line, soft_wrap=True)


def print_costs(found: Sequence[Cost], file: TextIO | None = None) -> None:
    """Print a table for each topology to `file` (standard output if not given)."""
    console = console_on(file)
    for line in tables(found, _page(console)):
        console.print(line, soft_wrap=True)


def _page(console: Console) -> Page:
    return Page(min(WIDEST, max(NARROWEST, console.width)))


# --- Cells -----------------------------------------------------------------------------------------------------------


def cells(first: str, second: str, pairs: Sequence[CellPair], page: Page) -> Iterator[Text]:
    """Each cell that differs, with both policies."""
    number = f"{len(pairs)} of {len(AXES)} cells" if pairs else "no cell"
    yield from words(f"{first} and {second} differ in {number}", page, "bold")
    for pair in pairs:
        yield Text()
        yield Text(pair.axis, style="bold")
        for driver, side in ((first, pair.first), (second, pair.second)):
            yield from words(f"{driver} has {side.name}: {side.about}", page, "", "  ", "    ")
        yield from _pictures(pair, page)
        for driver, side in ((first, pair.first), (second, pair.second)):
            if side.steps:
                yield from (Text(), *words(f"steps of {driver} alone", page, "", "  "))
            for name, about in side.steps.items():
                yield from words(f"{name}: {about}", page, "", "    ", "      ")


def _pictures(pair: CellPair, page: Page) -> Iterator[Text]:
    """What the two sides have to show beyond their first sentences: side by side, or one below the other."""
    sides = [side for side in (pair.first, pair.second) if side.drawing or _more(side)]
    if not any(side.drawing for side in sides):
        return
    room = page.width - 2
    half = (room - len(BETWEEN)) // 2
    if len(sides) == 2 and all(_fits(side, half) for side in sides):
        left, right = (_block(side, half) for side in sides)
        yield Text()
        for at in range(max(len(left), len(right))):
            one, other = (lines[at] if at < len(lines) else "" for lines in (left, right))
            yield Text(f"  {one:{half}}{BETWEEN}{other}".rstrip())
        return
    for side in sides:
        yield Text()
        yield from (Text(f"  {line}".rstrip()) for line in _block(side, room))


def _fits(side: Side, width: int) -> bool:
    return side.drawing.fits(width) if side.drawing else width >= STILL_TEXT


def _block(side: Side, width: int) -> list[str]:
    """The drawing of a side, or else its text, under its name."""
    if side.drawing:
        return [f"{side.name}:", *side.drawing.lines(width)]
    paragraph = words(_more(side), Page(width))
    return [f"{side.name}:", *(line.plain for line in paragraph)]


def _more(side: Side) -> str:
    """What a docstring says behind its first sentence."""
    text = " ".join(side.text.split())
    return text.removeprefix(first_sentence(text)).removeprefix(".").strip()


# --- Costs -----------------------------------------------------------------------------------------------------------


def tables(found: Sequence[Cost], page: Page) -> Iterator[Text]:
    """A table for each topology: what the first driver costs, and by what factor the others cost more."""
    for topology, group in groupby(found, key=lambda cost: cost.topology):
        rows = list(group)
        first = rows[0]
        yield Text()
        yield from words(
            f"On {topology}: means of {first.driver}, and how many times as much of the others; commands are those of "
            "an unmap, attach or detach",
            page,
        )
        columns = Columns(("", *CALLS, "sent", "needed", "violations"))
        columns.add(first.driver, *_absolute(first))
        for cost in rows[1:]:
            if cost.why:
                columns.add(_named(cost, first), below=words(cost.why, page, "yellow", "    ", "    "))
            else:
                columns.add(_named(cost, first), *_relative(cost, first))
        yield from columns.lines(page.width)
        if first.why:
            yield from words(f"{first.driver}: {first.why}", page, "yellow", "    ", "    ")
        row = next((cost for cost in rows[1:] if cost.command), first)
        yield from words(f"a row again: {row.command}", page, "", "  ", "    ")


def _named(cost: Cost, first: Cost) -> str:
    return " ".join(f"+ {cell}" for cell in cost.cells) if cost.driver == first.driver else cost.driver


def _absolute(cost: Cost) -> list[str]:
    means = [f"{cost.calls[call] / 1000:,.0f} ns" if call in cost.calls else "-" for call in CALLS]
    return [*means, *(f"{number:,.1f}" for number in _commands(cost)), f"{cost.violations:,}"]


def _relative(cost: Cost, first: Cost) -> list[str]:
    means = [_ratio(cost.calls.get(call, 0), first.calls.get(call, 0)) for call in CALLS]
    commands = [_ratio(*sizes) for sizes in zip(_commands(cost), _commands(first), strict=True)]
    return [*means, *commands, f"{cost.violations:,}"]


def _commands(cost: Cost) -> tuple[float, float]:
    """Commands sent and needed, of each call that may send some."""
    return cost.sent / max(1, cost.changes), cost.needed / max(1, cost.changes)


def _ratio(number: float, of: float) -> str:
    return f"{number / of:.2f}" if number and of else "-"
