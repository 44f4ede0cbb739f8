"""Measurements in a CSV: which column is which path or number, which rows count, and which are held out."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosim.config.problems import Position, Problem, TopologyError
from cosim.units.nearest import nearest
from cosim.units.quantities import RATE, TIME, show

FACTORS = {
    **{unit: float(ps) for unit, ps in TIME.units.items()},
    **{unit: bits / 1e9 for unit, bits in RATE.units.items()},
}
"""What a number of a column is multiplied with: times become picoseconds, rates Gb/s, as the results have them."""

_COLUMN = re.compile(r"(?P<name>[^=]+)=(?P<column>[^*]*?)(?:\s+(?P<unit>[A-Za-z/]+)|\s*\*\s*(?P<factor>[0-9.eE+-]+))?")


class ColumnError(ValueError):
    """A column or a choice of rows that cannot be read: what is wrong, and how it is written right."""


@dataclass(frozen=True, slots=True)
class Column:
    """`name`, a path or a number, is in a `column`, whose numbers are in a `unit` or to be multiplied."""

    name: str
    column: str
    unit: str = ""
    factor: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Column:
        """Of ``NAME=COLUMN``, ``NAME=COLUMN UNIT`` or ``NAME=COLUMN*FACTOR``. Raises ColumnError."""
        match = _COLUMN.fullmatch(text.strip())
        if match is None or not match["column"].strip():
            raise ColumnError(f"{text}: write NAME=COLUMN, and the unit behind it: nic0.traffic.window=window_kb KiB")
        try:
            factor = float(match["factor"] or 1)
        except ValueError:
            raise ColumnError(f"{text}: {match['factor']} is no number") from None
        return cls(match["name"].strip(), match["column"].strip(), match["unit"] or "", factor)

    def setting(self, text: str) -> str:
        """What an axis says: a number as a topology has it, anything else as it stands. Raises ValueError."""
        if not self.unit and self.factor == 1:
            return text
        number = float(text) * self.factor
        return f"{number:.12g} {self.unit}".rstrip()

    def value(self, text: str) -> float:
        """A measured number in the unit of the results. Raises ValueError."""
        if self.unit and self.unit not in FACTORS:
            raise ColumnError(f"{self.name}={self.column} {self.unit}: {nearest(self.unit, FACTORS)}")
        return float(text) * self.factor * FACTORS.get(self.unit, 1.0)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows in which a `column` has one of some `values`; numbers are equal however they are written."""

    column: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Chosen:
        """Of ``COLUMN=VALUE,VALUE``. Raises ColumnError."""
        column, equals, values = text.partition("=")
        found = tuple(value.strip() for value in values.split(",") if value.strip())
        if not equals or not column.strip() or not found:
            raise ColumnError(f"{text}: write COLUMN=VALUE, or COLUMN=VALUE,VALUE")
        return cls(column.strip(), found)

    def __call__(self, row: Mapping[str, str]) -> bool:
        return any(_equal(row[self.column], value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Measured:
    """A row: its line, what it says of paths, and the number that was measured, in the unit of the results."""

    line: int
    settings: Mapping[str, str]
    value: float
    held_out: bool
    """Whether it has no part in the fit, and is predicted."""


def read(
    path: str | Path,
    points: Sequence[Column],
    value: Column,
    *,
    rows: Sequence[Chosen] = (),
    on: Sequence[Chosen] = (),
) -> list[Measured]:
    """The measurements of a CSV with a line of names at its top, those `on` which the fit is made first and last alike.

    `rows` choose among all rows. Without `on` every row is fitted and none is held out. Raises TopologyError with what
    is wrong, and the lines.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or ())
            missing = [*_missing(str(path), names, points, value, rows, on)]
            if missing:
                raise TopologyError(missing)
            found = [
                _measured(str(path), reader.line_num, row, points, value, on)
                for row in reader
                if all(chosen(_whole(str(path), reader.line_num, row)) for chosen in rows)
            ]
    except OSError as error:
        raise refused(str(path), f"cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise refused(str(path), f"is no CSV: {error}") from None
    if not found:
        said = " ".join(f"--rows {chosen.column}={','.join(chosen.values)}" for chosen in rows)
        raise refused(str(path), f"no row meets {said}" if said else "there are no rows")
    return found


def refused(path: str, why: str) -> TopologyError:
    """The error that says what is wrong with a file, or an option."""
    return TopologyError([Problem(Position(path), (), why)])


def _missing(
    path: str,
    names: Sequence[str],
    points: Sequence[Column],
    value: Column,
    rows: Sequence[Chosen],
    on: Sequence[Chosen],
) -> Iterable[Problem]:
    for column in dict.fromkeys([*(each.column for each in (*points, value)), *(each.column for each in (*rows, *on))]):
        if column not in names:
            yield Problem(Position(path, 1, 1), (), f"no column {show(column)}; {nearest(column, names)}")


def _whole(path: str, line: int, row: Mapping[str, str | None]) -> Mapping[str, str]:
    """The row, if it has as many values as the table has columns. Raises TopologyError."""
    if None in row or None in row.values():
        extra = "more" if None in row else "fewer"
        raise TopologyError([Problem(Position(path, line, 1), (), f"{extra} values than there are columns")])
    return row  # type: ignore[return-value]


def _measured(
    path: str, line: int, row: Mapping[str, str], points: Sequence[Column], value: Column, on: Sequence[Chosen]
) -> Measured:
    row = _whole(path, line, row)
    at = value.column
    try:
        found = value.value(row[value.column])
        settings = {}
        for column in points:
            at = column.column
            settings[column.name] = column.setting(row[at])
    except ColumnError as error:
        raise refused("--value", str(error)) from None
    except ValueError:
        raise TopologyError([Problem(Position(path, line, 1), (), f"{at}: {show(row[at])} is no number")]) from None
    if not found:
        raise TopologyError([Problem(Position(path, line, 1), (), f"{at}: errors are relative, and this is 0")])
    return Measured(line, settings, found, bool(on) and not all(chosen(row) for chosen in on))


def _equal(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other
