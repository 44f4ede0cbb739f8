"""Rows of cells under a heading, in columns that stand under one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.text import Text

INDENT = 3
"""Blanks before numbers that are folded below their name."""


@dataclass(slots=True)
class Columns:
    """Rows of cells under a heading; the first column stands left, the others right. A row may have lines below it.

    If the first column is too wide, its cells stand on lines of their own; if the others are as well, they are folded
    below it.
    """

    heading: tuple[str, ...]
    style: str = "bold"
    _rows: list[tuple[tuple[str, ...], Sequence[Text]]] = field(default_factory=list)

    def add(self, *cells: str, below: Sequence[Text] = ()) -> None:
        """Add a row, with the lines that stand below it."""
        self._rows.append((cells, below))

    def __bool__(self) -> bool:
        return bool(self._rows)

    def folds(self, width: int) -> bool:
        """Whether a row needs several lines, since its numbers and their headings are wider than `width`."""
        widths = self._widths()
        return len(self.heading[0]) + sum(widths[1:]) + len(widths[1:]) > width

    def lines(self, width: int) -> list[Text]:
        """The table as lines of at most `width` characters, but for a name that is longer by itself."""
        widths = self._widths()
        numbers = sum(widths[1:])
        gap = 2 if widths[0] + numbers + 2 * len(widths[1:]) <= width else 1
        if self.folds(width):
            return self._folded(width, widths)
        room = min(widths[0], max(len(self.heading[0]), width - numbers - gap * len(widths[1:])))
        lines = [self._line(self.heading, room, widths, gap, self.style)]
        for cells, below in self._rows:
            if len(cells[0]) > room:
                lines.append(Text(cells[0]))
                cells = ("", *cells[1:])
            lines += [self._line(cells, room, widths, gap, ""), *below]
        return lines

    def _widths(self) -> list[int]:
        table = [self.heading, *(cells for cells, _ in self._rows)]
        return [max(len(row[column]) for row in table if column < len(row)) for column in range(len(self.heading))]

    def _folded(self, width: int, widths: list[int]) -> list[Text]:
        """Each row as its name, and below it the numbers in as many lines as they need."""
        folds: list[list[int]] = [[]]
        for column in range(1, len(widths)):
            if folds[-1] and INDENT + sum(widths[at] + 1 for at in (*folds[-1], column)) > width:
                folds.append([])
            folds[-1].append(column)
        lines: list[Text] = []
        for cells, below, style in [(self.heading, (), self.style), *((*row, "") for row in self._rows)]:
            lines.append(Text(cells[0], style=style))
            for fold in folds:
                numbers = "".join(f" {cells[at].rjust(widths[at])}" for at in fold if at < len(cells))
                lines.append(Text(" " * INDENT + numbers, style=style))
            lines += below
        return lines

    def _line(self, cells: tuple[str, ...], room: int, widths: list[int], gap: int, style: str) -> Text:
        numbers = [" " * gap + cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=False)]
        return Text((cells[0].ljust(room) + "".join(numbers)).rstrip(), style=style)
