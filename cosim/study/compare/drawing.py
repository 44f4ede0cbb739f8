"""The drawings in the docstrings of policies: two columns, time downwards.

A drawing is a paragraph of a docstring whose first line names two agents, with three blanks or more between them; the
second one stands where its column begins. A class has its own, or, being the first of its module, the module's.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from textwrap import dedent, wrap
from typing import Any

from cosim.sw.steps import Step

APART = 3
"""Blanks between the two names of a heading, at least."""
GAP = 2
"""Blanks between two columns that are laid out anew."""
NARROWEST = 17
"""Characters of a column that can still be read."""
MOST_LINES = 5
"""Lines into which a cell can be broken so that what stands beside it can still be found."""
HANGING = 2
"""Blanks before what is left of a cell that has been broken."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """The lines of a drawing, heading first: what each of the two does then. Blanks at the left of a cell are kept."""

    rows: tuple[tuple[str, str], ...]

    @property
    def width(self) -> int:
        """Characters of a line in which no cell is broken."""
        return sum(max(map(len, column)) for column in zip(*self.rows, strict=True)) + GAP

    def fits(self, width: int) -> bool:
        """Whether it can be read in lines of `width` characters."""
        if width < min(self.width, 2 * NARROWEST + GAP):
            return False
        return all(len(cell) <= MOST_LINES for row in self._broken(*self._columns(width)) for cell in row)

    def lines(self, width: int) -> list[str]:
        """It in lines of at most `width` characters: cells that are too long are broken."""
        left, right = self._columns(width)
        found = []
        for cells in self._broken(left, right):
            for number in range(max(map(len, cells))):
                first, second = (cell[number] if number < len(cell) else "" for cell in cells)
                found.append(f"{first:{left + GAP}}{second}".rstrip())
        return found

    def _columns(self, width: int) -> tuple[int, int]:
        longest = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        return _shared(width - GAP, *longest)

    def _broken(self, *rooms: int) -> list[list[list[str]]]:
        return [[_broken(cell, room) for cell, room in zip(row, rooms, strict=True)] for row in self.rows]


def drawing_of(policy: object) -> Drawing | None:
    """The drawing of a policy; that of the class it derives from is another one's."""
    kind = documented(policy)
    own = drawings(kind.__doc__ or "")
    return next(iter(own or drawings(_of_module(kind))), None)


def text_of(policy: object) -> str:
    """What the docstring of a policy says in words, in paragraphs."""
    return "\n\n".join(" ".join(lines) for lines in _paragraphs(docstring_of(policy)) if not _column(lines))


def docstring_of(policy: object) -> str:
    """The docstring of a policy's class; of a dataclass that has none, that of its module, if it is the first there."""
    kind = documented(policy)
    text = kind.__doc__ or ""
    made = is_dataclass(kind) and text.startswith(f"{kind.__name__}(")  # `dataclass` puts the signature there
    return _of_module(kind) if made else text


def _of_module(kind: type) -> str:
    """The docstring of the module of which a class is the first; empty for another class."""
    module = _module(kind)
    first = next((value for value in module.values() if _is_of(value, kind.__module__)), None)
    return module.get("__doc__") or "" if kind is first else ""


def documented(policy: object) -> type:
    """The class that says what a policy is: its own, or, with steps taken out, the one that they were taken from."""
    return next(kind for kind in type(policy).__mro__ if kind.__module__ != Step.__module__)


def drawings(docstring: str) -> list[Drawing]:
    """All drawings of a docstring."""
    return [_drawing(lines, at) for lines in _paragraphs(docstring) if (at := _column(lines))]


def _paragraphs(docstring: str) -> Iterator[list[str]]:
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        if lines := dedent(paragraph).splitlines():
            yield lines


def _column(lines: list[str]) -> int:
    """Where the second column of a drawing begins; 0 if these lines are none."""
    heading = re.fullmatch(rf"(\S+(?: \S+)* {{{APART},}})\S.*", lines[0])
    return len(heading[1]) if heading and len(lines) > 1 else 0


def _drawing(lines: list[str], at: int) -> Drawing:
    return Drawing(tuple((line[:at].rstrip(), line[at:].rstrip()) for line in lines))


def _shared(room: int, left: int, right: int) -> tuple[int, int]:
    """Widths of two columns with the longest cells `left` and `right`: the one that needs less gets what it needs."""
    if left + right <= room:
        return left, right
    half = room // 2
    if left <= half:
        return left, room - left
    return (room - right, right) if right <= half else (half, room - half)


def _broken(cell: str, room: int) -> list[str]:
    """A cell in lines of `room` characters."""
    if len(cell) <= room:
        return [cell]
    words = cell.lstrip()
    indent = " " * (len(cell) - len(words))
    return wrap(words, room, initial_indent=indent, subsequent_indent=indent + " " * HANGING)


def _module(kind: type) -> Mapping[str, Any]:
    """What the module of a class defines, in its order; also that of a user's file, which is imported by no name."""
    for method in filter(inspect.isfunction, vars(kind).values()):
        if method.__module__ == kind.__module__:
            return method.__globals__
    return vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}


def _is_of(value: object, module: str) -> bool:
    return isinstance(value, type) and value.__module__ == module and not value.__name__.startswith("_")
