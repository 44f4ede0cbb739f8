"""A point is shrunk: the smallest one is looked for that still shows the same signature.

Small is, in this order: few deviations of the schedule, few threads, little that is prepared, few devices, IOMMUs,
CPUs and domains, few pages and requests. Each step is a run that shows the signature; what shows it is kept, and the
search goes on from there until no single step makes it smaller (delta debugging; Zeller and Hildebrandt, 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from cosim.sim.actions import AFTER_CONFLICT, AFTER_HOLD
from cosim.study.finding.smaller import fewer, kinds, numbers, unjudged, without
from cosim.study.pool import Pool, Record
from cosim.study.run.run import Point

T = TypeVar("T")

RUNS = 400
"""So many runs at most, if nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest point that was found, its record, and how many runs that took.

    `minimal` says that no single step makes it smaller; else the bound on runs, or a signal, has ended the search.
    """

    point: Point
    record: Record
    runs: int
    minimal: bool


class NotShownError(ValueError):
    """The run of the point that was to be shrunk does not show the signature."""


def shrink(
    point: Point,
    signature: str,
    *,
    pool: Pool | None = None,
    runs: int = RUNS,
    enough: Callable[[], bool] = lambda: False,
) -> Shrunk:
    """Look for the smallest point that shows `signature`, in at most so many runs, and until it is `enough`.

    The same point gives the same result, whatever the number of processes. Raises NotShownError, and KeyboardInterrupt
    if a signal ends the pool before there is anything to keep.
    """
    if pool is None:
        with Pool() as own:
            return shrink(point, signature, pool=own, runs=runs, enough=enough)
    return _Shrinking(pool, signature, runs, enough).shrunk(point)


class _Shrinking:
    def __init__(self, pool: Pool, signature: str, runs: int, enough: Callable[[], bool]) -> None:
        self._pool = pool
        self._enough = enough
        self._signature = signature
        self._left = runs
        self._bound = runs
        self._seen: set[tuple[str, tuple[str, ...]]] = set()
        """What was run."""
        self._point: Point
        self._record: Record
        self._cut_short = False

    def shrunk(self, point: Point) -> Shrunk:
        if self._first([point]) is None:
            if self._pool.interrupted:
                raise KeyboardInterrupt
            raise NotShownError(f"the run of {point.name} does not show {self._signature!r}")
        changed = True
        while changed:
            before = self._point
            self._shrink_schedule()
            self._take([made for made in [unjudged(self._point)] if made])
            self._shrink_topology()
            self._shrink_numbers()
            changed = self._point != before
        return Shrunk(self._point, self._record, self._bound - self._left, not self._cut_short)

    # --- What could be smaller ---------------------------------------------------------------------------------------

    def _shrink_schedule(self) -> None:
        self._fewest(self._point.schedule, lambda point, gone: _deviating(point, gone))
        for choice in self._point.schedule:
            name, _, answer = choice.rpartition(":")
            if answer == str(AFTER_HOLD):
                schedule = [f"{name}:{AFTER_CONFLICT}" if one == choice else one for one in self._point.schedule]
                self._take([replace(self._point, schedule=tuple(schedule))])

    def _shrink_topology(self) -> None:
        for number, _ in enumerate(kinds(self._point.topology)):
            items = [*kinds(self._point.topology)][number]
            self._fewest(items, without)

    def _shrink_numbers(self) -> None:
        for path in numbers(self._point.topology):
            while self._take(fewer(self._point, path)):
                pass

    def _fewest(self, items: Sequence[T], less: Callable[[Point, Sequence[T]], Point | None]) -> None:
        """Take `items` out of the point: all, then half of them, down to one at a time."""
        begin, gone, size = self._point, list[T](), len(items)
        left = list(items)
        while size:
            at = 0
            while at < len(left):
                places = range(at, len(left), size)
                tried = [left[place : place + size] for place in places]
                found = self._first(less(begin, [*gone, *chunk]) for chunk in tried)
                if found is None:
                    break
                gone += tried[found]
                at = places[found]
                left[at : at + size] = []
            size = (size + 1) // 2 if size > 1 else 0

    # --- Runs --------------------------------------------------------------------------------------------------------

    def _take(self, candidates: Iterable[Point]) -> bool:
        return self._first(candidates) is not None

    def _first(self, candidates: Iterable[Point | None]) -> int | None:
        """The place of the first candidate whose run shows the signature; it is the point from then on."""
        numbers: list[int] = []
        runs = self._pool.runs(islice(self._new(candidates, numbers), self._left))
        done = 0
        for point, record in runs:
            done += 1
            self._seen.add(_key(point))
            if self._signature in record.signs:
                self._left -= done
                self._point, self._record = point, record
                self._end_if_enough()
                return numbers[done - 1]
            if self._enough():
                break
        self._left -= done
        self._end_if_enough()
        self._cut_short |= not self._left
        return None

    def _end_if_enough(self) -> None:
        """No further runs if a signal has come, or the caller does not wait any more."""
        if self._pool.interrupted or self._enough():
            self._bound -= self._left
            self._left = 0

    def _new(self, candidates: Iterable[Point | None], numbers: list[int]) -> Iterator[Point]:
        for number, point in enumerate(candidates):
            if point is not None and _key(point) not in self._seen:
                numbers.append(number)
                yield point


def _deviating(point: Point, gone: Sequence[str]) -> Point:
    """The point without some answers of its schedule."""
    return replace(point, schedule=tuple(choice for choice in point.schedule if choice not in gone))


def _key(point: Point) -> tuple[str, tuple[str, ...]]:
    return point.topology.model_dump_json(), point.schedule
