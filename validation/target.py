"""A target: what is compared with what, on which of its points the model is calibrated, and how far off it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from validation.runs import Runs

Kind = Literal["exact", "predicted", "consistency"]
KINDS: Mapping[Kind, str] = {
    "exact": "exact: nothing is fitted, and every number is equal",
    "predicted": "predicted: parameters are calibrated on some points, and the others are predicted",
    "consistency": "a consistency check, which is less than a validation",
}


@dataclass(frozen=True)
class Row:
    """A point: what was measured elsewhere, what comes out here, in the same unit."""

    series: str
    at: str
    measured: float
    found: float
    calibrated: bool = False
    half: float = 0.0
    """Half of the 95 % interval of what comes out here; 0 where nothing is drawn."""

    @property
    def error(self) -> float:
        """How much too high what comes out is, as a fraction."""
        return self.found / self.measured - 1


@dataclass(frozen=True)
class Table:
    """Something beside the points: headings, and rows of texts."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Outcome:
    """What a target has come to: its points, the values of its parameters, and tables beside them."""

    rows: Sequence[Row]
    unit: str
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Values by path, of each host or series."""
    tables: Sequence[Table] = ()

    @property
    def predicted(self) -> list[Row]:
        """The points on which nothing was calibrated."""
        return [row for row in self.rows if not row.calibrated]

    @property
    def worst(self) -> Row | None:
        """The point that is predicted worst."""
        return max(self.predicted, key=lambda row: abs(row.error), default=None)

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `of` makes it again; numbers with the digits that mean something."""
        data = asdict(self)
        for row in data["rows"]:
            row |= {name: float(f"{row[name]:.6g}") for name in ("measured", "found", "half")}
        return data

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Outcome:
        """From plain data."""
        return cls(
            [Row(**row) for row in data["rows"]],
            data["unit"],
            data["parameters"],
            [Table(**table) for table in data["tables"]],
        )


@dataclass(frozen=True)
class Target:
    """One of the things that the model is held against."""

    name: str
    title: str
    kind: Kind
    source: str
    says: str
    """What is compared, how it is set up, and on what it is calibrated."""
    run: Callable[[Runs], Outcome]
    within: float | None = None
    """How far off a predicted point may be at most, as a fraction; what is farther off is told as a miss."""
    limits: str = ""
    """What the comparison does not say."""
