"""A sweep: what is missing of its runs is run, and kept as soon as it is there."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

from cosim.config.problems import TopologyError
from cosim.study.pool import Pool, Record
from cosim.study.pool.after_boot import takes_effect_later
from cosim.study.pool.cluster.cluster import Cluster
from cosim.study.pool.whole_run import import_once
from cosim.study.results.estimate import estimates, wanted_replications
from cosim.study.results.results import Results, SweepRow
from cosim.study.results.stored import WITHOUT_NUMBERS, Stored
from cosim.study.run.run import Point, UnderWay
from cosim.study.run.stop import Stop
from cosim.study.sweep.points import Loaded, Subject, Swept, swept, told
from cosim.study.sweep.request import Request
from cosim.system.load import resolved

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What ends a sweep early."""
SHARING = 4
"""So many runs that boot alike, or more, share their boot; fewer are not worth a process of theirs."""

Progress = Callable[[int, int], None]
"""Told after each run, and of each that was there: how many there are, of how many."""


_Boot = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Run:
    """A run that is to be made, or one that there is."""

    swept: Swept
    stored: Stored


@dataclass(slots=True)
class Sweep:
    """Points, and what is asked of them; `runs` makes what is missing in `results`.

    `reuse` are other results files, of which what is shared is taken over.
    """

    subject: Subject
    points: Sequence[Mapping[str, str]]
    request: Request
    results: Results
    row: SweepRow
    reuse: Sequence[Results] = ()
    cluster: Cluster | None = None
    """Where runs are made, if that is not here; it is closed after the last one."""
    stop: Stop | None = None
    progress: Progress = lambda done, of: None
    interrupted: bool = False
    made: int = 0
    """How many runs were made, and not taken from what there was."""
    missing: int = 0
    """How many runs are to come; in the end, how many an early end has left out."""
    loaded: Loaded = field(default_factory=dict)
    """Topologies of points that are known already."""
    _begun: bool = False
    _points: dict[int, Swept] = field(default_factory=dict)
    """What is at each place that can be."""
    _ended: set[str] = field(default_factory=set)
    """Runs that have been given, by their ids."""
    _under_way: dict[str, list[_Run]] = field(default_factory=dict)
    """Runs that are being made, by their ids, with those of other places that are the same."""
    _noted: set[str] = field(default_factory=set)
    _alike: dict[_Boot, int] = field(default_factory=dict)
    """How many runs boot alike, by what the axes say of boot."""

    def runs(self) -> Iterator[Stored]:
        """Every run, those that are there included, as they come. TopologyError if they cannot be kept.

        It may be asked for again, also where it was left before the last one: what had ended is there then.
        """
        if self._begun and self.cluster is not None:
            self.cluster = Cluster(self.cluster.address)
        self._begun = True
        self._ended.clear()
        self._under_way.clear()
        self.row = self.results.begin(self.row)
        self.results.plan(self.row, ((place, "", settings) for place, settings in enumerate(self.points)))
        import_once()  # here, and not in each process that is forked
        request, reps = self.request, self.request.at_first
        self.missing = len(self.points) * reps
        with self._pool() as pool:
            done = yield from self._told(self._round(pool, self._first(reps)), 0)
            while request.ci and not self.interrupted and (more := self._too_wide()):
                self.missing += sum(len(range(*reps_)) for reps_ in more.values())
                done = yield from self._told(self._round(pool, self._again(more)), done)

    def _told(self, runs: Iterator[Stored], done: int) -> Generator[Stored, None, int]:
        """The same runs, each told to whoever follows the progress; how many there were by then."""
        for run in runs:
            done += 1
            self.missing -= 1
            self._ended.add(run.id)
            self.progress(done, done + self.missing)
            yield run
        return done

    @property
    def total(self) -> int:
        """How many runs it has, those that are missing included, and one that several points share once."""
        return len(self._ended) + self.missing

    @contextmanager
    def _pool(self) -> Iterator[Pool]:
        request = self.request
        with (
            self.cluster or nullcontext() as place,
            Pool(
                request.jobs,
                results=True,
                also=_timed,
                host_limit=request.host_limit,
                signals=SIGNALS,
                place=place,
            ) as pool,
        ):
            yield pool

    # --- Which -------------------------------------------------------------------------------------------------------

    def _first(self, reps: int) -> Iterator[_Run]:
        """The first replications of every point; a point that cannot be is a run that is invalid.

        Those that boot alike follow one another, so that one process can make them.
        """
        groups: dict[_Boot, list[tuple[int, Mapping[str, str]]]] = {}
        for place, settings in enumerate(self.points):
            groups.setdefault(_boot(settings), []).append((place, settings))
        self._alike = {boot: len(group) * reps for boot, group in groups.items()}
        for place, settings in chain.from_iterable(groups.values()):
            try:
                point = swept(self.subject, settings, self.loaded.pop(tuple(settings.values()), None))
            except TopologyError as error:
                yield self._invalid(place, settings, error)
                continue
            self._points[place] = point
            self.results.plan(self.row, [(place, point.id, point.settings)])
            yield from self._runs(place, range(reps))

    def _again(self, more: Mapping[int, tuple[int, int]]) -> Iterator[_Run]:
        for place, (first, end) in more.items():
            yield from self._runs(place, range(first, end))

    def _runs(self, place: int, replications: range) -> Iterator[_Run]:
        """Replications of a point, after it has been noted that they are asked for."""
        point = self._points[place]
        seeds = [point.seed(replication, independent=self.request.independent) for replication in replications]
        self.results.ask(self.row, place, seeds)
        for replication, seed in zip(replications, seeds, strict=True):
            run = Stored(point.run_id(seed), point.id, replication, seed, "", settings=point.settings, place=place)
            yield _Run(point, run)

    def _invalid(self, place: int, settings: Mapping[str, str], error: TopologyError) -> _Run:
        number = f"invalid {self.row.id} {place}"
        point = Swept(number, settings, None)  # type: ignore[arg-type]
        self.results.plan(self.row, [(place, number, settings)])
        self.results.ask(self.row, place, [0])
        self.missing -= self.request.at_first - 1
        why = "; ".join(map(str, told(error, settings)))
        return _Run(point, Stored(number, number, 0, 0, "invalid", why, settings=settings, place=place))

    def _too_wide(self) -> dict[int, tuple[int, int]]:
        """The places whose interval is too wide, with the replications that may make it narrow enough."""
        request = self.request
        found = {}
        for estimate in estimates(self.results.runs(self.row.id, model=self.row.model), self.row.metrics[:1]):
            if estimate.place not in self._points or estimate.failed:
                continue
            wanted = min(wanted_replications(estimate, request.ci), request.most_reps)
            if wanted > estimate.replications:
                found[estimate.place] = (estimate.replications, wanted)
        return found

    # --- How ---------------------------------------------------------------------------------------------------------

    def _round(self, pool: Pool, runs: Iterable[_Run]) -> Iterator[Stored]:
        """Every run of `runs`: those that are there at once, the others when they have ended."""
        ready: list[Stored] = []
        waiting: dict[int, _Run] = {}

        def missing() -> Iterator[Point]:
            for run in runs:
                if self._asked:
                    return
                if run.stored.id in self._under_way:
                    self._under_way[run.stored.id].append(run)
                    continue
                if (there := self._there(run)) is not None:
                    ready.append(there)
                    continue
                self._under_way[run.stored.id] = []
                point = run.swept.point(run.stored.seed, self.subject)
                waiting[id(point)] = run
                yield point

        def alone(point: Point) -> bool:
            return self._alike[_boot(waiting[id(point)].swept.settings)] < SHARING

        with closing(pool.runs(missing(), alone=alone, in_order=False)) as coming:
            for point, record in coming:
                yield from _taken(ready)
                stored = self._kept(waiting.pop(id(point)), record)
                yield stored
                for other in self._under_way.pop(stored.id):
                    yield replace(stored, settings=other.stored.settings, place=other.stored.place)
                if self._asked:
                    break
        yield from _taken(ready)
        self.interrupted |= pool.interrupted or self._asked

    @property
    def _asked(self) -> bool:
        """Whether a signal has come, which the pool may not have heard."""
        return self.stop is not None and self.stop.asked

    def _there(self, run: _Run) -> Stored | None:
        """The run, if it need not be made."""
        if run.stored.outcome:
            self.results.add(run.stored)
            return run.stored
        for results in (self.results, *self.reuse):
            outcome = results.known([run.stored.id]).get(run.stored.id)
            if outcome is None or (self.request.retry and outcome in WITHOUT_NUMBERS):
                continue
            there = replace(results.run(run.stored.id), settings=run.stored.settings, place=run.stored.place)
            if results is not self.results:
                self._keep(there, run.swept, partial(results.resolved, there.point))
            return there
        return None

    def _kept(self, run: _Run, record: Record) -> Stored:
        self.made += 1
        stored = replace(run.stored, host_s=record.also or 0.0)
        if (result := record.result) is not None:
            stored = stored.with_result(result)
            self._keep(stored, run.swept, lambda: result.resolved)
        else:
            stored = replace(stored, outcome=record.outcome, reason="; ".join(record.failures))
            self._keep(stored, run.swept, lambda: resolved(run.swept.topology))
        return stored

    def _keep(self, stored: Stored, point: Swept, text: Callable[[], str]) -> None:
        """Keep a run; `text` gives the topology of its point, which is kept with the first of them."""
        if point.id not in self._noted:
            self.results.note(point.id, point.topology.driver.variant, text())
            self._noted.add(point.id)
        self.results.add(stored)


def _boot(settings: Mapping[str, str]) -> _Boot:
    """What the axes say of boot at a point."""
    return tuple((path, value) for path, value in settings.items() if not takes_effect_later(path))


def _taken(ready: list[Stored]) -> Iterator[Stored]:
    while ready:
        yield ready.pop(0)


def _timed(run: UnderWay) -> Callable[[], float]:
    """How long a run has taken from the end of its boot on, in seconds of this computer."""
    begun = time.monotonic()
    return lambda: round(time.monotonic() - begun, 6)
