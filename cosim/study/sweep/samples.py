"""Points that are drawn instead of all: a Latin hypercube, or Sobol's sequence, of so many points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from cosim.study.results.extras import needed
from cosim.study.sweep.axes import Axes, AxesError, Axis
from cosim.study.sweep.values import ValuesError, span_of
from cosim.units.nearest import nearest

Method = Literal["lhs", "sobol"]


@dataclass(frozen=True, slots=True)
class Sample:
    """So many points, by a method and from a seed."""

    method: Method
    points: int
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> Sample:
        """Of ``lhs:64`` or ``sobol:64``. Raises AxesError."""
        name, _, count = text.partition(":")
        if name not in get_args(Method):
            raise AxesError(f"--sample {text}: {nearest(name, get_args(Method))}; write lhs:64 or sobol:64")
        if not count.isdigit() or not int(count):
            raise AxesError(f"--sample {text}: say how many points: {name}:64")
        return cls("lhs" if name == "lhs" else "sobol", int(count))


def drawn(axes: Axes, sample: Sample) -> Iterator[dict[str, str]]:
    """The points, by path; of a range without a step any value, of other axes one of their values.

    Raises TopologyError if scipy is not there.
    """
    qmc = needed("scipy.stats.qmc", f"--sample {sample.method}:{sample.points}")
    free = _free(axes)
    if sample.method == "lhs":
        unit = qmc.LatinHypercube(d=len(free), seed=sample.seed).random(sample.points)
    else:  # a whole power of two is balanced; the rest of it is left out
        unit = qmc.Sobol(d=len(free), seed=sample.seed).random_base2((sample.points - 1).bit_length())[: sample.points]
    seen = set()
    for row in unit.tolist():
        at = dict(zip(free, row, strict=True))
        settings = {axis.path: value_at(axis, at[_leader(axes, axis.path)]) for axis in axes.axes}
        if (key := tuple(settings.values())) not in seen:
            seen.add(key)
            yield settings


def value_at(axis: Axis, part: float) -> str:
    """The value of an axis that has this part of it, from 0 to 1, before it."""
    try:
        span = span_of(axis.text)
    except ValuesError:
        span = None
    if span is not None:
        return span.at(part)
    return axis.values[min(int(part * len(axis.values)), len(axis.values) - 1)]


def _free(axes: Axes) -> list[str]:
    """A path for each thing that varies by itself."""
    return list(dict.fromkeys(_leader(axes, axis.path) for axis in axes.axes))


def _leader(axes: Axes, path: str) -> str:
    return next((group[0] for group in axes.together if path in group), path)
