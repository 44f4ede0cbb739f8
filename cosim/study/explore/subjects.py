"""What is searched: each topology under each driver, and what has to come out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    """One row that is to be searched; `wanted` is as in a `Row`."""

    subject: Subject
    explore: ExploreOptions
    wanted: str | None


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
) -> Iterator[Task]:
    """The rows of one topology: its drivers, those that are asked for, or those that its `explore:` names.

    Raises TopologyError for what cannot be searched.
    """
    # Values are set beside the driver that is asked for: the file's own may lack the axis' cell that they are for.
    first, *others = request.drivers or (None,)
    loaded = load(topology, driver=first, sets=sets, overlays=overlays, seed=seed, until=until)
    name = "topology" if isinstance(topology, Topology) else Path(topology).name.removesuffix(".yaml")
    source = name if isinstance(topology, Topology) else str(topology)
    explore = loaded.explore or ExploreOptions()
    plain = Subject(name, loaded, source, tuple(sets), tuple(overlays), seed, until, driver=first)
    asked = [plain] if first is not None else []
    for driver in others:
        under = load(topology, driver=driver, sets=sets, overlays=overlays, seed=seed, until=until)
        asked.append(replace(plain, topology=under, driver=driver))
    own = any(text.startswith("driver") for text in sets)
    for subject, wanted in _drivers(plain, explore, asked, own=own):
        _check(subject, explore, request)
        yield Task(subject, explore, wanted)


def _drivers(
    plain: Subject, explore: ExploreOptions, asked: Sequence[Subject], *, own: bool
) -> Iterator[tuple[Subject, str | None]]:
    """Each driver, and what the file says has to come out of it: `asked`, or those of the file, or its `own` one."""
    said: list[tuple[DriverOptions, str]] = [(row.options, row.signature) for row in explore.defects]
    said += [(driver_options(driver), "") for driver in explore.clean]
    if not asked and said and not own:
        for driver, wanted in said:
            yield plain.under(driver), wanted
    for subject in asked or ([plain] if own or not said else []):
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
