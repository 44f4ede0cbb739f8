"""The verb that runs one topology."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cosim.cli.options import EXIT_CODES, Time, guarded, name_of, topology_options, trace_options
from cosim.shell import INTERRUPTED, SIGNALS, leave

if TYPE_CHECKING:
    from cosim.study.run.stop import Stop


@click.command(epilog=EXIT_CODES, short_help="Run a topology and report what it measured.")
@topology_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@trace_options
@click.option(
    *("-o", "--output"), metavar="DIR", help="Write result.json, report.txt, topology.yaml and log.txt there."
)
@click.option("--samples", is_flag=True, help="Keep every latency in the result, for --json or -o.")
@click.option(
    "--series", type=Time(), default=0, metavar="STEP", help="Keep throughputs, occupancies and hit rates by the STEP."
)
@click.option(
    "--slowest",
    type=click.IntRange(min=0, max=10_000),
    default=0,
    metavar="N",
    help="Say of the N slowest requests and calls what each waited for, when, and behind whom.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@click.option("--schedule", default="", metavar="NAME:ANSWER,...", help="Perturb the run with a schedule.")
@click.option(
    "--host-limit",
    type=click.FloatRange(min=0, max=1e9),
    metavar="SECONDS",
    help="Give up after so long here (exit code 4).",
)
@guarded
def run(
    topology: str,
    changes: dict[str, Any],
    as_json: bool,
    output: str | None,
    schedule: str,
    host_limit: float | None,
    samples: bool,
    series: int,
    slowest: int,
    quiet: bool,
    tracing: dict[str, Any],
) -> int:
    """Run TOPOLOGY (a file, or the name of one that comes with cosim) and report what it measured."""
    from cosim.study.report.report import prepare, print_report, write_results
    from cosim.study.run.keep import Keep
    from cosim.study.run.run import Point, command_line
    from cosim.study.run.run import run as simulate
    from cosim.study.run.stop import Stop
    from cosim.study.trace.trace import traced
    from cosim.system.load import load

    if (samples or series) and not (as_json or output):
        raise click.UsageError("--samples and --series are for the result; say where it goes: --json, or -o DIR")
    chosen = tuple(filter(None, schedule.split(",")))
    stop = Stop(nothing_yet)
    with stop.listening(SIGNALS, host_limit), ExitStack() as outputs:
        point = Point(
            load(topology, **changes),
            name=name_of(topology),
            schedule=chosen,
            command=command_line(topology, **changes, schedule=chosen),
        )
        if output:
            prepare(Path(output))
        watchers = outputs.enter_context(traced(point.topology, **tracing))
        result = simulate(point, watchers=watchers, progress=not quiet, stop=stop, keep=Keep(samples, series, slowest))
        unwritable = [what_failed(outputs.close)]
        if output:
            unwritable.append(what_failed(lambda: write_results(result, Path(output))))
        if as_json:
            click.echo(json.dumps(result.as_json(), indent=1))
        else:
            print_report(result)
    lost = [text for text in unwritable if text]
    for text in lost:
        click.echo(text, err=True)
    return INTERRUPTED if stop.signals else 2 if lost else result.exit_code


def nothing_yet(stop: Stop) -> None:
    """End the process before there is anything to keep, or when its user no longer waits for what there is."""
    leave(INTERRUPTED, "interrupted") if stop.signals else leave(4, stop.reason)


def what_failed(write: Callable[[], object]) -> str:
    """What keeps `write` from writing a result; nothing if it does."""
    from cosim.config.problems import TopologyError

    try:
        write()
    except TopologyError as error:
        return str(error)
    return ""
