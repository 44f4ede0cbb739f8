"""What differs between two studies: in what was run, and in what came out, where that is no chance.

Points are compared that the axes call the same. Where both have runs of the same seeds, their differences are taken
one by one, so that what the seeds do to both is no noise; else the two means are compared (Welch). Every run of a point
counts, whichever sweep has made it: each is a sample of the same. Of all numbers at all points together so many are
called different that 5 % of them, at most, are expected to be so by chance (Benjamini and Hochberg 1995).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cosim.config.problems import Position, Problem, TopologyError
from cosim.config.source import Source, dotted
from cosim.study.results.results import Results, SweepRow
from cosim.study.results.tested import Change, Row, Tested, least_sure, tested
from cosim.system.load import as_data, load

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Summary:
    """A number over all points: at how many of those that have it the difference is real, and how large it is there.

    `least`, `middle` (the median) and `most` are fractions of the first one's mean.
    """

    name: str
    points: int
    real: int
    least: float
    middle: float
    most: float


@dataclass(frozen=True, slots=True)
class PointChange:
    """A point that is in both, with what the axes say."""

    settings: Mapping[str, str]
    tested: Tested
    limit: float

    @property
    def runs(self) -> tuple[int, int]:
        """How many runs there are on each side."""
        return self.tested.runs

    @property
    def paired(self) -> int:
        """How many of them have the same seeds."""
        return self.tested.paired

    @property
    def real(self) -> int:
        """How many numbers really differ."""
        return int((self.tested.chances <= self.limit).sum())

    @property
    def changes(self) -> list[Change]:
        """What differs, real or not."""
        return list(self.tested.changes(self.limit))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs: in the `inputs` (path, first, second), and at each point that is in both."""

    inputs: Sequence[tuple[str, str, str]]
    points: Sequence[PointChange]
    only_first: Sequence[Mapping[str, str]]
    only_second: Sequence[Mapping[str, str]]
    tested: int = 0
    """Of how many numbers it could be told whether they differ."""
    failed: tuple[int, int] = (0, 0)
    """Runs that failed, and are not compared."""

    @property
    def real(self) -> int:
        """How many numbers really differ, at all points together."""
        return sum(point.real for point in self.points)

    def summaries(self) -> list[Summary]:
        """Each number that really differs somewhere, the one that does at most points first."""
        import numpy as np

        groups: dict[int, list[PointChange]] = {}
        for point in self.points:
            groups.setdefault(id(point.tested.names), []).append(point)
        found: dict[str, list[Array]] = {}
        counts: dict[str, int] = {}
        for group in groups.values():
            names = group[0].tested.names
            first, second = (np.stack([point.tested.means[side] for point in group]) for side in (0, 1))
            with np.errstate(divide="ignore", invalid="ignore"):
                relative = (second - first) / np.abs(first)
            real = np.stack([point.tested.chances for point in group]) <= group[0].limit
            for at in np.flatnonzero(real.any(0)).tolist():
                found.setdefault(names[at], []).append(relative[real[:, at], at])
            for name in names:
                counts[name] = counts.get(name, 0) + len(group)
        rows = []
        for name, parts in found.items():
            values = np.sort(np.concatenate(parts))
            middle = float(np.median(values))
            rows.append(Summary(name, counts[name], len(values), float(values[0]), middle, float(values[-1])))
        return sorted(rows, key=lambda row: (-row.real, -min(abs(row.middle), 1e9)))

    def as_json(self) -> dict[str, Any]:
        """The object that `compare --json` prints."""
        return {
            "inputs": [{"path": path, "first": first, "second": second} for path, first, second in self.inputs],
            "only_first": [dict(settings) for settings in self.only_first],
            "only_second": [dict(settings) for settings in self.only_second],
            "failed": list(self.failed),
            "tested": self.tested,
            "points": [
                {
                    "settings": dict(point.settings),
                    "runs": list(point.runs),
                    "paired": point.paired,
                    "equal": point.tested.equal,
                    "changes": [
                        {
                            "name": change.name,
                            "first": change.first,
                            "second": change.second,
                            "half_ci95": None if change.half == float("inf") else change.half,
                            "real": change.real,
                            "overloaded": change.overloaded,
                        }
                        for change in point.changes
                    ],
                }
                for point in self.points
            ],
        }


