"""Like names taken together: the rows of ten devices that do the same are one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rich.text import Text

SHOWN = 12
"""As many rows of a kind are shown; `--json` has all."""

MANY = 8
"""As many like names are shown one by one; more of them share a line."""


@dataclass(frozen=True, slots=True)
class Family:
    """Names that differ in their first number only, if they are many: `nic0.read` to `nic9.read` is `nic0..9.read`."""

    label: str
    members: tuple[str, ...]


def families(names: Iterable[str], many: int = MANY) -> list[Family]:
    """`names` in their order, those of which more than `many` are alike taken together."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(re.sub(r"\d+", "#", name, count=1), []).append(name)
    found = []
    for kind, members in alike.items():
        if len(members) <= many:
            found += [Family(name, (name,)) for name in members]
        else:
            numbers = sorted(int(re.findall(r"\d+", name)[0]) for name in members)
            found.append(Family(kind.replace("#", f"{numbers[0]}..{numbers[-1]}"), tuple(members)))
    return found


def grouped(names: Iterable[str]) -> list[Family]:
    """Like names taken together if they are many, or if there is no room for all."""
    names = list(names)
    groups = families(names)
    return groups if len(groups) <= SHOWN else families(names, many=1)


def more(rows: int, shown: int = SHOWN) -> list[Text]:
    """A line on the rows that are not shown, if there are any."""
    return [Text(f"  and {rows - shown} more, which --json has", "dim")] if rows > shown else []
