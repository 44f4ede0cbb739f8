"""A study as a file: what is swept, over what, and how surely it has to be known. The command line says the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from cosim.config.problems import Position, Problem, TopologyError
from cosim.config.source import Source, validate
from cosim.study.sweep.axes import DRIVER, Axes, AxesError, Axis
from cosim.study.sweep.plan import PLACES, Plan, moved, percent_of
from cosim.study.sweep.points import Subject, told
from cosim.study.sweep.request import Request
from cosim.study.sweep.samples import Sample
from cosim.study.sweep.where import Where
from cosim.system.load import shipped_studies
from cosim.units.options import Options


class StudyOptions(Options):
    """A study."""

    topology: str
    """What is swept: a file, beside the study or in the shell's folder, or the name of one that comes with cosim."""
    axes: dict[str, Any]
    """The values of each path: a text such as `16..1024*2`, or a list. `driver` is the driver's name."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Values of other paths, the same at every point."""
    overlays: tuple[str, ...] = ()
    """Files laid over the topology."""
    seed: int | None = Field(default=None, ge=0)
    until: str | None = None
    zip: tuple[tuple[str, ...], ...] = ()
    """Axes that vary together, by their last names."""
    where: str | None = None
    """A condition that points have to meet."""
    sample: str | None = None
    """`lhs:64` or `sobol:64`: so many points are drawn, instead of all."""
    reps: int | None = Field(default=None, ge=1)
    """How many replications each point has."""
    ci: str | None = None
    """`2%`: replicate until the interval of the first of `metrics` is that narrow."""
    metrics: tuple[str, ...] = ()
    """What tables are of."""
    independent: bool = False
    """Points do not share their random numbers."""


def is_study(path: str) -> bool:
    """Whether that is a study and no topology: one that comes with cosim, by its name, or a file that has axes.

    Raises TopologyError for a file that cannot be read, whichever of them it is.
    """
    if not Path(path).is_file():
        return path in shipped_studies()
    if Path(path).suffix not in (".yaml", ".yml"):
        return False
    return "axes" in Source.load(path).root.entries


def read(path: str) -> Plan:
    """The study of a file, or of a name. Raises TopologyError with everything that is wrong with it, and the lines."""
    if not Path(path).is_file():
        path = str(shipped_studies()[path])
    source, folder = Source.load(path), Path(path).parent
    options = validate(StudyOptions, source, lambda options, _: _check(options, folder))
    return Plan(
        _subject(options, folder),
        tuple(Axis.of(name, values) for name, values in options.axes.items()),
        options.zip,
        options.where or "",
        Sample.parse(options.sample) if options.sample else None,
        replace(
            Request(metrics=options.metrics, independent=options.independent),
            reps=options.reps or 1,
            ci=percent_of(options.ci) if options.ci else 0.0,
        ),
        places={
            "metrics": {name: source.where(("metrics", at)) for at, name in enumerate(options.metrics)},
            **{field: {path: source.where((field, path)) for path in getattr(options, field)} for field in PLACES},
        },
    )


def _subject(options: StudyOptions, folder: Path) -> Subject:
    """What the study in `folder` sweeps. Raises AxesError."""
    beside = folder / options.topology
    return Subject(
        str(beside) if beside.is_file() else options.topology,
        tuple(f"{name}={Axis.of(name, [value]).text}" for name, value in options.set.items()),
        tuple(str(folder / overlay) for overlay in options.overlays),
        seed=options.seed,
        until=options.until,
    )


Complaints = Iterator[tuple[tuple[str | int, ...], str]]
"""What is wrong between the fields, each at its place."""


def _check(options: StudyOptions, folder: Path) -> Complaints:
    axes: list[Axis] = []
    for name, values in options.axes.items():
        try:
            axis = Axis.of(name, values)
            axis.check_path()
            axes.append(axis)
            if not any(name == each or name.endswith(f".{each}") for group in options.zip for each in group):
                axes[-1].check()
        except AxesError as error:
            yield ("axes", name), _without_option(error)
    if not options.axes:
        yield ("axes",), "there are none; a study has at least one, such as iommu0.geometry.walkers: 1,2,4"
    wrong = options.axes.keys() - {axis.path for axis in axes}
    for at, group in enumerate(options.zip):
        if not any(path == name or path.endswith(f".{name}") for path in wrong for name in group):
            try:
                Axes(axes, [group])
            except AxesError as error:
                yield ("zip", at), _without_option(error)
    checks: dict[str, Any] = {"sample": Sample.parse, "ci": percent_of}
    if not wrong:
        checks["where"] = lambda text: Where(text, Axes(axes))
    for name, parse in checks.items():
        if text := getattr(options, name):
            try:
                parse(text)
            except AxesError as error:
                yield (name,), _without_option(error)
    if options.ci and not options.metrics:
        yield ("ci",), "say in `metrics` of which number the interval has to be that narrow"
    if DRIVER in options.set:
        yield ("set", DRIVER), "name the driver among the axes, also a single one"
    else:
        yield from _overlays(options, folder)
        yield from _paths(options, folder, axes)


def _overlays(options: StudyOptions, folder: Path) -> Complaints:
    """Files to lay over it that cannot be read."""
    for at, name in enumerate(options.overlays):
        try:
            Source.load(folder / name)
        except TopologyError as error:
            yield from ((("overlays", at), str(problem)) for problem in error.problems)


def _paths(options: StudyOptions, folder: Path, axes: list[Axis]) -> Complaints:
    """A topology that there is none of, and what of an axis' first value or of `set` leads nowhere."""
    try:
        subject = _subject(options, folder).read()
    except AxesError:
        return  # a value of `set`, which is told by whoever asks for the subject
    except TopologyError as error:
        if all(problem.position == Position(options.topology) for problem in error.problems):
            yield from ((("topology",), f"{options.topology}: {problem.message}") for problem in error.problems)
        return
    first = {axis.path: axis.values[0] for axis in axes if axis.values}
    together = _wrong(subject, first)
    if not together:
        return
    for field, points in (("set", [{}]), ("axes", [{path: value} for path, value in first.items()])):
        for point in points:
            for problem in _wrong(subject, point) & together:
                ours = moved(problem, {field: {path: Position("here") for path in getattr(options, field)}})
                if ours is not problem:
                    yield ours.path, ours.message


def _wrong(subject: Subject, point: Mapping[str, str]) -> set[Problem]:
    """What is wrong at a point."""
    try:
        subject.at(point)
    except TopologyError as error:
        return set(told(error, point))
    return set()


def _without_option(error: AxesError) -> str:
    """The message without what it would be called on a command line."""
    text = str(error)
    return text.partition(": ")[2] if text.startswith("-") else text
