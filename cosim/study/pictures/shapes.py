"""Pictures as data: curves over an axis, and a number at each point of two axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y), and for each from where to where its mean may be; no band if empty.

    A line joins them, but for the first ones that stand `alone`.
    """

    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float]] = ()
    alone: int = 0


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves by name over a common axis, whose `ticks` are places and what stands there; round numbers without any."""

    title: str
    across: str
    curves: Mapping[str, Curve]
    ticks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True, slots=True)
class Heat:
    """`values` at pairs of what two axes, each a name and its values, say."""

    title: str
    across: tuple[str, Sequence[str]]
    down: tuple[str, Sequence[str]]
    values: Mapping[tuple[str, str], float]
