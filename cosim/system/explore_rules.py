"""The rules of what a topology says is to be explored."""

from __future__ import annotations

from collections.abc import Iterator

from cosim.config.problems import Path
from cosim.sw.driver.time_outs import shortest_time_out
from cosim.sw.driver.variants import variant
from cosim.sw.workloads import thread_names
from cosim.system.driver_options import DriverOptions
from cosim.system.driver_rules import unknown_driver
from cosim.system.explore_options import ExploreOptions, driver_options
from cosim.system.topology import Topology
from cosim.units.nearest import nearest
from cosim.units.quantities import format_time

Broken = tuple[Path, str]


def what_is_explored_can_be(topology: Topology) -> Iterator[Broken]:
    """Threads, drivers and times of `explore:`."""
    explore = topology.explore
    if explore is None:
        return
    yield from _threads(topology, explore)
    drivers: list[DriverOptions] = [topology.driver]
    for index, row in enumerate(explore.defects):
        yield from _driver(row.driver, ("explore", "defects", index, "driver"))
        drivers.append(row.options)
    for index, driver in enumerate(explore.clean):
        yield from _driver(driver, ("explore", "clean", index))
        drivers.append(driver_options(driver))
    limit = shortest_wait(drivers)
    for index, hold in enumerate(explore.holds):
        if index != explore.holds.index(hold):
            yield ("explore", "holds", index), f"{format_time(hold)} stands there twice"
        if text := too_long(hold, explore.deviations, limit):
            yield ("explore", "holds", index), text


def shortest_wait(drivers: list[DriverOptions]) -> int | None:
    """The shortest time-out of those drivers that are known, in picoseconds; None if there is none."""
    known = [driver for driver in drivers if not list(unknown_driver(driver, ()))]
    return min((shortest_time_out(variant(driver.variant, driver.cells)) for driver in known), default=None)


def too_long(hold_ps: int, deviations: int, limit: int | None) -> str:
    """What is wrong with so many holds one after the other, if they reach a time-out of `limit` (`shortest_wait`)."""
    if limit is None or hold_ps * max(1, deviations) < limit:
        return ""
    several = f"{deviations} deviations of {format_time(hold_ps)}" if deviations > 1 else format_time(hold_ps)
    return (
        f"{several} could make a time-out of {format_time(limit)} fire, which is no race; "
        "hold for less, and study time-outs with `stalls:`"
    )


def _threads(topology: Topology, explore: ExploreOptions) -> Iterator[Broken]:
    for name, starts in explore.starts.items():
        path: Path = ("explore", "starts", name)
        if text := no_thread(topology, name):
            yield path, text
        if not starts:
            yield path, "there is no start; name one at least"


def no_thread(topology: Topology, name: str) -> str:
    """What is wrong with the name of a thread that is to start at several times, if there is none of that name."""
    threads = topology.threads
    names = [f"{thread.on}.{named}" for thread, named in zip(threads, thread_names(threads), strict=True)]
    return "" if name in names else f"{name} is none of `threads:`; {nearest(name, names)}"


def _driver(driver: str | DriverOptions, path: Path) -> Iterator[Broken]:
    for place, text in unknown_driver(driver_options(driver), path):
        yield (path if isinstance(driver, str) else place), text
