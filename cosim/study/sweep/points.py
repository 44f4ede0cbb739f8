"""A point of the axes becomes a topology, with an id that says what it is a run of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosim.config.merging import COUNT
from cosim.config.problems import Position, Problem, TopologyError
from cosim.config.source import Source
from cosim.study.run.model import model_version
from cosim.study.run.run import Point, command_line
from cosim.study.sweep.axes import DRIVER, Axes
from cosim.study.sweep.named_files import contents
from cosim.system.load import as_source, laid_over, load, resolved
from cosim.system.topology import Topology

AT_A_POINT = "# with the axes as at the first point: without them it cannot be"
"""What a topology begins with that cannot be without the axes."""
ELSEWHERE = 16
"""In so many other points a value is tried that is wrong in the first one, before it is called wrong."""


@dataclass(frozen=True)
class Subject:
    """What is swept: a topology, changed as said; the axes come on top of it."""

    topology: str | Path | Topology
    sets: tuple[str, ...] = ()
    overlays: tuple[str, ...] = ()
    driver: str | None = None
    seed: int | None = None
    until: str | None = None
    source: Source | None = None

    @property
    def name(self) -> str:
        """What the topology is called."""
        if isinstance(self.topology, Topology):
            return "topology"
        return Path(self.topology).name.removesuffix(".yaml").removesuffix(".yml")

    def read(self) -> Subject:
        """The same, its file read once for all points. TopologyError."""
        return replace(self, source=as_source(self.topology))

    def at(self, settings: Mapping[str, str]) -> Topology:
        """The topology at a point. Raises TopologyError."""
        return load(self.source or self.topology, **self._laid_over(settings))

    def lost(self, settings: Mapping[str, str], sets: Sequence[str]) -> Iterator[Problem]:
        """The axes at a point, and those of `sets`, that others set again wherever they lead: they say nothing.

        Raises TopologyError if the point cannot be.
        """
        laid = self._laid_over(settings)

        def left(**other: Any) -> set[str]:
            return {place.file for place in laid_over(self.source or self.topology, **(laid | other)).said()}

        there, axes = left(), _written(settings)
        for text in [*sets, *axes]:
            path, place = text.partition("=")[0], f"-s {text}"
            if place in there or path.endswith(f".{COUNT}"):  # which makes parts, and is none of them
                continue
            by = [other for other in axes if place in left(sets=[each for each in laid["sets"] if each != other])]
            by = [f"the axis {other.partition('=')[0]}" for other in by if other != text]
            by += [f"--until {self.until}"] if place in left(until=None) else []
            hint = "put the particular one last, or leave one out"
            why = f"{' or '.join(by) or 'what stands behind it'} sets all of it again; {hint}"
            yield Problem(Position(f"-x {text}" if text in axes else place), tuple(path.split(".")), why)

    def _laid_over(self, settings: Mapping[str, str]) -> dict[str, Any]:
        return {
            "overlays": self.overlays,
            "sets": [*self.sets, *_written(settings)],
            "driver": settings.get(DRIVER, self.driver),
            "seed": self.seed,
            "until": self.until,
        }

    def command(self, settings: Mapping[str, str], seed: int) -> str:
        """The shell command of one run; nothing for a topology that no file or name makes."""
        if isinstance(self.topology, Topology):
            return ""
        return command_line(self.topology, **self._laid_over(settings) | {"seed": seed})


@dataclass(frozen=True, slots=True)
class Swept:
    """A point: what the axes say, the topology that follows, and its id, which its seed has no part in."""

    id: str
    settings: Mapping[str, str]
    topology: Topology

    def seed(self, replication: int, *, independent: bool) -> int:
        """The seed of a replication: the same at every point, so that differences are of what was changed alone."""
        if independent:
            return int(_hash(f"{self.id} {replication}")[:12], 16)
        return self.topology.run.seed + replication

    def point(self, seed: int, subject: Subject) -> Point:
        """A run of it."""
        run = self.topology.run.model_copy(update={"seed": seed})
        topology = self.topology.model_copy(update={"run": run})
        return Point(topology, subject.name, command=subject.command(self.settings, seed))

    def run_id(self, seed: int) -> str:
        """The id of a run: equal ids are equal runs, of the same model."""
        return _hash(f"{self.id} {seed} {model_version()}")


def swept(subject: Subject, settings: Mapping[str, str], loaded: Topology | None = None) -> Swept:
    """The point of a topology where the axes say this; `loaded` is that, if it is known. Raises TopologyError.

    Of a file that the topology names, such as a recording, what is in it counts.
    """
    topology = (loaded or subject.at(settings)).model_copy(update={"explore": None})
    run = topology.run.model_copy(update={"seed": 0})
    text = topology.model_copy(update={"run": run}).model_dump_json(by_alias=True, exclude_defaults=True)
    if named := contents(topology):
        text += json.dumps(named)
    return Swept(_hash(text), settings, topology)


Loaded = dict[tuple[str, ...], Topology]
"""Topologies that have been loaded, by the values of their settings."""


def check(subject: Subject, axes: Axes, points: Sequence[Mapping[str, str]], sets: Sequence[str] = ()) -> Loaded:
    """Look whether each value can be meant. Raises TopologyError with every axis and value that cannot.

    Given back are the topologies that were loaded for it. An axis that is set again wherever it leads would be a false
    label, and so would be one of `sets`, which are those of `subject` that nothing may lose.

    A value is wrong if it is in all of a few points that have it, the first one foremost: two axes may well exclude
    some of their combinations, of which the runs are then noted as invalid.
    """
    problems: dict[tuple[tuple[str | int, ...], str], Problem] = {}
    loaded: Loaded = {}
    for axis in axes.axes:
        by_value: dict[str, list[Mapping[str, str]]] = {}
        for point in points:
            several = by_value.setdefault(point[axis.path], [])
            if len(several) < ELSEWHERE:
                several.append(point)
        for several in by_value.values():
            several.sort(key=lambda point: sum(point[path] != points[0][path] for path in point))
            for problem in _problems_of(subject, several, loaded):
                problems.setdefault((problem.path, problem.message), problem)
    if problems:
        raise TopologyError(problems.values())
    first = next((point for point in points if tuple(point.values()) in loaded), None)
    if first is not None and (lost := list(subject.lost(first, sets))):
        raise TopologyError(lost)
    return loaded


def base_of(subject: Subject, first: Mapping[str, str]) -> str:
    """The topology without the axes, as YAML that runs by itself; at the `first` point if it cannot be without them.

    Something may be right only together with an axis: Poisson arrivals, where the interval is swept. Raises
    TopologyError if it cannot be there either.
    """
    try:
        return resolved(subject.at({}))
    except TopologyError:
        return f"{AT_A_POINT}\n{resolved(subject.at(first))}"


def _problems_of(subject: Subject, points: Iterable[Mapping[str, str]], loaded: Loaded) -> tuple[Problem, ...]:
    """What is wrong in the first of several points; nothing if one of them is right."""
    first: tuple[Problem, ...] = ()
    for point in points:
        key = tuple(point.values())
        try:
            loaded[key] = loaded.get(key) or subject.at(point)
        except TopologyError as error:
            first = first or told(error, point)
        else:
            return ()
    return first


def told(error: TopologyError, settings: Mapping[str, str]) -> tuple[Problem, ...]:
    """The problems of a point, with axes called so."""
    axes = {f"-s {path}={value}": f"-x {path}={value}" for path, value in settings.items()}
    axes |= {f"--driver {value}": f"--driver {value}" for path, value in settings.items() if path == DRIVER}
    return tuple(
        replace(problem, position=Position(axes[problem.position.file])) if problem.position.file in axes else problem
        for problem in error.problems
    )


def _written(settings: Mapping[str, str]) -> list[str]:
    """What axes say, as overrides; the driver is none."""
    return [f"{path}={value}" for path, value in settings.items() if path != DRIVER]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
