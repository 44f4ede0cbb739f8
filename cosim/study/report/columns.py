"""Numbers for people: one unit for a table, parts that still add up after rounding, and aligned columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

UNITS = {"s": 10**12, "ms": 10**9, "us": 10**6, "ns": 10**3}

WIDEST = 8
"""Characters of a number, so that six of them, a count and a name fit in 80 columns."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of time, and how many decimals are shown of it."""

    name: str
    decimals: int

    @property
    def quantum_ps(self) -> int:
        """The smallest difference that can be seen, in picoseconds."""
        quantum: int = UNITS[self.name] // 10**self.decimals
        return quantum

    def rounded(self, ps: int) -> int:
        """How many quanta: half a quantum is rounded up."""
        return (2 * ps + self.quantum_ps) // (2 * self.quantum_ps)

    def spell(self, quanta: int) -> str:
        """So many quanta as a number in this unit, with all its decimals."""
        whole, rest = divmod(quanta, 10**self.decimals)
        return f"{whole:,}.{rest:0{self.decimals}d}" if self.decimals else f"{whole:,}"

    def show(self, ps: int) -> str:
        """A time as a number in this unit."""
        return self.spell(self.rounded(ps))


def unit_for(times: Iterable[int]) -> Unit | None:
    """The unit in which all of `times` (picoseconds) can be told apart and none is too wide; None if there is none."""
    seen = [ps for ps in times if ps > 0] or [UNITS["ns"]]
    least, most = min(seen), max(seen)
    for margin, coarsest, finest in ((10, 0, 2), (1, 1, 2), (0.1, 1, 2), (0.01, 2, 3)):
        name = next((name for name, ps in UNITS.items() if least >= margin * ps), None)
        if name is None:
            continue
        for decimals in range(1 if least >= 100 * UNITS[name] else finest, coarsest - 1, -1):
            unit = Unit(name, decimals)
            if len(unit.show(most)) <= WIDEST:
                return unit
    return None


def own_unit(ps: int) -> Unit:
    """The unit in which one time has three significant digits."""
    for name, scale in UNITS.items():
        if ps >= scale:
            return Unit(name, max(0, 3 - len(str(ps // scale))))
    return Unit("ns", 3)


def apportion(parts: Mapping[str, int], total: int, quantum: int) -> dict[str, int]:
    """`parts` in quanta, the largest first, so that they add up to `total` quanta: the largest remainders get more."""
    shares = {part: amount // quantum for part, amount in parts.items()}
    missing = total - sum(shares.values())
    by_remainder = sorted(parts, key=lambda part: (-(parts[part] % quantum), part))
    for part in by_remainder[: max(0, missing)]:
        shares[part] += 1
    ordered = sorted(shares, key=lambda part: (-shares[part], part))
    return {part: shares[part] for part in ordered if shares[part]}


@dataclass(slots=True)
class Columns:
    """Rows of cells under a heading; the first column stands left, the others right. A row may have lines below it.

    If the first column is too wide, its cells stand on lines of their own.
    """

    heading: tuple[str, ...]
    style: str = "bold"
    _rows: list[tuple[tuple[str, ...], Sequence[Text]]] = field(default_factory=list)

    def add(self, *cells: str, below: Sequence[Text] = ()) -> None:
        """Add a row, with the lines that stand below it."""
        self._rows.append((cells, below))

    def __bool__(self) -> bool:
        return bool(self._rows)

    def lines(self, width: int) -> list[Text]:
        """The table as lines of at most `width` characters, if its numbers leave that choice."""
        table = [self.heading, *(cells for cells, _ in self._rows)]
        widths = [max(len(row[column]) for row in table if column < len(row)) for column in range(len(self.heading))]
        numbers = sum(widths[1:])
        gap = 2 if widths[0] + numbers + 2 * len(widths[1:]) <= width else 1
        room = min(widths[0], max(len(self.heading[0]), width - numbers - gap * len(widths[1:])))
        lines = [self._line(self.heading, room, widths, gap, self.style)]
        for cells, below in self._rows:
            if len(cells[0]) > room:
                lines.append(Text(cells[0]))
                cells = ("", *cells[1:])
            lines += [self._line(cells, room, widths, gap, ""), *below]
        return lines

    def _line(self, cells: tuple[str, ...], room: int, widths: list[int], gap: int, style: str) -> Text:
        numbers = [" " * gap + cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=False)]
        return Text((cells[0].ljust(room) + "".join(numbers)).rstrip(), style=style)


def flow(pieces: Iterable[Text], width: int, first: str, rest: str, style: str = "") -> list[Text]:
    """`pieces` one after the other, in lines of at most `width` characters; they begin with `first`, then with `rest`.

    A blank at the end of a piece is where the line may break.
    """
    lines = [Text(first, style)]
    for piece in pieces:
        line = lines[-1]
        if len(line) + len(piece.plain.rstrip()) > width and line.plain not in (first, rest):
            line.rstrip()
            line = Text(rest, style)
            lines.append(line)
        line.append_text(piece)
    lines[-1].rstrip()
    return lines


def bar(fraction: float, width: int, unicode: bool) -> str:
    """A bar that is full at 1; eighths of a character where the encoding has them."""
    fraction = min(1.0, max(0.0, fraction))
    if not unicode:
        return "#" * round(fraction * width)
    eighths = round(fraction * width * 8)
    return "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")


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
