"""Smaller topologies, made from a topology's own data: without an entry and all that cannot be without it, or with a
smaller number. What is left has its names, and is valid, or it is no candidate.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cosim.config.problems import Path, TopologyError
from cosim.config.source import Source, validate
from cosim.spec.pagetable import PAGE
from cosim.study.run.run import Point
from cosim.sw.workloads import PREPARE, thread_names
from cosim.system.checks import check
from cosim.system.effects import ineffective
from cosim.system.load import as_data
from cosim.system.topology import Topology
from cosim.units.quantities import US, format_size, format_time
from cosim.units.run_end import AfterThreads

THREADS: Mapping[str, str] = {"threads": "", "prepare": PREPARE}
"""The sections that hold threads, and what the names of those begin with."""
JUDGING = ("expect", "explore")
"""Sections that change nothing of a run."""
COUNTS = ("pages", "count", "requests")
"""What there may be fewer of."""
WINDOW = "window"
UNTIL: Path = ("run", "until")
_ENDLESS = (1, 4, 16, 64, 256)
"""Tried in place of a number that is without end."""
_ROUNDS = 32
"""As often, at most, what has lost its meaning by a removal is removed as well."""


def kinds(topology: Topology) -> Iterator[list[Path]]:
    """What could be absent, by kinds: threads, what is prepared, devices, IOMMUs, CPUs, memories, domains, stalls."""
    for section in ("threads", "prepare"):
        yield [(section, index) for index in range(len(getattr(topology, section)))]
    for parts in (topology.devices(), *(topology.of_kind(kind) for kind in ("iommu", "cpu", "memory"))):
        yield [("parts", name) for name in parts]
    yield [("domains", name) for name in topology.domains]
    yield [("stalls", index) for index in range(len(topology.stalls))]


def without(point: Point, paths: Sequence[Path]) -> Point | None:
    """The point with nothing at `paths`, and without what cannot be then; None if that is no valid one.

    Its schedule names threads as they are called there.
    """
    return _Smaller(point.topology).without(paths).point(point)


def unjudged(point: Point) -> Point | None:
    """The point without what is expected of it and what is searched in it; None if there is nothing of that."""
    held = [(section,) for section in JUDGING if getattr(point.topology, section) is not None]
    return _Smaller(point.topology).without(held).point(point) if held else None


def numbers(topology: Topology) -> list[Path]:
    """The places of numbers that could be smaller: pages, rounds, requests, windows, and how long it runs."""
    found: list[Path] = []
    for section in THREADS:
        for index, thread in enumerate(getattr(topology, section)):
            found += [(section, index, name) for name in COUNTS if getattr(thread, name, 1) != 1]
    for name, options in topology.devices().items():
        inside = ("traffic",) if hasattr(options, "traffic") else ()
        found += [("parts", name, *inside, field) for field in ("requests", WINDOW) if hasattr(options.pace, field)]
    return found if isinstance(topology.run.until, AfterThreads) else [*found, UNTIL]


def fewer(point: Point, path: Path) -> Iterator[Point]:
    """The point with smaller numbers at `path`, the smallest first."""
    now = _value(point.topology, path)
    values: list[Any]
    if path == UNTIL:
        whole = (-(-time // US) * US for time in _steps(now)[1:])
        values = [format_time(time) for time in dict.fromkeys(whole) if time < now]
    elif path[-1] == WINDOW:
        values = [format_size(pages * PAGE) for pages in _steps(now // PAGE)]
    else:
        values = [*_ENDLESS] if now is None else _steps(now)
    for value in values:
        other = _Smaller(point.topology)
        _put(other.data, path, value)
        if (made := other.point(point)) is not None:
            yield made


def _steps(now: int) -> list[int]:
    return [value for value in dict.fromkeys((1, now // 4, now // 2, 3 * now // 4)) if 0 < value < now]


def _value(topology: Topology, path: Path) -> Any:
    """What a topology has at `path`, also where its file says nothing of it."""
    value: Any = topology
    for step in path:
        value = value[step] if isinstance(step, int) or isinstance(value, dict) else getattr(value, step)
    return value


class _Smaller:
    """The data of a topology, of which entries are taken; of those in lists it is known which ones are left."""

    def __init__(self, topology: Topology) -> None:
        self._before = topology
        self.data = copy.deepcopy(as_data(topology))
        self.left = {section: list(range(len(self.data.get(section, ())))) for section in THREADS}

    def without(self, paths: Sequence[Path]) -> _Smaller:
        """Take out what is at `paths`, and the names of parts that are gone where another may do."""
        for path in sorted(set(paths), key=_place, reverse=True):
            holder = _at(self.data, path[:-1])
            if isinstance(holder, list):
                del holder[int(path[-1])]
                if path[0] in self.left and len(path) == 2:
                    del self.left[str(path[0])][int(path[1])]
            elif isinstance(holder, dict):
                holder.pop(path[-1], None)
        for path in paths:
            if path[0] == "parts" and len(path) == 2:
                self._forget(str(path[1]))
        return self

    def _forget(self, name: str) -> None:
        for section in (*THREADS, "domains"):
            entries = self.data.get(section, {})
            for entry in entries.values() if isinstance(entries, dict) else entries:
                for field, value in entry.items():
                    if isinstance(value, list) and name in value and len(value) > 1:
                        entry[field] = [one for one in value if one != name]
        parts = self.data["parts"]
        cpus = [other for other, options in parts.items() if options["kind"] == "cpu"]
        for iommu, options in self._before.of_kind("iommu").items():
            if options.interrupts_to == name and cpus and iommu in parts:
                parts[iommu]["interrupts_to"] = cpus[-1]

    def point(self, point: Point) -> Point | None:
        """What is left, as a point; None if it is not valid, whatever else is taken out."""
        topology = self._topology(point.name)
        if topology is None:
            return None
        return Point(topology, point.name, tuple(self._renamed(point, topology)), "")

    def _topology(self, name: str) -> Topology | None:
        for _ in range(_ROUNDS):
            try:
                topology = validate(Topology, Source.of(self.data, name))
            except TopologyError:
                return None
            idle = [complaint.path for complaint in ineffective(topology)]
            broken = idle or [_dispensable(complaint.path) for complaint in check(topology)]
            if not broken:
                return topology
            paths = [path for path in broken if path]
            if len(paths) < len(broken):
                return None
            self.without(paths)
        return None

    def _renamed(self, point: Point, topology: Topology) -> Iterator[str]:
        """The schedule with the names of threads as they are there; what threads do that are gone is not in it."""
        names: dict[str, str] = {}
        for section, prefix in THREADS.items():
            before, after = getattr(point.topology, section), getattr(topology, section)
            called = [f"{thread.on}.{name}" for thread, name in zip(before, thread_names(before, prefix), strict=True)]
            then = [f"{thread.on}.{name}" for thread, name in zip(after, thread_names(after, prefix), strict=True)]
            names |= dict.fromkeys(called, "")
            names |= {called[index]: name for index, name in zip(self.left[section], then, strict=True)}
        for choice in point.schedule:
            agent, _, number = choice.rpartition("#")
            who, dot, what = agent.rpartition(".")
            if name := names.get(who, who):
                yield f"{name}{dot}{what}#{number}"


def _dispensable(path: Path) -> Path:
    """What has to go with a broken value at `path`; nothing if it is none of what could be absent."""
    if path[0] in JUDGING:
        return path[:1]
    if path[0] == "domains":
        return path
    return path[:2] if len(path) > 1 and path[0] in (*THREADS, "parts", "stalls") else ()


def _at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[int(step)] if isinstance(data, list) else data.get(step) if isinstance(data, dict) else None
    return data


def _put(data: Any, path: Path, value: Any) -> None:
    for step in path[:-1]:
        data = data[int(step)] if isinstance(data, list) else data.setdefault(step, {})
    data[path[-1]] = value


def _place(path: Path) -> tuple[str, ...]:
    return tuple(f"{step:09d}" if isinstance(step, int) else step for step in path)
