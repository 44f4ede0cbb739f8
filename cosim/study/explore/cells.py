"""The grid of a search: each combination of a hold and of thread starts is a topology of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from cosim.study.run.run import Point, command_line
from cosim.sw.driver.variants import chosen, row_name
from cosim.sw.workloads import thread_names
from cosim.system.driver_options import DriverOptions
from cosim.system.topology import Topology
from cosim.units.quantities import format_time


@dataclass(frozen=True, slots=True)
class Subject:
    """One topology under one driver: what is searched. `source` and the options after it make it from a shell."""

    name: str
    topology: Topology
    source: str
    sets: tuple[str, ...] = ()
    overlays: tuple[str, ...] = ()
    seed: int | None = None
    until: str | None = None
    driver_words: tuple[str, ...] = ()
    """The driver as overrides, if it is not the topology's own."""
    driver: str | None = None

    @property
    def driver_name(self) -> str:
        """The variant and the cells that differ from its own: ``merged attach=context-first``."""
        options = self.topology.driver
        return " ".join([row_name(options.variant), *chosen(options.cells)])

    def under(self, driver: DriverOptions) -> Subject:
        """The same under another driver."""
        topology = self.topology.model_copy(update={"driver": driver})
        words = tuple(f"driver.{cell}" for cell in chosen(driver.cells))
        return replace(self, topology=topology, driver_words=words, driver=driver.variant)

    def command(self, more: Sequence[str], schedule: Sequence[str]) -> str:
        """The shell command of one run."""
        return command_line(
            self.source,
            sets=(*self.sets, *self.driver_words, *more),
            overlays=self.overlays,
            driver=self.driver,
            seed=self.seed,
            until=self.until,
            schedule=schedule,
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in the grid: the topology with one hold and one start of each thread that has several."""

    subject: Subject
    topology: Topology
    hold_ps: int
    starts: tuple[tuple[str, int], ...]
    sets: tuple[str, ...]
    """What makes it of the subject, as overrides; nothing for what is as there."""

    def point(self, schedule: Sequence[str]) -> Point:
        """The run of a schedule."""
        return Point(self.topology, self.subject.name, tuple(schedule), self.subject.command(self.sets, schedule))

    def __str__(self) -> str:
        return ", ".join(
            [f"hold {format_time(self.hold_ps)}", *(f"{name} at {format_time(ps)}" for name, ps in self.starts)]
        )


def cells(subject: Subject, holds: Sequence[int], starts: Mapping[str, Sequence[int]]) -> Iterator[Cell]:
    """All combinations, the first hold and the first starts first. Without `holds`, the topology's own is the only one.

    What the topology says of exploring is left out: equal cells are equal topologies, whatever is searched. Nothing is
    checked anew, since a hold and a start change nothing that a rule asks for, and an experiment has hundreds of cells.
    """
    topology = subject.topology.model_copy(update={"explore": None})
    named = zip(topology.threads, thread_names(topology.threads), strict=True)
    places = {f"{thread.on}.{name}": at for at, (thread, name) in enumerate(named)}
    for *when, hold in product(*(starts[name] for name in starts), holds or (topology.run.hold,)):
        begun = tuple(zip(starts, when, strict=True))
        sets = {
            f"threads.{places[name]}.start": format_time(ps)
            for name, ps in begun
            if ps != topology.threads[places[name]].start
        }
        if hold != topology.run.hold:
            sets["run.hold"] = format_time(hold)
        threads = list(topology.threads)
        for name, ps in begun:
            threads[places[name]] = threads[places[name]].model_copy(update={"start": ps})
        run = topology.run.model_copy(update={"hold": hold})
        changed = topology.model_copy(update={"threads": tuple(threads), "run": run})
        yield Cell(subject, changed, hold, begun, tuple(f"{path}={value}" for path, value in sets.items()))