def compare(first: Results, second: Results, seeds: Collection[int] | None = None) -> Comparison:
    """Everything that differs, in all runs there are of a point, or in those of some `seeds` alone.

    Raises TopologyError if the points of the two cannot be told to be the same, or one has no run of these seeds.
    """
    sides = (_Side(first, seeds), _Side(second, seeds))
    shared = [path for path in sides[0].paths if path in sides[1].paths]
    keyed = [side.by(shared) for side in sides]
    both = [key for key in keyed[0] if key in keyed[1]]
    found = tested([(sides[0].runs(keyed[0][key]), sides[1].runs(keyed[1][key])) for key in both])
    limit, judged = least_sure(found)
    return Comparison(
        _inputs(sides[0].last, sides[1].last),
        [PointChange(dict(zip(shared, key, strict=True)), one, limit) for key, one in zip(both, found, strict=True)],
        [dict(zip(shared, key, strict=True)) for key in keyed[0] if key not in keyed[1]],
        [dict(zip(shared, key, strict=True)) for key in keyed[1] if key not in keyed[0]],
        judged,
        (sides[0].failed, sides[1].failed),
    )


AT_ONCE = 1000
"""So many runs are read at once."""


class _Side:
    """One of the two files, its runs as numbers by point."""

    def __init__(self, results: Results, seeds: Collection[int] | None) -> None:
        sweeps = results.sweeps()
        if not sweeps:
            raise TopologyError([Problem(Position(results.path), (), "there is no sweep in it")])
        self.last = sweeps[-1]
        self._path = results.path
        places = list(results.places())
        latest = {point: sweep for sweep, _, point, _ in places}
        self.settings = [(point, said) for sweep, _, point, said in places if latest[point] == sweep]
        """Each point by all that the axes say of it in the last sweep that has it."""
        self.paths = list(dict.fromkeys(path for _, one in self.settings for path in one))
        self.failed = 0
        self._rows: dict[str, list[Row]] = {}
        waiting: list[tuple[str, int, list[str], bytes]] = []
        others: set[int] = set()
        for point, seed, outcome, names, numbers in results.table(self.last.model):
            if seeds is not None and seed not in seeds:
                others.add(seed)
                continue
            if outcome != "ok":
                self.failed += 1
                continue
            if waiting and (waiting[0][2] is not names or len(waiting) == AT_ONCE):
                self._take(waiting)
                waiting = []
            waiting.append((point, seed, names, numbers))
        self._take(waiting)
        if others and not self._rows and not self.failed:
            why = f"no run in it has one of these seeds; its first is {min(others)}, its last {max(others)}"
            raise TopologyError([Problem(Position(f"{self._path}, --seeds"), (), why)])

    def _take(self, rows: Sequence[tuple[str, int, list[str], bytes]]) -> None:
        """Take in runs whose names are the same list, many at once."""
        import numpy as np

        together = b"".join(doubles for *_, doubles in rows)
        numbers = np.frombuffer(together, "<f8").reshape(len(rows), len(rows[0][2]) if rows else 0)
        for (point, seed, names, _), row in zip(rows, numbers, strict=True):
            self._rows.setdefault(point, []).append((seed, names, row))

    def by(self, shared: Sequence[str]) -> dict[tuple[str, ...], str]:
        """The points by what the axes that both have say of each."""
        found: dict[tuple[str, ...], str] = {}
        for point, settings in self.settings:
            if point not in self._rows:
                continue
            key = tuple(settings.get(path, "") for path in shared)
            if found.setdefault(key, point) != point:
                others = ", ".join(path for path in self.paths if path not in shared)
                why = f"several of its points differ only in {others}, of which the other one has no axis"
                raise TopologyError([Problem(Position(self._path), (), why)])
        return found

    def runs(self, point: str) -> list[Row]:
        """Seed, names and numbers of each run of a point."""
        return self._rows[point]


def _inputs(first: SweepRow, second: SweepRow) -> list[tuple[str, str, str]]:
    """What the two were told differently: each value of their topologies, the axes, the model."""
    ours, theirs = _flat(first.base), _flat(second.base)
    paths = [*ours, *(path for path in theirs if path not in ours)]
    paths = [path for path in paths if path not in first.axes or path not in second.axes]
    found = [(path, ours.get(path, "-"), theirs.get(path, "-")) for path in paths if ours.get(path) != theirs.get(path)]
    for path in dict.fromkeys([*first.axes, *second.axes]):
        values = [",".join(sweep.axes.get(path, ())) or "-" for sweep in (first, second)]
        if values[0] != values[1]:
            found.append((f"axis {path}", values[0], values[1]))
    if first.model != second.model:
        found.append(("model", first.model, second.model))
    return found


def _flat(base: str) -> dict[str, str]:
    """Every value of a topology by its path, defaults included, and parts without their section's name."""
    found: dict[str, str] = {}

    def walk(data: Any, path: tuple[str | int, ...]) -> None:
        if isinstance(data, dict | list) and data:
            for key, value in data.items() if isinstance(data, dict) else enumerate(data):
                walk(value, (*path, key))
        else:
            found[dotted(path[1:] if path[:1] == ("parts",) else path)] = str(data)

    source = Source.parse(base)
    try:
        walk(as_data(load(source), everything=True), ())
    except TopologyError:  # of another version of cosim, whose topologies had other fields
        walk(source.data, ())
    return found
