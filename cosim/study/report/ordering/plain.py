"""A picture as text: at most 80 columns, or what the terminal has, in ASCII, so that it goes into a mail as it is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from cosim.study.report.ordering.picture import Cell, Line, Picture
from cosim.study.report.ordering.steps import sources_told

WIDTH = 80
_TIME = 8
"""Characters of the column of times, or more where they are long."""
_GUTTER = {"begins": "+ ", "goes on": "| ", "ends": "+ "}


def plain(picture: Picture, width: int = WIDTH) -> str:
    """The picture, in lines of at most `width` characters."""
    return "\n".join(line.rstrip() for line in _all(picture, width)) + "\n"


def _all(picture: Picture, width: int) -> Iterator[str]:
    yield from textwrap.wrap(picture.title, width)
    if picture.schedule:
        yield from _wrapped(f"schedule {', '.join(picture.schedule)}", width)
    yield from _wrapped(picture.clock, width)
    yield ""
    times = max([_TIME, *(len(_time(line)) for line in picture.lines)])
    room = (width - times - 1) // max(1, len(picture.columns))
    heads = [_head(name, room) for name in picture.columns]
    for number in range(max(map(len, heads), default=0)):
        words = (head[number] if number < len(head) else "" for head in heads)
        yield f"{'' if number else 'us':>{times}} " + "".join(word.ljust(room) for word in words)
    if picture.left_out:
        yield f"{'':{times}} ({picture.left_out} more lines have no room)"
    for line in picture.lines:
        yield from _drawn(line, times, room)
    yield ""
    if any(cell.sources and not cell.anew for line in picture.lines for cell in line.cells):
        yield from _wrapped("a line of C without a function is in the last one named above it", width)
    yield from picture.pages
    rule = f"violated: {picture.oracle}: {picture.rule}" if picture.oracle else "failed, with no violation of its own:"
    yield from _wrapped(rule, width)
    yield from _wrapped(f"  {picture.message}", width)
    if picture.also:
        yield from _wrapped(f"also: {'; '.join(picture.also)}", width)
    if picture.command:
        *first, last = _wrapped(f"replay: {picture.command}", width - 2)
        yield from (f"{line} \\" for line in first)
        yield last


def _head(name: str, room: int) -> list[str]:
    """A column's name, over as many lines as it needs: the CPU, then its thread."""
    cpu, dot, thread = name.partition(".")
    parts = [f"{cpu}{dot}", thread] if dot and len(name) >= room else [name]
    return [piece for part in parts for piece in _pieces(part, room - 1)]


def _time(line: Line) -> str:
    return f"{line.time / 1e6:.3f}"


def _drawn(line: Line, times: int, room: int) -> Iterator[str]:
    columns = [_cell(cell, room) for cell in line.cells]
    for number in range(max(len(column) for column in columns)):
        time = "" if number else _time(line)
        mark = "!" if line.violates and not number else " "
        cells = (_at(column, number, cell, room) for column, cell in zip(columns, line.cells, strict=True))
        yield f"{time:>{times}}{mark}{''.join(cells)}"


def _cell(cell: Cell, room: int) -> list[str]:
    gutter = _GUTTER.get(cell.held, "")
    width = room - 1 - len(gutter)
    lines = textwrap.wrap(" ".join(_pieces(cell.text, width)), width) or [""]
    if not cell.sources:
        return lines
    source = f"({sources_told(cell.sources, functions=cell.anew)})"
    if len(lines[-1]) + 1 + len(source) <= width:
        return [*lines[:-1], f"{lines[-1]} {source}"]
    return lines + textwrap.wrap(" ".join(_pieces(source, width)), width)


def _pieces(text: str, width: int) -> Iterator[str]:
    """The words of a text; one that is too long breaks behind a dot or the like."""
    for word in text.split():
        while len(word) > width:
            cut = next((word.rfind(sign, 0, width) + 1 for sign in ".-_," if sign in word[:width]), width)
            yield word[:cut]
            word = word[cut:]
        yield word


def _at(column: Sequence[str], number: int, cell: Cell, room: int) -> str:
    text = column[number] if number < len(column) else ""
    gutter = _GUTTER.get(cell.held, "")
    if number and cell.held in ("begins", "goes on"):
        gutter = "| "
    elif number and cell.held == "ends":
        gutter = "  "
    return f"{gutter}{text}".ljust(room)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
