"""What each cell costs in which two drivers differ: put alone into the first one, and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosim.study.compare.difference import CellPair, paired
from cosim.study.pool import Pool
from cosim.study.pool.record import Record
from cosim.study.run.result import Result
from cosim.study.run.run import Point, command_line
from cosim.sw.driver.own import VariantError
from cosim.sw.driver.table import NEEDS
from cosim.sw.driver.variants import chosen
from cosim.sw.driver.variants import variant as with_cells
from cosim.system.driver_options import DriverOptions
from cosim.system.load import load

SHOWN_ON: Mapping[str, str] = {"invalidate": "shared_domain"}
"""The small topology in which a cell of this axis shows what it costs."""
SHOWN_ELSE = "concurrent_attach"
CALLS = ("map", "unmap", "attach")
"""The calls of which the mean latency is told."""
CHANGES = (["unmap"], ["attach"], ["detach"])
"""The calls that may send commands, as names of latencies end behind those of CPU and thread."""
HOST_LIMIT_S = 120.0
"""How long one run may take here."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one driver costs on a topology: mean latencies in picoseconds, of the calls that were made, and commands.

    `why` says why there is nothing to tell.
    """

    topology: str
    driver: str
    cells: tuple[str, ...]
    """The cells that were put into `driver`, as ``attach=bond-first``."""
    command: str
    calls: Mapping[str, int]
    sent: int = 0
    needed: int = 0
    changes: int = 0
    """How many calls were made that may send commands."""
    violations: int = 0
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """It as one JSON object."""
        return {
            "topology": self.topology,
            "driver": self.driver,
            "cells": list(self.cells),
            "command": self.command,
            **{f"{call}_mean_ps": self.calls.get(call) for call in CALLS},
            "commands_sent": self.sent,
            "commands_needed": self.needed,
            "changes": self.changes,
            "violation_count": self.violations,
            "why": self.why,
        }


def costs(
    first: str,
    second: str,
    pairs: Sequence[CellPair],
    on: str = "",
    *,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Cost]:
    """For each topology: the first driver, each cell of the second one in it, and the second one whole.

    Cells that work only beside others are put in together with them. Without `on` each cell is run on the topology
    that shows it. `progress` is told how many runs there are, of how many. Ctrl-C leaves out what has not been run.
    TopologyError.
    """
    options = paired(first, second)
    plans: dict[str, list[tuple[CellPair, ...]]] = {}
    for group in _groups(options[0], pairs):
        plans.setdefault(on or SHOWN_ON.get(group[0].axis, SHOWN_ELSE), []).append(group)
    named = list(zip((first, second), options, strict=True))
    points = [point for topology, groups in plans.items() for point in _points(topology, named, groups)]
    runs = [point for _, point in points if point]
    done: dict[int, Record] = {}
    progress(0, len(runs))
    with Pool(jobs, results=True, host_limit=HOST_LIMIT_S) as pool:
        for point, record in pool.runs(runs):
            done[id(point)] = record
            progress(len(done), len(runs))
    return [
        _cost(cost, done.get(id(point)) if point else None)
        for cost, point in points
        if point is None or id(point) in done
    ]


def _groups(first: DriverOptions, pairs: Sequence[CellPair]) -> list[tuple[CellPair, ...]]:
    """The cells that are put into the first driver at once: each by itself, or those that need one another."""
    found: list[tuple[CellPair, ...]] = []
    bound = {axis for (own, _), others in NEEDS.items() for axis in (own, *others)}
    for pair in pairs:
        group: tuple[CellPair, ...] = (pair,)
        if pair.second.spelled and not _works(first, group):
            group = tuple(other for other in pairs if other.axis in bound and other.second.spelled) or group
        if group not in found:
            found.append(group)
    return found


def _works(first: DriverOptions, group: Sequence[CellPair]) -> bool:
    try:
        with_cells(first.variant, {**first.cells, **_cells(group)})
    except VariantError:
        return False
    return True


def _cells(group: Sequence[CellPair]) -> dict[str, str]:
    return {pair.axis: pair.second.spelled for pair in group}


def _points(
    topology: str, named: Sequence[tuple[str, DriverOptions]], groups: Sequence[tuple[CellPair, ...]]
) -> Iterator[tuple[Cost, Point | None]]:
    """What is run, and what it is told as; both drivers by their names."""
    first, second = named
    yield _planned(topology, *first, {})
    for group in groups:
        cells = _cells(group)
        if all(cells.values()) and _works(first[1], group):
            yield _planned(topology, *first, cells)
        else:
            told = tuple(f"{pair.axis}={pair.second.spelled or pair.second.name}" for pair in group)
            why = "cannot be put in alone" if all(cells.values()) else "has no name by which it could be put in"
            yield Cost(topology, first[0], told, "", {}, why=why), None
    yield _planned(topology, *second, {})


def _planned(topology: str, name: str, driver: DriverOptions, cells: Mapping[str, str]) -> tuple[Cost, Point]:
    options = DriverOptions.model_validate({"variant": driver.variant, **driver.cells, **cells})
    sets = [f"driver.{word}" for word in chosen(options.cells)]
    command = command_line(topology, driver=driver.variant, sets=sets)
    loaded = load(topology, driver=driver.variant).model_copy(update={"driver": options})
    return Cost(topology, name, tuple(chosen(cells)), command, {}), Point(loaded, topology, (), command)


def _cost(planned: Cost, record: Record | None) -> Cost:
    if record is None:
        return planned
    fixed = (planned.topology, planned.driver, planned.cells, planned.command)
    result = record.result
    if result is None or result.outcome in ("stuck", "interrupted"):
        return Cost(*fixed, {}, why=(record.failures or (record.outcome,))[0].splitlines()[0])
    sent, needed = (int(result.scalars[f"driver.commands_{what}"]) for what in ("sent", "needed"))
    changes = sum(latency.count for name, latency in result.latencies.items() if name.split(".")[2:] in CHANGES)
    return Cost(*fixed, _means(result), sent, needed, changes, result.violation_count)


def _means(result: Result) -> dict[str, int]:
    """The mean latency of each call, over all threads that have made it."""
    found = {}
    for call in CALLS:
        latencies = [latency for name, latency in result.latencies.items() if name.split(".")[2:] == [call]]
        if count := sum(latency.count for latency in latencies):
            found[call] = round(sum(latency.count * latency.mean_ps for latency in latencies) / count)
    return found
