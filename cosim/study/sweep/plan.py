"""A sweep as it is asked for, before anything is loaded or run: from a command line, a study file or Python."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from cosim.config.problems import Position, Problem, TopologyError, dotted
from cosim.study.pool.cluster.cluster import Cluster
from cosim.study.results.file import MEMORY
from cosim.study.results.results import Results, SweepRow
from cosim.study.run.model import model_version
from cosim.study.run.stop import Stop
from cosim.study.sweep.axes import DRIVER, Axes, AxesError, Axis, is_called
from cosim.study.sweep.metrics import misspelt
from cosim.study.sweep.points import Loaded, Subject, base_of, check
from cosim.study.sweep.request import Request
from cosim.study.sweep.samples import Sample, drawn
from cosim.study.sweep.sweep import Sweep
from cosim.study.sweep.where import Where

UNTIL = "run.until"
"""The path of what --until says."""


@dataclass(frozen=True)
class Plan:
    """What is swept, over which axes, which of their points, and how often."""

    subject: Subject
    axes: tuple[Axis, ...]
    zips: Sequence[Sequence[str]] = ()
    where: str = ""
    sample: Sample | None = None
    request: Request = field(default_factory=Request)
    places: Mapping[str, Mapping[str, Position]] = field(default_factory=dict)
    """Where a study file says what of `axes` and of `set`, by their paths, and of `metrics`, by their names."""
    own: tuple[str, ...] = ()
    """Those of the subject's `sets` that nothing may lose: whoever asks for the sweep has said them himself."""

    def with_own(self, axes: Sequence[Axis], sets: Sequence[str], until: str | None = None) -> Plan:
        """The same with axes and values of whoever asks for it: those of a path that is an axis here take its place.

        An axis that has a single value then does not vary together with others any more. Raises AxesError if one is
        there twice.
        """
        Axes(axes)
        there = {bare(axis.path): axis.path for axis in self.axes}
        if until and UNTIL in there:
            sets, until = [*sets, f"{UNTIL}={until}"], None
        new: dict[str, Axis] = {}
        kept = []
        for text in sets:
            path, _, value = (part.strip() for part in text.partition("="))
            if value and bare(path) in there:
                new[there[bare(path)]] = Axis(there[bare(path)], (value,), value)
            if bare(path) not in there or any(bare(axis.path) == bare(path) for axis in axes):
                kept.append(text)
        for axis in axes:
            path = there.get(bare(axis.path), axis.path)
            new[path] = replace(axis, path=path)
        alone = [path for path, axis in new.items() if len(axis.values) == 1]
        zips = [[name for name in group if not any(is_called(path, name) for path in alone)] for group in self.zips]
        found = {axis.path: axis for axis in self.axes} | new
        places = {path: place for path, place in self.places.get("axes", {}).items() if path not in new}
        return replace(
            self,
            subject=replace(self.subject, sets=(*self.subject.sets, *kept), until=until or self.subject.until),
            axes=tuple(found.values()),
            zips=[group for group in zips if len(group) > 1],
            places={**self.places, "axes": places},
            own=(*self.own, *kept),
        )

    def points(self) -> tuple[Axes, list[dict[str, str]]]:
        """The axes, and what they say at each point. Raises AxesError, and TopologyError if an extra is missing."""
        axes = Axes(self.axes, self.zips)
        axes.check_alone()
        found = list(drawn(axes, self.sample) if self.sample else axes.grid())
        if self.where:
            meets = Where(self.where, axes)
            found = [point for point in found if meets(point)]
            if not found:
                raise AxesError(f"--where {self.where}: no point meets it")
        return axes, found

    def sweep(
        self,
        path: str | Path = MEMORY,
        *,
        command: str = "",
        reuse: Sequence[str | Path] = (),
        stop: Stop | None = None,
    ) -> Sweep:
        """The sweep, ready to run, with its results file opened, and its cluster, if it has one.

        Raises TopologyError before anything is written.
        """
        axes, points, subject, loaded, base = self.checked()
        others = [Results(other) for other in reuse]
        row = SweepRow(command, subject.name, base, axes.written(), self.request.metrics, model_version())
        with ExitStack() as until_known:
            cluster = until_known.enter_context(Cluster(self.request.cluster)) if self.request.cluster else None
            results = Results(path, write=True)
            until_known.pop_all()
        return Sweep(subject, points, self.request, results, row, others, cluster, stop, loaded=loaded)

    def checked(self) -> tuple[Axes, list[dict[str, str]], Subject, Loaded, str]:
        """The axes, what they say at each point, the subject that was read, and what was loaded: points and base.

        Raises TopologyError with what is wrong.
        """
        axes, points = self._points()
        subject = self.subject.read()
        try:
            loaded = check(subject, axes, points, self.own)
        except TopologyError as error:
            raise TopologyError(moved(problem, self.places) for problem in error.problems) from None
        first = next(point for point in points if tuple(point.values()) in loaded)
        if wrong := list(misspelt(self.request.metrics, loaded.values(), self.places.get("metrics", {}))):
            raise TopologyError(wrong)
        return axes, points, subject, loaded, base_of(subject, first)

    def _points(self) -> tuple[Axes, list[dict[str, str]]]:
        if not self.axes:
            raise TopologyError([Problem(Position("-x"), (), "name an axis: -x iommu0.geometry.walkers=1,2,4")])
        try:
            return self.points()
        except AxesError as error:
            raise as_topology_error(error) from None


def bare(path: str) -> str:
    """A path without the section of the parts, which may be left out."""
    return path.strip().removeprefix("parts.")


PLACES = {"axes": "-x", "set": "-s"}
"""The fields of a study that have paths, and the options that say the same."""


def moved(problem: Problem, places: Mapping[str, Mapping[str, Position]]) -> Problem:
    """The same problem at its place in a study file, if that is where it was said; else `problem` itself."""
    said = problem.position.file
    for field_, option in PLACES.items():
        for path, place in places.get(field_, {}).items():
            start = "--driver " if (field_, path) == ("axes", DRIVER) else f"{option} {path}="
            if said.startswith(start):
                message = f"{said.removeprefix(start)}: {dotted(problem.path)}: {problem.message}"
                return Problem(place, (field_, path), message)
    return problem


def as_topology_error(error: AxesError) -> TopologyError:
    """The same with the option as its place."""
    place, colon, message = str(error).partition(": ")
    return TopologyError([Problem(Position(place), (), message) if colon else Problem(Position("sweep"), (), place)])


def percent_of(text: str) -> float:
    """The fraction that ``2%`` or ``0.02`` is. Raises AxesError."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value < 1:
        raise AxesError(f"--ci {text}: write how narrow, such as 2%")
    return value


def settings_of(values: Mapping[str, object]) -> tuple[Axis, ...]:
    """Axes of paths and values, as Python gives them. Raises TopologyError."""
    try:
        return tuple(Axis.of(path, each) for path, each in values.items())
    except AxesError as error:
        raise as_topology_error(error) from None
