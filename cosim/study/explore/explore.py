"""The whole of an exploration: every topology, under every driver that it is asked for."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from cosim.study.explore.cells import Cell, cells
from cosim.study.explore.journal import Journal
from cosim.study.explore.keep import keep
from cosim.study.explore.look import Looking
from cosim.study.explore.mutants import mutants
from cosim.study.explore.request import Request
from cosim.study.explore.row import Row
from cosim.study.explore.search import Search
from cosim.study.explore.subjects import Task, expanded, tasks
from cosim.study.pool import Pool
from cosim.study.pool.cluster.cluster import Cluster
from cosim.study.pool.crew import Place
from cosim.study.run.model import model_version
from cosim.study.run.stop import Stop
from cosim.system.topology import Topology

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What ends an exploration early."""

JOURNAL = "journal.jsonl"
"""What the journal is called in the folder of an exploration."""


@dataclass(slots=True)
class Exploration:
    """All rows so far."""

    rows: list[Row] = field(default_factory=list)
    resume: str = ""
    """The command that goes on, after an interruption."""

    @property
    def interrupted(self) -> bool:
        """Whether the last row was not come to its end."""
        return bool(self.rows) and self.rows[-1].stopped == "interrupted"

    @property
    def exit_code(self) -> int:
        """0 if every row came out as it had to; 2 if a driver of the user's own has failed, or if there was nothing to
        search in a topology; 4 if too little of a row was run for anything to be known of it."""
        if self.interrupted:
            return 130
        if any(row.found is not None and row.found.sign.startswith("error:") for row in self.rows):
            return 2 if any(".py:" in row.driver for row in self.rows) else 3
        by_topology = groupby(self.rows, key=lambda row: row.name)
        if any(all(row.nothing and row.found is None for row in rows) for _, rows in by_topology):
            return 2
        if any(row.unknown for row in self.rows):
            return 4
        return 0 if all(row.as_wanted for row in self.rows) else 1

    def as_json(self) -> dict[str, Any]:
        """The object that `explore --json` prints."""
        return {
            "model": model_version(),
            "rows": [row.as_json() for row in self.rows],
            "interrupted": self.interrupted,
            "resume": self.resume,
        }


def explorations(
    topologies: Sequence[str | Path | Topology],
    request: Request,
    *,
    sets: Sequence[str] = (),
    overlays: Sequence[str] = (),
    seed: int | None = None,
    until: str | None = None,
    folder: Path | None = None,
    resume: bool = False,
    progress: Callable[[Row, int], None] = lambda row, left: None,
    stop: Stop | None = None,
) -> Iterator[Row]:
    """Each row when it has come to its end, or was interrupted: the last one then.

    With a `folder` every run and every finding is kept there, and with `resume` no run is made again. `stop` is what
    may end it early, and is being listened to. Everything is checked before anything runs: TopologyError.
    """
    stop = stop or Stop()
    wanted = [
        task
        for topology in expanded(topologies)
        for task in tasks(topology, request, sets=sets, overlays=overlays, seed=seed, until=until)
    ]
    head = {"model": model_version(), "allocations": request.allocations}
    with (
        Cluster(request.cluster) if request.cluster else nullcontext() as place,
        Journal(head, folder / JOURNAL if folder else None, resume=resume) as journal,
    ):
        engine = _Engine(request, place, journal, progress, stop)
        for task in wanted:
            row = engine.row(task)
            if folder:
                keep(row, folder, small=request.shrink and not row.as_wanted, jobs=request.jobs, stop=stop)
            yield row
            if row.stopped == "interrupted":
                return


def first_cells(topologies: Sequence[str | Path | Topology], request: Request, **changes: Any) -> Iterator[Cell]:
    """Of each topology, under each driver that is asked for or under its own, the first hold and starts.

    `changes` are as for `explorations`. TopologyError.
    """
    for topology in expanded(topologies):
        for task in tasks(topology, request, own=True, **changes):
            yield _grid(task, request)[0]


@dataclass(frozen=True, slots=True)
class _Engine:
    """Makes a row after the other; what is the same for all of them."""

    request: Request
    place: Place | None
    journal: Journal
    progress: Callable[[Row, int], None]
    stop: Stop

    def row(self, task: Task) -> Row:
        row = self._search(task)
        row.with_mutants = self.request.mutants
        if row.with_mutants and row.found is None and not row.stopped:
            for name, driver in mutants(task.subject.topology.driver):
                mutant = self._search(replace(task, subject=task.subject.under(driver), wanted=None))
                mutant.step = name
                if name in mutant.idle and mutant.found is None and not mutant.stopped:
                    row.unreached.append(name)
                else:
                    row.mutants.append(mutant)
                if mutant.stopped == "interrupted":
                    row.stopped = "interrupted"
                    break
        return row

    def _search(self, task: Task) -> Row:
        subject, explore, request = task.subject, task.explore, self.request
        deviations = explore.deviations if request.deviations is None else request.deviations
        row = Row(
            subject.name,
            subject.driver_name,
            explore.remark,
            explore.reached_by,
            task.wanted,
            len(explore.defects),
            task.chosen_by,
            strategy=request.strategy,
            deviations=deviations,
        )
        looking = Looking(
            deviations if request.strategy == "bounded" else 1,
            everything=request.strategy == "random",
            orders=request.skip_equal,
            allocations=request.allocations or explore.allocations,
        )
        with Pool(
            request.jobs,
            chooser=looking.chooser,
            also=looking.begin,
            host_limit=request.host_limit,
            signals=SIGNALS,
            place=self.place,
        ) as pool:
            journal = self.journal.of(looking.key)
            return Search(row, _grid(task, request), request, pool, journal, self.progress, self.stop).run()


def _grid(task: Task, request: Request) -> list[Cell]:
    explore = task.explore
    holds = explore.holds if request.holds is None else request.holds
    starts: Mapping[str, Sequence[int]] = explore.starts if request.starts is None else request.starts
    grid = list(cells(task.subject, holds, starts))
    return grid[:1] if request.first_cell else grid
