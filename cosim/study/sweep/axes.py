"""Axes: what varies, over which values, and which of them vary together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from cosim.study.sweep.values import ValuesError, span_of, split, values_of
from cosim.sw.driver.table import ROWS
from cosim.units.nearest import nearest
from cosim.units.quantities import show

DRIVER = "driver"
"""The axis that is the driver's name, and replaces the whole driver."""


class AxesError(ValueError):
    """Axes that cannot be: what is wrong, in words."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A path, with globs if that is wanted, and the values that are put there, as they are written."""

    path: str
    values: tuple[str, ...]
    text: str
    """The values as they were given, such as ``16..1024*2``; of ``1 us..2 us`` alone values can only be drawn."""

    @classmethod
    def parse(cls, text: str) -> Axis:
        """Of ``PATH=VALUES``. Raises AxesError."""
        path, equals, values = text.partition("=")
        if not equals or not path.strip() or not values.strip():
            raise AxesError(f"-x {text}: write PATH=VALUES, such as iommu0.geometry.walkers=1,2,4")
        return cls.of(path.strip(), values.strip())

    @classmethod
    def of(cls, path: str, values: object) -> Axis:
        """Of a path and its values: a text, a number, or a list of them. Raises AxesError."""
        listed = [_written(each) for each in values] if isinstance(values, list | tuple | range) else None
        text = _written(values) if listed is None else ",".join(listed)
        try:
            if span_of(text) is not None and listed is None:
                return cls(path, _known(text), text)
            found = values_of(text) if listed is None else tuple(listed)
        except ValuesError as error:
            raise AxesError(f"-x {path}={text}: {error}") from None
        if not found:
            raise AxesError(f"-x {path}={text}: there are no values")
        return cls(path, found, text)

    def check_path(self) -> None:
        """Raises AxesError if it is the seed, in which replications of a point differ and points do not."""
        if self.path in ("seed", "run.seed"):
            why = "a seed is no axis; --reps 3 makes three runs of each point, the first with that of --seed"
            raise AxesError(f"-x {self.path}={self.text}: {why}")

    def check(self) -> None:
        """Raises AxesError if a value is there twice, as it may be only in an axis that varies together with others."""
        again = _twice(self.values)
        if again is not None:
            raise AxesError(f"-x {self.path}={self.text}: {again} is there twice")


class Axes:
    """Several axes, of which each group of `together` varies as one. Raises AxesError."""

    def __init__(self, axes: Iterable[Axis], together: Iterable[Sequence[str]] = ()) -> None:
        self.axes = tuple(axes)
        paths = [axis.path for axis in self.axes]
        twice = next((path for at, path in enumerate(paths) if path in paths[:at]), None)
        if twice is not None:
            raise AxesError(f"-x {twice}: this axis is there twice; write all its values with commas between them")
        for axis in self.axes:
            axis.check_path()
        self.together: list[tuple[str, ...]] = []
        for names in together:
            self._put_together(tuple(self.called(name, f"--zip {','.join(names)}") for name in names))

    def _put_together(self, group: tuple[str, ...]) -> None:
        said = f"--zip {','.join(group)}"
        if len(set(group)) < 2:
            raise AxesError(f"{said}: name two axes at least, with a comma between them")
        if both := {path for other in self.together for path in other} & set(group):
            raise AxesError(f"{said}: {min(both)} is in another --zip")
        lengths = {path: len(self[path].values) for path in group}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{path} has {count}" for path, count in lengths.items())
            raise AxesError(f"{said}: axes that vary together have equally many values; {counts}")
        twice = _twice(list(zip(*(self[path].values for path in group), strict=True)))
        if twice is not None:
            raise AxesError(f"{said}: {', '.join(twice)} is there twice")
        self.together.append(group)

    def check_alone(self) -> None:
        """Raises AxesError if an axis that varies by itself has a value twice."""
        zipped = {path for group in self.together for path in group}
        for axis in self.axes:
            if axis.path not in zipped:
                axis.check()

    def __getitem__(self, path: str) -> Axis:
        return next(axis for axis in self.axes if axis.path == path)

    def called(self, name: str, by: str) -> str:
        """The path of the axis that `name` is, or ends in. Raises AxesError, which says `by` whom it was named."""
        paths = [axis.path for axis in self.axes]
        fits = [path for path in paths if path == name] or [path for path in paths if is_called(path, name)]
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise AxesError(f"{by}: {name} may be {' or '.join(fits)}; write more of it")
        ends = [path.rpartition(".")[2] for path in paths]
        raise AxesError(f"{by}: {show(name)} is no axis; {nearest(name, dict.fromkeys([*ends, *paths]))}")

    def grid(self) -> Iterator[dict[str, str]]:
        """Every combination of values, by path; the last axis varies fastest. Raises AxesError if there is no end."""
        for axis in self.axes:
            if not axis.values:
                values_of_axis(axis)
        groups: list[tuple[str, ...]] = []
        for axis in self.axes:
            group = next((group for group in self.together if axis.path in group), (axis.path,))
            if group not in groups:
                groups.append(group)
        order = [axis.path for axis in self.axes]
        choices = [list(zip(*(self[path].values for path in group), strict=True)) for group in groups]
        for chosen in product(*choices):
            found = {
                path: value
                for group, values in zip(groups, chosen, strict=True)
                for path, value in zip(group, values, strict=True)
            }
            yield {path: found[path] for path in order}

    def written(self) -> Mapping[str, Sequence[str]]:
        """The values of each path."""
        return {axis.path: list(axis.values) or [axis.text] for axis in self.axes}


def is_called(path: str, name: str) -> bool:
    """Whether a name is that of an axis, or what its path ends in."""
    return path == name or path.endswith(f".{name}")


def values_of_axis(axis: Axis) -> tuple[str, ...]:
    """The values of an axis. Raises AxesError if it is a span without any."""
    try:
        return values_of(axis.text)
    except ValuesError as error:
        raise AxesError(f"-x {axis.path}={axis.text}: {error}; or draw from it: --sample lhs:64") from None


def _known(text: str) -> tuple[str, ...]:
    """The values of a span of whole numbers; none of one without a step."""
    try:
        return values_of(text)
    except ValuesError:
        return ()


def _twice(values: Sequence[Any]) -> Any:
    """The first value that has been there before; None if there is none."""
    return next((value for at, value in enumerate(values) if value in values[:at]), None)


def names_of(text: str) -> list[str]:
    """The names between commas. Raises AxesError."""
    try:
        return split(text)
    except ValuesError as error:
        raise AxesError(f"{text}: {error}") from None


def driver_names(names: Iterable[str]) -> list[str]:
    """Drivers by name, and those for which a glob stands."""
    found: dict[str, None] = {}
    for name in names:
        found |= dict.fromkeys([known for known in ROWS if fnmatchcase(known, name)] or [name])
    return list(found)


def _written(value: object) -> str:
    """A value of Python or of YAML as an override writes it."""
    if isinstance(value, dict | list):
        return json.dumps(value)
    return value.strip() if isinstance(value, str) else show(value)
