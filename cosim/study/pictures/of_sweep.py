"""The pictures of a sweep: of each number curves over the longest axis, heat maps over two, or dots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import isfinite, prod

from cosim.study.pictures.scale import Scale, scale_of
from cosim.study.pictures.shapes import Curve, Curves, Heat
from cosim.study.report.sweep_table import factor_of, heading
from cosim.study.results.estimate import Estimate, Mean
from cosim.study.results.results import SweepRow

CURVES = 8
"""So many curves can be told apart in one picture."""
SPARSE = 2
"""If fewer points are there than the axes' values make by this factor, they were drawn, and each is a dot."""
HEATS = 12
"""So many heat maps of a number are drawn at most."""

Found = Mapping[tuple[str, ...], Mean]
"""The mean of a number at each point, by what the axes say there, in their order."""


def pictures_of(name: str, sweep: SweepRow, points: Sequence[Estimate]) -> Iterator[Curves | Heat]:
    """Curves over the longest axis, one for each setting of the others if they are few; heat maps over two axes.

    Numbers stand in their order, and along a curve to scale; words as they were written, with no line between them.
    """
    found = {settings_of(point, sweep): point.means[name] for point in points if name in point.means}
    scales = {path: scale_of(_present(path, points)) for path in sweep.axes}
    scales = {path: scale for path, scale in scales.items() if len(scale.places) > 1}
    axes = {path: list(scale.places) for path, scale in scales.items()}
    if not axes or not found:
        return
    if len(found) * SPARSE < prod(len(values) for values in axes.values()):
        for path in axes:
            yield _dots(name, sweep, found, path, scales[path])
        return
    longest = max(axes, key=lambda path: len(axes[path]))
    others = [path for path in axes if path != longest]
    combinations = list(product(*(axes[path] for path in others)))
    if len(combinations) <= CURVES:
        curves = {}
        for settings in combinations:
            fixed = dict(zip(others, settings, strict=True))
            curve = _curve(name, sweep, found, longest, scales[longest], fixed)
            if curve.points:
                curves[", ".join(f"{short(path)} {value}" for path, value in fixed.items()) or heading(name)] = curve
        scale = scales[longest]
        yield Curves(heading(name), scale.axis(longest), curves, scale.ticks())
    if others:
        second = max(others, key=lambda path: len(axes[path]))
        rest = [path for path in others if path != second]
        for settings in list(product(*(axes[path] for path in rest)))[:HEATS]:
            fixed = dict(zip(rest, settings, strict=True))
            yield from _heat(name, sweep, found, (longest, axes[longest]), (second, axes[second]), fixed)


def settings_of(point: Estimate, sweep: SweepRow) -> tuple[str, ...]:
    """What each axis says at a point, in the order of the axes; empty where one says nothing."""
    return tuple(point.settings.get(path, "") for path in sweep.axes)


def short(path: str) -> str:
    """An axis by the last word of its path."""
    return path.rpartition(".")[2]


def _curve(name: str, sweep: SweepRow, found: Found, path: str, scale: Scale, fixed: Mapping[str, str]) -> Curve:
    """The means along an axis; where axes vary together, what the others say is not asked."""
    factor, points, band, alone = factor_of(name), [], [], 0
    for value, at in scale.places.items():
        here = {**fixed, path: value}
        mean = found.get(tuple(here.get(axis, "") for axis in sweep.axes))
        if mean is None:
            mean = next((each for key, each in found.items() if _matches(key, sweep, here)), None)
        if mean is not None:
            half = mean.half if isfinite(mean.half) else 0.0
            points.append((at, mean.value * factor))
            alone += scale.words or value in scale.apart
            band.append(((mean.value - half) * factor, (mean.value + half) * factor))
    return Curve(points, band, alone)


def _dots(name: str, sweep: SweepRow, found: Found, path: str, scale: Scale) -> Curves:
    """A dot for each point over one axis: of points that were drawn, no two share the settings of the others."""
    place, factor = list(sweep.axes).index(path), factor_of(name)
    points = [(scale.places[key[place]], mean.value * factor) for key, mean in found.items()]
    return Curves(heading(name), scale.axis(path), {heading(name): Curve(points, alone=len(points))}, scale.ticks())


def _heat(
    name: str,
    sweep: SweepRow,
    found: Found,
    across: tuple[str, Sequence[str]],
    down: tuple[str, Sequence[str]],
    fixed: Mapping[str, str],
) -> Iterator[Heat]:
    values = {}
    for key, mean in found.items():
        here = dict(zip(sweep.axes, key, strict=True))
        if all(here[path] == value for path, value in fixed.items()):
            values[here[across[0]], here[down[0]]] = mean.value * factor_of(name)
    if values:
        which = f" at {', '.join(f'{short(path)} {value}' for path, value in fixed.items())}" if fixed else ""
        yield Heat(f"{heading(name)}{which}", across, down, values)


def _matches(key: tuple[str, ...], sweep: SweepRow, settings: Mapping[str, str]) -> bool:
    return all(settings.get(path, value) == value for path, value in zip(sweep.axes, key, strict=True))


def _present(path: str, points: Sequence[Estimate]) -> list[str]:
    """The values of an axis at the points that there are, in their order."""
    return list(dict.fromkeys(point.settings[path] for point in points if path in point.settings))
