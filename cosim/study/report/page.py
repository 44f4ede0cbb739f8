"""A page of a report: how wide it is, how many rows it shows, and how names and texts are put on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.text import Text

from cosim.study.report.columns import Family, families

SHOWN = 12
"""As many rows of a kind are shown; `--json` has all."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is printed on: characters of a line, and whether it can show more than ASCII."""

    width: int = 80
    unicode: bool = True


def grouped(names: Iterable[str]) -> list[Family]:
    """Like names taken together if they are many, or if there is no room for all."""
    names = list(names)
    groups = families(names)
    return groups if len(groups) <= SHOWN else families(names, many=1)


def listed(texts: Iterable[str]) -> Iterator[str]:
    """With commas between them, and a blank to go on after each."""
    found = list(texts)
    for index, text in enumerate(found):
        yield text + (", " if index + 1 < len(found) else "")


def more(rows: int, shown: int = SHOWN) -> list[Text]:
    """A line on the rows that are not shown, if there are any."""
    return [Text(f"  and {rows - shown} more, which --json has", "dim")] if rows > shown else []
