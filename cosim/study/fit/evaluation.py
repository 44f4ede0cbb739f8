"""Runs at any points that are asked for, of which those that are in a results file are not made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cosim.study.results.estimate import Estimate, estimates
from cosim.study.results.results import Results, SweepRow
from cosim.study.run.stop import Stop
from cosim.study.sweep.points import Subject, base_of
from cosim.study.sweep.request import Request
from cosim.study.sweep.sweep import Sweep

Settings = Mapping[str, str]


class InterruptedFit(Exception):
    """A signal has come; what had ended is kept."""


@dataclass
class Evaluation:
    """A topology, the numbers that are wanted of it, and the file that its runs are kept in."""

    subject: Subject
    metrics: Sequence[str]
    results: Results
    request: Request = field(default_factory=Request)
    command: str = ""
    stop: Stop | None = None
    progress: Callable[[int], None] = lambda made: None
    made: int = 0
    """How many runs were made, and not found in the file."""
    runs: int = 0
    """How many runs there were, made now or before."""
    host_s: float = 0.0
    """How long all runs took where they were made, those that were found in the file included, in seconds."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why runs have failed, by what was set."""
    _known: dict[tuple[tuple[str, str], ...], Estimate] = field(default_factory=dict, init=False)
    _base: str = field(default="", init=False)

    def at(self, points: Iterable[Settings]) -> list[Estimate]:
        """What comes out at each point, in order. TopologyError, and InterruptedFit."""
        wanted = [tuple(point.items()) for point in points]
        missing = [dict(key) for key in dict.fromkeys(wanted) if key not in self._known]
        if missing:
            self._run(missing)
        return [self._known[key] for key in wanted]

    def _run(self, points: Sequence[Settings]) -> None:
        if not self._base:
            self.subject = self.subject.read()
            self._base = base_of(self.subject, points[0])
        axes = {path: list(dict.fromkeys(point[path] for point in points if path in point)) for path in points[0]}
        row = SweepRow(self.command, self.subject.name, self._base, axes, tuple(self.metrics))
        sweep = Sweep(self.subject, points, self.request, self.results, row, stop=self.stop)
        before = self.made
        for run in sweep.runs():
            self.runs += 1
            self.host_s += run.host_s
            self.made = before + sweep.made
            self.progress(self.made)
            if not run.ok:
                said = ", ".join(f"{path}={value}" for path, value in run.settings.items())
                self.failures.setdefault(said, f"{run.outcome}: {run.reason}")
        if sweep.interrupted:
            raise InterruptedFit
        found = estimates(self.results.runs(sweep.row.id, model=sweep.row.model), self.metrics)
        by_settings = {tuple(estimate.settings.items()): estimate for estimate in found}
        for point in points:
            key = tuple(point.items())
            self._known[key] = by_settings.get(key) or Estimate("", point, 0, 1, reason="this point cannot be")
