"""Helps and lists, laid out for the terminal that there is, however narrow."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable

import click

MARGIN = 2
"""Characters at the end of a line that text is kept out of, where it is not laid out by hand."""

NARROWEST = 30
"""Characters of a line, whatever the terminal says."""

ROOM = 26
"""Characters that what stands beside a name needs; with less, long names stand on lines of their own."""

AS_IT_IS = "\b\n"
"""How a paragraph begins whose lines stay as they are, where they fit."""


class Layout(click.HelpFormatter):
    """Text and lists of names in lines that are no longer than the terminal's."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        if width is None:
            width = max(NARROWEST, min(shutil.get_terminal_size().columns, max_width or 80) - MARGIN)
        super().__init__(indent_increment, width, max_width)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names with what each is; a name that leaves too little room beside it stands above."""
        rows = list(rows)
        room = self.width - self.current_indent - ROOM - col_spacing
        longest = max((len(name) for name, _ in rows), default=0)
        super().write_dl(rows, col_max if min(longest, col_max) <= room else min(col_max, self.width // 5), col_spacing)

    def write_text(self, text: str) -> None:
        """Write paragraphs. What is laid out by hand is broken where a line of it does not fit."""
        room = self.width + MARGIN - self.current_indent
        found = []
        for paragraph in re.split(r"\n{2,}", text):
            if paragraph.startswith(AS_IT_IS):
                lines = (_folded(line, room) for line in paragraph.removeprefix(AS_IT_IS).splitlines())
                paragraph = AS_IT_IS + "\n".join(lines)
            found.append(paragraph)
        super().write_text("\n\n".join(found))


class LaidOut(click.Context):
    """The context of a verb whose help is a `Layout`."""

    formatter_class = Layout


def _folded(line: str, room: int) -> str:
    """A line of a list laid out by hand; what does not fit goes on under where its text begins."""
    if len(line) <= room:
        return line
    begin = re.match(r"\s*\S.*?\s{2,}", line)
    column = begin.end() if begin else 0
    if begin and column > room // 2:
        line, column = f"{begin[0].rstrip()}  {line[column:]}", len(line) - len(line.lstrip()) + 4
    return "\n".join(textwrap.wrap(line, room, subsequent_indent=" " * column))
