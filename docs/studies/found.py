"""What a study has found: its means by what the axes say, from its results file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from cosim.study.results.estimate import Mean, estimates
from cosim.study.results.results import Results


@dataclass(frozen=True)
class Found:
    """The points of one sweep; axes go by what they are called in `names`."""

    points: Sequence[tuple[dict[str, str], dict[str, Mean]]]
    model: str
    runs: int

    @classmethod
    def of(cls, file: Path, names: dict[str, str]) -> Found:
        """The last sweep of a results file. ValueError if a run of it has failed."""
        with Results(file) as results:
            sweep = results.sweeps()[-1]
            points, runs = [], 0
            for each in estimates(results.runs(sweep.id, model=sweep.model), sweep.metrics):
                if each.failed:
                    raise ValueError(f"{file}: {dict(each.settings)}: {each.reason}")
                settings = {short: each.settings[path] for path, short in names.items()}
                points.append((settings, dict(each.means)))
                runs += each.replications
        return cls(points, sweep.model, runs)

    def values(self, axis: str) -> list[str]:
        """Those of an axis, in their order."""
        return list(dict.fromkeys(settings[axis] for settings, _ in self.points))

    def mean(self, metric: str, **settings: str) -> Mean:
        """The mean of a number at the one point that there is. KeyError if there is none, or several."""
        found = [means for at, means in self.points if settings.items() <= at.items()]
        if len(found) != 1:
            raise KeyError(f"{len(found)} points at {settings}")
        return found[0][metric]

    def curve(
        self, metric: str, across: str, x: Callable[[str], float], factor: float = 1.0, **settings: str
    ) -> list[tuple[float, float, float]]:
        """Of all points with these settings the place on an axis, the mean, and half its interval, times `factor`."""
        at = [(x(here[across]), means[metric]) for here, means in self.points if settings.items() <= here.items()]
        return [(place, mean.value * factor, half_of(mean) * factor) for place, mean in sorted(at, key=lambda p: p[0])]


def half_of(mean: Mean) -> float:
    """Half its interval; 0 of a system in which nothing is drawn, of which one run says all."""
    return mean.half if isfinite(mean.half) else 0.0


def said(mean: Mean, factor: float = 1.0, digits: int = 1) -> str:
    """A mean with its interval, as in a table."""
    text = f"{mean.value * factor:,.{digits}f}"
    return f"{text} ± {mean.half * factor:,.{digits}f}" if isfinite(mean.half) else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
