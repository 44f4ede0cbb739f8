"""Runs of the model for targets, all kept in one results file, so that none is made twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cosim.study.fit.evaluation import Evaluation
from cosim.study.fit.fitted import Fitted
from cosim.study.fit.plan import FitPlan, texts_of
from cosim.study.results.estimate import Estimate, Mean
from cosim.study.results.results import Results
from cosim.study.run.stop import Stop
from cosim.study.sweep.points import Subject
from cosim.study.sweep.request import Request
from cosim.system.topology import Topology

FOLDER = Path(__file__).parent
TOPOLOGIES = FOLDER / "topologies"
DATA = FOLDER / "data"


@dataclass
class Runs:
    """Runs in `file`, in so many processes. `made` counts those that were not there, `host_s` what all of them took."""

    file: str | Path
    jobs: int | None = None
    stop: Stop = field(default_factory=Stop)
    made: int = 0
    counted: int = 0
    """How many runs there are, made now or before."""
    host_s: float = 0.0

    def at(
        self,
        topology: str | Topology,
        points: Sequence[Mapping[str, object]],
        metrics: Sequence[str],
        *,
        sets: Mapping[str, object] | None = None,
        reps: int = 1,
        host_limit: float = 600,
    ) -> list[Estimate]:
        """What comes out at each point, in order. RuntimeError, if a run fails; InterruptedFit."""
        evaluation = Evaluation(
            Subject(topology if isinstance(topology, Topology) else _file(topology), tuple(texts_of(sets or {}))),
            metrics,
            Results(self.file, write=True),
            Request(reps=reps, jobs=self.jobs, host_limit=host_limit),
            "make validate",
            self.stop,
        )
        with evaluation.results:
            found = evaluation.at([{path: str(value) for path, value in point.items()} for point in points])
        self._count(evaluation)
        for where, why in evaluation.failures.items():
            raise RuntimeError(f"{evaluation.subject.name} at {where}: {why}")
        return found

    def means(self, topology: str, points: Sequence[Mapping[str, object]], metric: str, **how: object) -> list[Mean]:
        """The mean of one number at each point."""
        found = self.at(topology, points, [metric], **how)  # type: ignore[arg-type]
        return [estimate.means[metric] for estimate in found]

    def fit(
        self,
        topology: str,
        data: str,
        *,
        value: str,
        at: Mapping[str, str],
        parameters: Mapping[str, str],
        rows: Mapping[str, object],
        on: Mapping[str, object],
        start: Mapping[str, str] | None = None,
        rough: str = "",
        sets: Mapping[str, object] | None = None,
        until: str | None = None,
    ) -> Fitted:
        """What `cosim fit` finds. TopologyError, if a run fails; InterruptedFit."""
        plan = FitPlan(
            Subject(_file(topology), tuple(texts_of(sets or {})), until=until),
            str(DATA / data),
            value,
            texts_of(at),
            texts_of(parameters),
            texts_of(rows),
            texts_of(on),
            Request(jobs=self.jobs),
            texts_of(start or {}),
            rough,
        )
        fit = plan.fit(self.file, command="make validate", stop=self.stop)
        with fit.evaluation.results:
            found = fit.found()
        for each in filter(None, (fit.rough, fit.evaluation)):
            self._count(each)
        return found

    def _count(self, evaluation: Evaluation) -> None:
        self.made += evaluation.made
        self.counted += evaluation.runs
        self.host_s += evaluation.host_s


def _file(topology: str) -> str | Path:
    """A topology of this folder, or one that comes with cosim."""
    here = TOPOLOGIES / f"{topology}.yaml"
    return here if here.exists() else topology
