"""A sweep for a script or a notebook: its runs as they come, a data frame, a table."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosim.study.report.sweep_table import print_table
from cosim.study.results.estimate import Estimate, estimates, unknown_metrics
from cosim.study.results.file import MEMORY
from cosim.study.results.frame import to_frame
from cosim.study.results.results import Results
from cosim.study.results.stored import Stored
from cosim.study.run.stop import Stop
from cosim.study.sweep.axes import DRIVER, AxesError, Axis, driver_names, names_of
from cosim.study.sweep.plan import Plan, as_topology_error, percent_of
from cosim.study.sweep.points import Subject
from cosim.study.sweep.request import Request
from cosim.study.sweep.samples import Sample
from cosim.study.sweep.study import is_study, read
from cosim.study.sweep.sweep import SIGNALS, Sweep
from cosim.system.topology import Topology


class Study:
    """Runs at the points of some axes: *begun* with the first that is asked for, *complete* when all have been given.

    To iterate over it gives each run as it ends; what it is asked otherwise completes it first, also after an iteration
    that was left early: what had ended by then is not made again, and a cluster is asked anew. A run holds its
    `settings`, `outcome` and `numbers` (``run.numbers["nic0.read.mean_ps"]``).
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._coming: Iterator[Stored] | None = None
        self._complete = False

    def __iter__(self) -> Iterator[Stored]:
        if self._complete:
            yield from self.runs
            return
        if self._coming is None:
            self._coming = self._sweep.runs()
        stop = self._sweep.stop or Stop()
        try:
            with stop.listening(SIGNALS):
                yield from self._coming
        except BaseException:  # such as a `break` of whoever iterates: what is missing is for the next one
            self._coming = None
            raise
        self._complete = True
        written = self._sweep.results
        if written.path != MEMORY:
            written.close()
            self._sweep.results = Results(written.path)

    @property
    def interrupted(self) -> bool:
        """Whether a signal has ended it early."""
        return self._sweep.interrupted

    @property
    def made(self) -> int:
        """How many runs were made, and not found in a file."""
        self._completed()
        return self._sweep.made

    @property
    def runs(self) -> list[Stored]:
        """Every run, by point and replication."""
        row = self._completed()
        return list(self._sweep.results.runs(row.id, model=row.model))

    @property
    def points(self) -> list[Estimate]:
        """Every point, with the means of `metrics` and their intervals. TypeError if no run has one of these."""
        runs, metrics = self.runs, self._sweep.row.metrics
        if unknown := unknown_metrics(runs, metrics):
            raise TypeError("\n".join(f"sweep() metrics: {text}" for text in unknown))
        return list(estimates(runs, metrics))

    def to_frame(self) -> Any:
        """A pandas DataFrame: one row for each run and number. Raises TopologyError if pandas is not there."""
        return to_frame(self._sweep.results, self._completed().id)

    def __str__(self) -> str:
        text = io.StringIO()
        print_table(self.points, self._sweep.row.metrics, text)
        return text.getvalue().rstrip("\n")

    def _completed(self) -> Any:
        if not self._complete:
            for _ in self:
                pass
        return self._sweep.row


def study(
    topology: str | Path | Topology,
    axes: Mapping[str, object],
    *,
    drivers: Iterable[str],
    zips: Iterable[Iterable[str] | str],
    where: str,
    sample: str | None,
    reps: int | None,
    ci: str | float | None,
    metrics: Iterable[str],
    independent: bool,
    sets: Iterable[tuple[str, object]],
    overlays: Iterable[str | Path],
    driver: str | None,
    seed: int | None,
    until: str | None,
    file: str | Path | None,
    reuse: Iterable[str | Path],
    **how: Any,
) -> Study:
    """What `cosim.sweep` gives. Raises TopologyError, and TypeError for arguments that are none."""
    if reps is not None and reps < 1:
        raise TypeError(f"sweep() reps: {reps} is no number of runs; each point has 1 at least")
    plan = Plan(Subject(topology), ())
    if not isinstance(topology, Topology) and is_study(str(topology)):
        plan = read(str(topology))
    try:
        named = driver_names(drivers)
        if driver and any(axis.path == DRIVER for axis in plan.axes):
            named, driver = named or [driver], None
        found = [Axis.of(path, values) for path, values in axes.items()]
        found += [Axis.of(DRIVER, named)] if named else []
        plan = plan.with_own(found, [f"{path}={Axis.of(path, [value]).text}" for path, value in sets], until)
        plan = replace(
            plan,
            subject=replace(
                plan.subject,
                overlays=(*plan.subject.overlays, *map(str, overlays)),
                driver=driver,
                seed=plan.subject.seed if seed is None else seed,
            ),
            zips=[*plan.zips, *(names_of(group) if isinstance(group, str) else tuple(group) for group in zips)],
            where=where or plan.where,
            sample=Sample.parse(sample) if sample else plan.sample,
            request=_request(plan.request, reps, ci, tuple(metrics), independent, how),
        )
    except AxesError as error:
        raise as_topology_error(error) from None
    if plan.request.ci and not plan.request.metrics:
        raise TypeError("sweep() with ci needs metrics: of the first of them the interval has to be that narrow")
    return Study(plan.sweep(MEMORY if file is None else file, reuse=list(reuse), stop=Stop()))


def _request(
    known: Request,
    reps: int | None,
    ci: str | float | None,
    metrics: tuple[str, ...],
    independent: bool,
    how: Mapping[str, Any],
) -> Request:
    return replace(
        known,
        reps=reps or known.reps,
        ci=known.ci if ci is None else percent_of(str(ci)),
        metrics=metrics or known.metrics,
        independent=independent or known.independent,
        **how,
    )
