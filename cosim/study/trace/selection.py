"""Which part of what happens a trace tells: from when to when, of whom, and of which kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from cosim import events
from cosim.config.problems import Position, Problem, TopologyError
from cosim.sim.simulation import Sim
from cosim.sw.workloads import PREPARE, thread_paths
from cosim.system.topology import Topology
from cosim.units.nearest import nearest
from cosim.units.quantities import parse_time

EVENTS: Mapping[str, type] = {
    name: kind
    for name, kind in vars(events).items()
    if isinstance(kind, type) and kind.__module__.startswith(f"{events.__name__}.")
}
"""Every event record by its name."""

NAMING = ("who", "iommu", "cpu", "by", "device", "behind", "through", "holder")
"""The fields of events that name a part or a thread."""

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a run is traced. Times are picoseconds from reset, as in every output; `to_ps` is the last one.

    `parts` are globs over paths of parts and threads: ``nic*``, ``cpu0`` (and every thread on it), ``iommu0.iotlb``;
    without any, all. An event that names no part is of all of them. `kinds` are the event records told of, None for
    all.
    """

    from_ps: int = 0
    to_ps: int | None = None
    parts: tuple[str, ...] = ()
    kinds: frozenset[type] | None = None

    def inside(self, time: int) -> bool:
        """Whether what happens at `time` is told."""
        return self.from_ps <= time and (self.to_ps is None or time <= self.to_ps)

    def overlaps(self, began: int, ended: int) -> bool:
        """Whether what lasts from `began` to `ended` is told."""
        return self.from_ps <= ended and (self.to_ps is None or began <= self.to_ps)

    def concerns(self, path: str) -> bool:
        """Whether a part or thread is among `parts`, itself or by what it belongs to."""
        return not self.parts or any(_matches(path, glob) for glob in self.parts)

    def listen(self, sim: Sim, kind: type[E], listener: Callable[[E], None]) -> None:
        """Have `listener` told of the events of a kind that concern `parts`, at whatever time."""
        if self.kinds is not None and kind not in self.kinds:
            return
        naming = [name for name in NAMING if name in kind.__dataclass_fields__]  # type: ignore[attr-defined]
        if not self.parts or not naming:
            sim.probe(kind).watch(listener)
            return
        known: dict[tuple[str, ...], bool] = {}

        def filtered(event: E) -> None:
            paths = tuple(getattr(event, name) for name in naming)
            told = known.get(paths)
            if told is None:
                told = known[paths] = any(map(self.concerns, paths))
            if told:
                listener(event)

        sim.probe(kind).watch(filtered)

    def listen_inside(self, sim: Sim, kind: type[E], listener: Callable[[E], None]) -> None:
        """The same of what happens between `from_ps` and `to_ps` alone."""
        if self.from_ps <= 0 and self.to_ps is None:
            self.listen(sim, kind, listener)
            return

        def timely(event: E) -> None:
            if self.inside(event.time):  # type: ignore[attr-defined]
                listener(event)

        self.listen(sim, kind, timely)


ALL = Selection()


def _matches(path: str, glob: str) -> bool:
    return fnmatchcase(path, glob) or fnmatchcase(path, f"{glob}.*")


def select(
    topology: Topology,
    *,
    start: str | None = None,
    end: str | None = None,
    parts: Iterable[str] = (),
    kinds: Iterable[str] = (),
) -> Selection:
    """The selection that options ask for: times as texts, globs over parts and threads, globs over events' names.

    Raises TopologyError, with everything that is wrong.
    """
    problems: list[Problem] = []
    times: dict[str, int | None] = {}
    for option, text in (("--trace-from", start), ("--trace-to", end)):
        try:
            times[option] = None if text is None else parse_time(text)
        except ValueError as error:
            problems.append(Problem(Position(f"{option} {text}"), (), str(error)))
    first, last = times.get("--trace-from") or 0, times.get("--trace-to")
    if last is not None and last < first:
        problems.append(Problem(Position(f"--trace-to {end}"), (), f"is before --trace-from {start}"))
    globs = tuple(parts)
    threads = thread_paths(topology.prepare, PREPARE) + thread_paths(topology.threads)
    paths = [*topology.parts, *threads]
    for glob in globs:
        if not any(_matches(path, glob) or _matches(path, glob.partition(".")[0]) for path in paths):
            problems.append(Problem(Position(f"--trace-part {glob}"), (), f"matches nothing; {nearest(glob, paths)}"))
    chosen: set[type] = set()
    for glob in kinds:
        found = {kind for name, kind in EVENTS.items() if fnmatchcase(name, glob)}
        if not found:
            problems.append(Problem(Position(f"--trace-event {glob}"), (), f"is no event; {_near(glob)}"))
        chosen |= found
    if problems:
        raise TopologyError(problems)
    return Selection(first, last, globs, frozenset(chosen) if chosen else None)


def _near(name: str) -> str:
    said = nearest(name, EVENTS)
    return said if said.startswith("did") else "cosim list events names them"


def values(event: Any) -> dict[str, Any]:
    """The fields of an event, but for its time."""
    return {field.name: getattr(event, field.name) for field in fields(event) if field.name != "time"}
