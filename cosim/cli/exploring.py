"""The verb that searches schedules."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cosim.cli.options import EXIT_CODES, guarded, kernel_option, once_option, pool_options, with_kernel
from cosim.shell import SIGNALS

if TYPE_CHECKING:
    from cosim.study.explore.request import Request


class _Times(click.ParamType[tuple[int, ...]]):
    """Times with commas between them."""

    name = "TIME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        from cosim.units.quantities import parse_time

        try:
            return tuple(parse_time(text.strip()) for text in str(value).split(","))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Starts(click.ParamType[tuple[str, tuple[int, ...]]]):
    """Starts of one thread: ``cpu1.attach=0,1us,2us``."""

    name = "THREAD=TIME,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        thread, equals, times = str(value).partition("=")
        if not equals:
            self.fail(f"{value!r} is not THREAD=TIME,..., such as cpu1.attach=0,1us", param, ctx)
        return thread, _Times().convert(times, param, ctx)


def _search_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    options: list[Callable[..., Any]] = [
        click.argument("topologies", nargs=-1, required=True, metavar="TOPOLOGY..."),
        click.option(
            "--driver",
            "drivers",
            multiple=True,
            metavar="NAME|FILE.py:NAME",
            help="A driver; several are searched one after the other.",
        ),
        kernel_option,
        click.option(
            *("-s", "--set", "sets"), multiple=True, metavar="PATH=VALUE", help="Change a value, as in cosim run."
        ),
        click.option(*("-f", "--overlay", "overlays"), multiple=True, metavar="FILE", help="Lay another file over it."),
        once_option("--until", metavar="TIME", help="When each run ends."),
        once_option("--seed", type=click.IntRange(min=0), metavar="N", help="Of the topology, and of what is drawn."),
        click.option(
            "--strategy",
            type=click.Choice(["bounded", "pct", "random"]),
            default="bounded",
            show_default=True,
            help="Every schedule, fewest deviations first; or drawn ones, of what is in conflict or of all.",
        ),
        click.option(*("--deviations", "-k"), type=click.IntRange(min=0), metavar="K", help="Answers that are not 0."),
        click.option("--holds", type=_Times(), help="Values of run.hold to try."),
        click.option("--starts", type=_Starts(), multiple=True, help="Starts of a thread to try."),
        click.option("--one-cell", is_flag=True, help="Only the first hold and the first starts."),
        click.option(
            "--schedules",
            type=click.IntRange(min=1),
            metavar="N",
            help="At most so many for each driver; drawn: 1000.",
        ),
        click.option(
            "--time",
            "seconds",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="For each driver.",
        ),
        *pool_options(60),
        click.option("--skip-equal", is_flag=True, help="Add nothing to a schedule whose partial order was seen."),
        click.option("--allocations", is_flag=True, help="Let allocations fail, too."),
        click.option("--go-on", is_flag=True, help="Do not stop at what is found first."),
        click.option("--mutants", is_flag=True, help="Search with each step of a clean driver taken out as well."),
        click.option(
            "--shrink/--no-shrink",
            default=True,
            show_default=True,
            help="Make what should not have been found as small as possible.",
        ),
    ]

    @wraps(verb)
    def gathered(*args: Any, **given: Any) -> Any:
        if kernel := given.pop("kernel"):
            given["drivers"] = tuple(with_kernel(driver, kernel) for driver in given["drivers"] or (None,))
        return verb(*args, **given)

    for option in reversed(options):
        gathered = option(gathered)
    return gathered


@click.command(epilog=EXIT_CODES, short_help="Search schedules for what a topology must not show.")
@_search_options
@click.option(
    "--list-actions",
    is_flag=True,
    help="Print what may be held in each --driver, or in the topology's own, and what each touches; search nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@click.option(
    *("-o", "--output"),
    metavar="DIR",
    default="explored",
    show_default=True,
    help="Where findings go, and the journal by which a search goes on.",
)
@click.option("--resume", is_flag=True, help="Go on with the search whose journal is there.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@guarded
def explore(
    topologies: tuple[str, ...],
    sets: tuple[str, ...],
    overlays: tuple[str, ...],
    until: str | None,
    seed: int | None,
    starts: tuple[tuple[str, tuple[int, ...]], ...],
    seconds: float | None,
    one_cell: bool,
    list_actions: bool,
    as_json: bool,
    output: str,
    resume: bool,
    quiet: bool,
    cluster: str | None,
    **search: Any,
) -> int:
    """Search each TOPOLOGY (a file, a folder, or a name that comes with cosim) over schedules, holds and starts.

    Without --driver these are the drivers that its `explore:` names, with what has to come out of each. A bounded
    search that finds nothing is complete up to its bound, or says what it left out.
    """
    from cosim.study.explore.explore import Exploration, explorations
    from cosim.study.explore.keep import kept
    from cosim.study.explore.request import Request
    from cosim.study.report.exploration import print_rows
    from cosim.study.report.search_progress import SearchProgress
    from cosim.study.run.stop import Stop

    limit = float("inf") if seconds is None else seconds
    search |= {"seconds": limit, "starts": dict(starts) or None, "cluster": cluster or ""}
    request = Request(first_cell=one_cell, seed=seed or 0, **search)
    given: dict[str, Any] = {"folder": Path(output), "resume": resume}
    changes: dict[str, Any] = {"sets": sets, "overlays": overlays, "seed": seed, "until": until}
    if list_actions and as_json:
        raise click.UsageError("--list-actions prints text; leave --json out")
    if list_actions:
        return _list_actions(topologies, request, changes)
    found, printed = Exploration(), 0
    stop = Stop()
    with stop.listening(SIGNALS), SearchProgress(shown=not quiet) as bar:
        for row in explorations(topologies, request, progress=bar.ran, stop=stop, **given, **changes):
            if not as_json and found.rows and found.rows[-1].name != row.name:
                bar.hide()
                print_rows(found.rows[printed:], more=True)
                printed = len(found.rows)
            found.rows.append(row)
    if found.interrupted:
        found.resume = _resumed()
    kept(found, Path(output))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))
    else:
        print_rows(found.rows[printed:])
    if found.resume:
        click.echo(f"interrupted; go on with: {found.resume}", err=True)
    return found.exit_code


def _list_actions(topologies: tuple[str, ...], request: Request, changes: dict[str, Any]) -> int:
    from cosim.study.explore.explore import first_cells
    from cosim.study.explore.listing import listing
    from cosim.study.report.actions_list import print_actions

    for number, cell in enumerate(list(first_cells(topologies, request, **changes))):
        if number:
            click.echo()
        print_actions(cell, list(listing(cell)))
    return 0


def _resumed() -> str:
    """This command, going on with what it has done."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["cosim", *words, "--resume"])
