"""What a fit has found: the values, and at each point the error, of those held out above all."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf, sqrt
from typing import Any

from cosim.study.fit.measured import Measured
from cosim.study.results.estimate import Mean


@dataclass(frozen=True, slots=True)
class FittedPoint:
    """A measurement, and what the topology gives there."""

    measured: Measured
    found: Mean

    @property
    def error(self) -> float:
        """How much too high what was found is, as a fraction of what was measured."""
        return self.found.value / self.measured.value - 1

    def as_json(self) -> dict[str, Any]:
        """The object that `fit --json` prints for it; an interval that is not known is null."""
        return {
            "line": self.measured.line,
            "settings": dict(self.measured.settings),
            "held_out": self.measured.held_out,
            "measured": self.measured.value,
            "found": self.found.value,
            "half_ci95": self.found.half if self.found.half < inf else None,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Fitted:
    """The values of the parameters, and every point, in the order of the file."""

    metric: str
    values: Mapping[str, str]
    at_bound: Mapping[str, str]
    """Parameters that are at a bound, and which."""
    without_effect: Sequence[str]
    """Parameters that change nothing at the points of the fit."""
    points: Sequence[FittedPoint]
    runs: int = 0
    """Runs that were made now."""

    @property
    def held_out(self) -> list[FittedPoint]:
        """The points that had no part in the fit."""
        return [point for point in self.points if point.measured.held_out]

    @property
    def worst(self) -> FittedPoint | None:
        """Of the points held out the one that is predicted worst; None if there is none."""
        return max(self.held_out, key=lambda point: abs(point.error), default=None)

    @property
    def rms(self) -> float:
        """The root of the mean square of the errors on which the fit was made."""
        errors = [point.error for point in self.points if not point.measured.held_out]
        return sqrt(fsum(error * error for error in errors) / len(errors))

    def __str__(self) -> str:
        from cosim.study.report.fit_table import print_fit

        text = io.StringIO()
        print_fit(self, text)
        return text.getvalue().rstrip("\n")

    def as_json(self) -> dict[str, Any]:
        """The object that `fit --json` prints."""
        worst = self.worst
        return {
            "metric": self.metric,
            "values": dict(self.values),
            "at_bound": dict(self.at_bound),
            "without_effect": list(self.without_effect),
            "rms": self.rms,
            "worst_held_out": worst and abs(worst.error),
            "points": [point.as_json() for point in self.points],
            "runs": self.runs,
        }
