"""What is searched: each topology under each driver, and what has to come out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.explore.cells import Subject
from cosim.study.explore.request import Request
from cosim.system.driver_options import DriverOptions
from cosim.system.explore_options import ExploreOptions, driver_options
from cosim.system.explore_rules import no_thread, shortest_wait, too_long
from cosim.system.load import load, shipped
from cosim.system.topology import Topology


@dataclass(frozen=True, slots=True)
class Task:
    """One row that is to be searched; `wanted` and `chosen_by` are as in a `Row`."""

    subject: Subject
    explore: ExploreOptions
    wanted: str | None
    chosen_by: str = ""


def expanded(topologies: Sequence[str | Path | Topology]) -> list[str | Path | Topology]:
    """Each folder replaced by its topologies: one of the shell's, or one that comes with cosim, such as ``review``."""
    found: list[str | Path | Topology] = []
    for each in topologies:
        if isinstance(each, Topology):
            found.append(each)
            continue
        path = Path(each)
        ours = [name for name, file in shipped().items() if file.parent.name == str(each)]
        if path.is_dir():
            inside = sorted(path.glob("*.yaml"))
            if not inside:
                raise TopologyError([Problem(Position(str(each)), (), "there is no topology (*.yaml) in this folder")])
            found += inside
        elif not path.exists() and str(each) not in shipped() and ours:
            found += ours
        else:
            found.append(each)
    return found


def tasks(
    topology: str | Path | Topology,
    request: Request,
    *,
    sets: Sequence[str] = (),
    overlays: Sequence[str] = (),
    seed: int | None = None,
    until: str | None = None,
    own: bool = False,
) -> Iterator[Task]:
    """The rows of one topology: the drivers that are asked for, or those that its `explore:` names, or its own.

    With `own` its own comes before those that its `explore:` names. Raises TopologyError for what cannot be searched.
    """
    name = "topology" if isinstance(topology, Topology) else Path(topology).name.removesuffix(".yaml")
    source = name if isinstance(topology, Topology) else str(topology)
    asked = []
    for driver in request.drivers or (None,):
        # Values are set beside the driver that is asked for: the file's own may lack the axis' cell that they are for.
        loaded = load(topology, driver=driver, sets=sets, overlays=overlays, seed=seed, until=until)
        asked.append(Subject(name, loaded, source, tuple(sets), tuple(overlays), seed, until, driver=driver))
    explore = asked[0].topology.explore or ExploreOptions()
    chosen_by = " and ".join(_choosing(request, sets))
    for subject, wanted in _drivers(asked, explore, as_asked=own or bool(chosen_by)):
        _check(subject, explore, request)
        yield Task(subject, explore, wanted, chosen_by)


def _choosing(request: Request, sets: Sequence[str]) -> Iterator[str]:
    """The options by which somebody has chosen a driver."""
    if request.drivers:
        yield "--driver"
    yield from (f"-s {text.partition('=')[0]}" for text in sets if text.startswith("driver"))


def _drivers(
    asked: Sequence[Subject], explore: ExploreOptions, *, as_asked: bool
) -> Iterator[tuple[Subject, str | None]]:
    """Each driver, and what the file says has to come out of it: those of the file, if it says so of any and nobody
    wants the ones that are `asked` for."""
    said: list[tuple[DriverOptions, str]] = [(row.options, row.signature) for row in explore.defects]
    said += [(driver_options(driver), "") for driver in explore.clean]
    if said and not as_asked:
        yield from ((asked[0].under(driver), wanted) for driver, wanted in said)
        return
    for subject in asked:
        yield subject, next((wanted for known, wanted in said if known == subject.topology.driver), None)


def _check(subject: Subject, explore: ExploreOptions, request: Request) -> None:
    """TopologyError for holds that could make a time-out fire, and threads that there are not."""
    deviations = explore.deviations if request.deviations is None else request.deviations
    holds = request.holds or explore.holds or (subject.topology.run.hold,)
    limit = shortest_wait([subject.topology.driver])
    problems = [
        Problem(Position("--holds" if request.holds else subject.source), (), text)
        for hold in holds
        if (text := too_long(hold, deviations, limit))
    ]
    problems += [
        Problem(Position(f"--starts {name}"), (), text)
        for name in request.starts or ()
        if (text := no_thread(subject.topology, name))
    ]
    if problems:
        raise TopologyError(problems)
