"""The points of a sweep out of its results file, with the means of some metrics: of very many runs quickly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.results.estimate import Estimate, chosen, estimates, unknown_names
from cosim.study.results.numbers import growing
from cosim.study.results.results import Results, SweepRow
from cosim.study.results.stored import Stored
from cosim.units.time_names import PART


def points_of(results: Results, sweep: SweepRow, metrics: Sequence[str]) -> list[Estimate]:
    """Each point of `sweep` in its order, with the means of `metrics`; of each run only their numbers are read."""
    labels = {place: settings for _, place, _, settings in results.places(sweep.id)}
    runs = {
        (point, seed): Stored("", point, 0, seed, outcome, reason, numbers=numbers)
        for point, seed, outcome, reason, numbers in results.some(sweep.model, lambda names: _wanted(names, metrics))
    }
    swept = (
        replace(runs[point, seed], place=place, settings=labels[place])
        for place, point, seed in results.swept(sweep.id)
        if (point, seed) in runs
    )
    return list(estimates(swept, metrics))


def check_metrics(metrics: Sequence[str], *files: Results) -> None:
    """Raises TopologyError for a metric that no good run in any of these files has, with the nearest name."""
    names = dict.fromkeys(name for results in files for name in results.names())
    if unknown := [text.partition(": ") for text in unknown_names(names, metrics)]:
        raise TopologyError(Problem(Position(f"-m {metric}"), (), why) for metric, _, why in unknown)


def _wanted(names: list[str], metrics: Sequence[str]) -> list[str]:
    """The metrics among some names, what tells the interval of a single run, whether there is what a part is of, and
    which devices are overloaded."""
    found = set(chosen(names, metrics))
    found |= {f"{name.removesuffix('.mean_ps')}.ci95_{end}_ps" for name in found for end in ("from", "to")}
    if any(PART in metric or "*" in metric for metric in metrics):  # of parts, of which this run may have none
        found |= {name for name in names if name.endswith(".mean_ps")}
    found |= {growing(name) for name in found}
    return [name for name in names if name in found]
