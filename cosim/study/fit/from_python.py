"""A fit for a script or a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from cosim.study.fit.evaluation import InterruptedFit
from cosim.study.fit.fitted import Fitted
from cosim.study.fit.plan import FitPlan, texts_of
from cosim.study.results.file import MEMORY
from cosim.study.run.stop import Stop
from cosim.study.sweep.points import Subject
from cosim.study.sweep.request import Request
from cosim.study.sweep.sweep import SIGNALS
from cosim.system.topology import Topology


def fitted(
    topology: str | Path | Topology,
    data: str | Path,
    asked: Mapping[str, Mapping[str, object]],
    *,
    sets: Iterable[str],
    overlays: Iterable[str | Path],
    driver: str | None,
    seed: int | None,
    until: str | None,
    file: str | Path | None,
    rough: str,
    reps: int,
    jobs: int | None,
) -> Fitted:
    """What `cosim.fit` gives. Raises TopologyError, and KeyboardInterrupt after Ctrl-C, what had ended being kept."""
    if len(asked["value"]) != 1:
        raise TypeError("fit() wants one number in value, such as {'nic0.read.mean_ps': 'avg_ns ns'}")
    subject = Subject(topology, tuple(sets), tuple(map(str, overlays)), driver, seed, until)
    texts = {name: texts_of(values) for name, values in asked.items()}
    plan = FitPlan(
        subject,
        str(data),
        texts["value"][0],
        texts["at"],
        texts["parameters"],
        texts["rows"],
        texts["on"],
        Request(reps=reps, jobs=jobs),
        texts["start"],
        rough,
    )
    stop = Stop()
    with stop.listening(SIGNALS):
        search = plan.fit(MEMORY if file is None else file, stop=stop)
        try:
            with search.evaluation.results:
                return search.found()
        except InterruptedFit:
            raise KeyboardInterrupt from None
