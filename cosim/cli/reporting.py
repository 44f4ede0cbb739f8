"""The verb that writes a report as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cosim.cli.options import EXIT_CODES, guarded, name_of, topology_options
from cosim.cli.running import nothing_yet
from cosim.shell import INTERRUPTED, SIGNALS

STEPS = 100
"""Into so many steps is the measured window cut for what is shown over time."""


@click.command(epilog=EXIT_CODES, short_help="Write a page on a run: one file that needs no network.")
@topology_options
@click.option("-o", "--output", metavar="FILE.html", help="Where to write it (TOPOLOGY.html, if not said).")
@click.option("--slowest", type=click.IntRange(min=0, max=1000), default=10, show_default=True, metavar="N")
@click.option("--schedule", default="", metavar="NAME:ANSWER,...", help="Perturb the run with a schedule.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@guarded
def report(topology: str, changes: dict[str, Any], output: str | None, slowest: int, schedule: str, quiet: bool) -> int:
    """Run TOPOLOGY and write a page on what was measured: one file that needs no network.

    On it are the topology drawn, distributions, what each latency is made of, the slowest requests step by step, the
    driver's operations, and what reproduces it.
    """
    from cosim.config.problems import Position, Problem, TopologyError
    from cosim.study.html.run_page import run_page
    from cosim.study.report.whole_file import write_whole
    from cosim.study.run.run import Keep, Point, command_line
    from cosim.study.run.run import run as simulate
    from cosim.study.run.stop import Stop
    from cosim.system.load import load
    from cosim.units.run_end import AfterThreads

    chosen = tuple(filter(None, schedule.split(",")))
    path = Path(output or f"{name_of(topology)}.html")

    def write(text: str) -> None:
        try:
            write_whole(path, text)
        except OSError as error:
            why = f"cannot be written: {error.strerror or error}"
            raise TopologyError([Problem(Position(f"-o {path}"), (), why)]) from None

    stop = Stop(nothing_yet)
    with stop.listening(SIGNALS):
        loaded = load(topology, **changes)
        if not path.parent.is_dir():
            raise TopologyError([Problem(Position(f"-o {path}"), (), f"{path.parent} is no folder")])
        point = Point(
            loaded,
            name=name_of(topology),
            schedule=chosen,
            command=command_line(topology, **changes, schedule=chosen),
        )
        until = 0 if isinstance(loaded.run.until, AfterThreads) else loaded.run.until
        keep = Keep(step_ps=max(1, until // STEPS) if until else 0, slowest=slowest)
        result = simulate(point, progress=not quiet, stop=stop, keep=keep)
        write(run_page(result, loaded))
    click.echo(f"{path}: {result.outcome}, digest {result.digest}")
    return INTERRUPTED if stop.signals else result.exit_code
