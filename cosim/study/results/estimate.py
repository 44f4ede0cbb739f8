"""A mean over replications of a point, and how surely it is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, fsum, inf, sqrt
from typing import Any

from cosim.study.results.numbers import COUNT, growing
from cosim.study.results.stored import Stored
from cosim.study.statistics.student import quantile
from cosim.system.number_names import named, no_such
from cosim.units.time_names import PART

LEVEL = 0.975
"""Of Student's t, for an interval of 95 %."""
AT_MOST = 2.0
"""So many times as many replications there are next time, at most: what a few say of the spread is not sure."""
ACCESSES = ("*.read.mean_ps", "*.write.mean_ps")
"""What tables are of if nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of `count` values, and half its 95 % interval; infinite where one value says nothing of its own spread.

    So it is of a number that grows with the length of the run, as the latency of a device that is `overloaded`.
    """

    value: float
    half: float
    count: int
    overloaded: bool = False

    @property
    def relative(self) -> float:
        """The half interval as a fraction of the mean."""
        return self.half / abs(self.value) if self.value else (inf if self.half else 0.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point: what the axes say, its means by name, how many replications there are, and how many have failed.

    A mean is over those of its runs that ended well and have this number: a run in which no read began and ended has no
    latency of reads.
    """

    point: str
    settings: Mapping[str, str]
    replications: int
    failed: int
    means: Mapping[str, Mean] = field(default_factory=dict)
    reason: str = ""
    """Why the first one that has failed did."""
    place: int = 0
    """Which of the points of its sweep it is; several may be of one configuration, and have the same `point`."""

    @property
    def good(self) -> int:
        """How many of the runs ended well."""
        return self.replications - self.failed

    def as_json(self) -> dict[str, Any]:
        """The object that `sweep --json` prints for it; an interval that is not known is null."""
        return {
            "point": self.point,
            "settings": dict(self.settings),
            "runs": self.replications,
            "failed": self.failed,
            "reason": self.reason,
            "means": {
                name: {
                    "mean": mean.value,
                    "half_ci95": mean.half if mean.half < inf else None,
                    "runs": mean.count,
                    "overloaded": mean.overloaded,
                }
                for name, mean in self.means.items()
            },
        }


def estimates(runs: Iterable[Stored], metrics: Sequence[str]) -> Iterator[Estimate]:
    """Each point with the means of `metrics`, in the order of `runs`, where the runs of a point follow one another."""
    gathered: list[Stored] = []
    for run in runs:
        if gathered and (gathered[0].place, gathered[0].point) != (run.place, run.point):
            yield _estimate(gathered, metrics)
            gathered = []
        gathered.append(run)
    if gathered:
        yield _estimate(gathered, metrics)


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of values that are independent of one another, by Student's t."""
    count = len(values)
    mean = fsum(values) / count
    if count < 2:
        return Mean(mean, inf, count)
    deviation = sqrt(fsum((value - mean) ** 2 for value in values) / (count - 1))
    return Mean(mean, quantile(LEVEL, count - 1) * deviation / sqrt(count), count)


def wanted_replications(estimate: Estimate, relative: float) -> int:
    """How many replications may make the interval of the first mean as narrow; those there are, if it is, or if none
    can, since it is overloaded."""
    mean = next(iter(estimate.means.values()), None)
    if mean is not None and mean.overloaded:
        return estimate.replications
    if mean is None or mean.relative <= relative:
        return estimate.replications
    if mean.relative == inf:
        return estimate.replications + 1
    more = ceil(mean.count * (mean.relative / relative) ** 2)
    return max(estimate.replications + 1, min(more, ceil(estimate.replications * AT_MOST)))


def chosen(names: Iterable[str], metrics: Sequence[str]) -> list[str]:
    """Of these names those that are asked for, by name or glob, in the order in which they are asked for."""
    return named(names, metrics or ACCESSES)


def unknown_metrics(runs: Iterable[Stored], metrics: Sequence[str]) -> list[str]:
    """What is wrong with each metric that no good run has, with the nearest name; none if no run is good.

    A part of a latency is no such metric: one that nothing waited for is not there.
    """
    return unknown_names(dict.fromkeys(name for run in runs if run.ok for name in run.numbers), metrics)


def unknown_names(names: Collection[str], metrics: Sequence[str]) -> list[str]:
    """The same, where `names` are those of all numbers of good runs."""
    if not names:
        return []
    wrong = [metric for metric in metrics if PART not in metric and not chosen(names, [metric])]
    return [f"{metric}: {no_such(metric, names)}" for metric in wrong]


def _estimate(runs: Sequence[Stored], metrics: Sequence[str]) -> Estimate:
    good = [run for run in runs if run.ok]
    bad = [run for run in runs if not run.ok]
    names = chosen(dict.fromkeys(name for run in good for name in run.numbers), metrics)
    means = {}
    for name in names:
        having = [run for run in good if _has(run, name)]
        values = [float(run.numbers.get(name, 0)) for run in having]
        means[name] = _alone(having[0], name) if len(values) == 1 else mean_of(values)
        if any(run.numbers.get(growing(name)) for run in good):
            means[name] = Mean(means[name].value, inf, means[name].count, overloaded=True)
    first = runs[0]
    reason = f"{bad[0].outcome}: {bad[0].reason}" if bad else ""
    return Estimate(first.point, first.settings, len(runs), len(bad), means, reason, first.place)


def _has(run: Stored, name: str) -> bool:
    """Whether it has a number, or lacks it because it is 0: a part of a latency that it has, or how many there are."""
    return (
        name in run.numbers
        or name.endswith(COUNT)
        or (PART in name and f"{name.partition(PART)[0]}.mean_ps" in run.numbers)
    )


def _alone(run: Stored, name: str) -> Mean:
    """The mean of a single run, with the interval that the run itself has found, if it has found one."""
    value = float(run.numbers.get(name, 0))
    stem = name.removesuffix(".mean_ps")
    if stem != name and f"{stem}.ci95_to_ps" in run.numbers:
        low, high = run.numbers[f"{stem}.ci95_from_ps"], run.numbers[f"{stem}.ci95_to_ps"]
        return Mean(value, max(high - value, value - low), 1)
    return Mean(value, inf, 1)
