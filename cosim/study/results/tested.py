"""Numbers of two sides of a comparison: what differs, and how probable that would be by chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cosim.study.results.numbers import OVERLOADED, growing
from cosim.study.statistics.student import quantile, tails
from cosim.units.time_names import PART

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

BY_CHANCE = 0.05
"""Of what is called different, so much is expected to be so by chance."""
NOT_COMPARED = (".ci95_from_ps", ".ci95_to_ps")

Row = tuple[int, list[str], "Array"]
"""Seed, names and numbers of a run."""


@dataclass(frozen=True, slots=True)
class Change:
    """A number at a point: its mean in both, half the 95 % interval of the difference, and whether that is real.

    Half is infinite where there is one run on a side, and nothing can be said. A number of a device that is
    `overloaded` on a side grows with the length of the runs: its difference is one of runs so long.
    """

    name: str
    first: float
    second: float
    half: float
    real: bool
    overloaded: bool = False

    @property
    def difference(self) -> float:
        """How much more the second one has."""
        return self.second - self.first

    @property
    def relative(self) -> float:
        """That as a fraction of the first one; infinite where there was nothing."""
        return self.difference / abs(self.first) if self.first else float("inf") * (1 if self.difference > 0 else -1)


@dataclass(frozen=True, slots=True)
class Tested:
    """A point, its numbers side by side, and how probable each difference would be by chance."""

    names: list[str]
    means: tuple[Array, Array]
    halves: Array
    chances: Array
    """Not a number where nothing can be told, or where there is no difference."""
    runs: tuple[int, int]
    paired: int
    equal: int

    def changes(self, limit: float) -> Iterator[Change]:
        """What differs, real if it is less probable by chance than `limit`."""
        grown = self.overloaded()
        for at, name in enumerate(self.names):
            first, second = float(self.means[0][at]), float(self.means[1][at])
            if first != second:
                real = bool(self.chances[at] <= limit)
                yield Change(name, first, second, float(self.halves[at]), real, growing(name) in grown)

    def overloaded(self) -> set[str]:
        """The scalars that say of a device that it was overloaded in a run of either side (`growing`)."""
        flags = [at for at, name in enumerate(self.names) if name.endswith(OVERLOADED)]
        return {self.names[at] for at in flags if self.means[0][at] or self.means[1][at]}


class Names:
    """Lists of names, of which there are few, and where the names of one stand in another; by the lists themselves."""

    def __init__(self) -> None:
        self._shared: dict[tuple[int, ...], list[str]] = {}
        self._places: dict[tuple[int, int], list[int]] = {}

    def shared(self, lists: Sequence[list[str]]) -> list[str]:
        """The names that are in all of them, but for what is no measurement; a part that is in some is 0 in others."""
        key = tuple(sorted({id(each) for each in lists}))
        if key not in self._shared:
            known = set(lists[0]).intersection(*lists)
            every = dict.fromkeys(name for each in lists for name in each)
            self._shared[key] = [
                name
                for name in every
                if (name in known and not name.endswith(NOT_COMPARED))
                or (PART in name and f"{name.partition(PART)[0]}.mean_ps" in known)
            ]
        return self._shared[key]

    def places(self, names: list[str], among: list[str]) -> list[int]:
        """Where each of `names` stands; -1 for one that does not."""
        key = (id(names), id(among))
        if key not in self._places:
            at = {name: place for place, name in enumerate(among)}
            self._places[key] = [at.get(name, -1) for name in names]
        return self._places[key]


Pair = tuple[list[Row], list[Row]]
"""The runs of a point on both sides."""
AT_ONCE = 256
"""As many points are computed at once."""


def tested(pairs: Sequence[Pair]) -> list[Tested]:
    """Each point tested. Points with equal names and seeds, as most are, are computed many at once."""
    names = Names()
    alike: dict[tuple[Any, ...], list[int]] = {}
    for at, pair in enumerate(pairs):
        key = [[(seed, id(known)) for seed, known, _ in side] for side in pair]
        alike.setdefault((tuple(key[0]), tuple(key[1])), []).append(at)
    found: list[Tested | None] = [None] * len(pairs)
    for places in alike.values():
        for begin in range(0, len(places), AT_ONCE):
            some = places[begin : begin + AT_ONCE]
            for at, one in zip(some, _tested([pairs[place] for place in some], names), strict=True):
                found[at] = one
    return [one for one in found if one is not None]


def _tested(pairs: Sequence[Pair], known: Names) -> Iterator[Tested]:
    """Points whose names and seeds are the same; arrays are by point, run and name."""
    import numpy as np

    names = known.shared([row[1] for side in pairs[0] for row in side])
    one, other = (_side([pair[side] for pair in pairs], names, known) for side in (0, 1))
    seeds = [[seed for seed, _, _ in side] for side in pairs[0]]
    common = sorted(set(seeds[0]) & set(seeds[1]))
    runs = (len(seeds[0]), len(seeds[1]))
    spread, freedom = np.full((len(pairs), len(names)), np.inf), np.ones((len(pairs), len(names)))
    if len(common) > 1:
        one = one[:, [seeds[0].index(seed) for seed in common]]
        other = other[:, [seeds[1].index(seed) for seed in common]]
        spread = (other - one).std(1, ddof=1) / np.sqrt(len(common))
        freedom[:] = len(common) - 1
    elif min(runs) > 1:
        spread, freedom = _welch(one, other)
    means = (one.mean(1), other.mean(1))
    apart = means[1] - means[0]
    halves, chances = np.full(apart.shape, np.inf), np.full(apart.shape, np.nan)
    for degrees in np.unique(freedom):
        at = (freedom == degrees) & np.isfinite(spread)
        if at.any():
            halves[at] = quantile(0.975, float(degrees)) * spread[at]
            with np.errstate(divide="ignore", invalid="ignore"):
                chances[at] = tails(np.abs(apart[at]) / spread[at], int(degrees))
    same = apart == 0
    chances[same] = np.nan
    for point in range(len(pairs)):
        yield Tested(
            names,
            (means[0][point], means[1][point]),
            halves[point],
            chances[point],
            runs,
            len(common),
            int(same[point].sum()),
        )


def _side(points: Sequence[list[Row]], names: list[str], known: Names) -> Array:
    """The numbers of one side, by point, run and name; a part that is not there is 0."""
    import numpy as np

    runs = []
    for at, (_, among, _) in enumerate(points[0]):
        rows = np.stack([rows[at][2] for rows in points])
        runs.append(np.pad(rows, ((0, 0), (0, 1)))[:, known.places(names, among)])
    return np.stack(runs, axis=1)


def _welch(one: Array, other: Array) -> tuple[Array, Array]:
    """How far the difference of two means spreads, and its degrees of freedom, whole."""
    import numpy as np

    parts = [side.var(1, ddof=1) / side.shape[1] for side in (one, other)]
    whole = parts[0] + parts[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = whole**2 / (parts[0] ** 2 / (one.shape[1] - 1) + parts[1] ** 2 / (other.shape[1] - 1))
    return np.sqrt(whole), np.maximum(1, np.floor(np.nan_to_num(freedom, nan=1.0)))


def least_sure(found: Sequence[Tested]) -> tuple[float, int]:
    """The largest probability by chance with which a difference is still called real, and how many were judged."""
    import numpy as np

    chances = np.sort(np.concatenate([one.chances[~np.isnan(one.chances)] for one in found] or [np.zeros(0)]))
    same = sum(one.equal for one in found)
    judged = len(chances) + same
    allowed = BY_CHANCE * np.arange(1, len(chances) + 1) / max(1, judged)
    below = np.flatnonzero(chances <= allowed)
    return (float(chances[below[-1]]) if len(below) else -1.0), judged
