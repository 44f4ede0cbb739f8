"""A page of a report: how wide it is, and how sentences and lists of words are laid on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.text import Text

NUMBER = re.compile(r"\(?[~≤\d]([\d.,]*\d)?")
"""A word with which its unit stays on one line."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is printed on: characters of a line, and whether it can show more than ASCII."""

    width: int = 80
    unicode: bool = True


def flow(pieces: Iterable[Text], width: int, first: str, rest: str, style: str = "") -> list[Text]:
    """`pieces` one after the other, in lines of at most `width` characters; they begin with `first`, then with `rest`.

    A blank at the end of a piece is where the line may break; a piece that fits in no line breaks at its blanks.
    """
    lines = [Text(first, style)]
    room = width - max(len(first), len(rest))
    whole = (
        [piece] if len(piece.plain.rstrip()) <= room else piece.split(" ", include_separator=True) for piece in pieces
    )
    for piece in (part for parts in whole for part in parts):
        line = lines[-1]
        if len(line) + len(piece.plain.rstrip()) > width and line.plain not in (first, rest):
            line.rstrip()
            line = Text(rest, style)
            lines.append(line)
        line.append_text(piece)
    lines[-1].rstrip()
    return lines


def words(text: str, page: Page, style: str = "", first: str = "", rest: str = "") -> list[Text]:
    """`text` in lines, a number and its unit on the same."""
    pieces = [""]
    for word in text.split():
        pieces[-1] += f"{word} "
        if not NUMBER.fullmatch(word):
            pieces.append("")
    return flow([Text(piece) for piece in pieces if piece], page.width, first, rest, style)


def listed(texts: Iterable[str]) -> Iterator[str]:
    """With commas between them, and a blank to go on after each."""
    found = list(texts)
    for index, text in enumerate(found):
        yield text + (", " if index + 1 < len(found) else "")
