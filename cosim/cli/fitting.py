"""The verb that finds parameters by measurements."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any

import click

from cosim.cli.options import guarded, jobs_option, name_of, once_option
from cosim.shell import INTERRUPTED, SIGNALS

CODES = """\b
Exit codes:
  0    a fit has been found, good or bad
  2    wrong usage, data or parameters that cannot be, a run that
       fails, an unusable results file
  3    an error inside cosim
  130  interrupted by Ctrl-C or SIGTERM; what has ended is kept"""


@click.command(epilog=CODES, short_help="Find parameters by measurements, and predict those held out.")
@click.argument("topology")
@click.option("--data", required=True, metavar="FILE.csv", help="The measurements, under a line of names.")
@click.option(
    "--value", required=True, metavar="NUMBER=COLUMN", help="What was measured: nic0.read.mean_ps='avg_ns ns'."
)
@click.option(
    "--at",
    multiple=True,
    required=True,
    metavar="PATH=COLUMN",
    help="What was set at each point: nic0.traffic.window='window_kb KiB'.",
)
@click.option(
    *("-p", "--parameter", "parameters"),
    multiple=True,
    required=True,
    metavar="PATH=LOW..HIGH",
    help="What may change, and its bounds: 'dram0.latency=50 ns..400 ns'.",
)
@click.option("--start", multiple=True, metavar="PATH=VALUE", help="Where a search begins that is near its end.")
@click.option("--rough", metavar="TIME", help="When runs end by which it is seen what a parameter does.")
@click.option("--rows", multiple=True, metavar="COLUMN=VALUES", help="Only rows in which a column has one of these.")
@click.option("--on", multiple=True, metavar="COLUMN=VALUES", help="Fit on these rows alone, and hold out the others.")
@click.option("--reps", type=click.IntRange(min=1), default=1, metavar="N", help="Runs of each point.")
@click.option(*("-s", "--set", "sets"), multiple=True, metavar="PATH=VALUE", help="Change a value.")
@click.option(*("-f", "--overlay", "overlays"), multiple=True, metavar="FILE", help="Lay another file over it.")
@once_option("--driver", metavar="NAME", help="Another driver variant.")
@once_option("--seed", type=click.IntRange(min=0), metavar="N", help="That of the first replication.")
@once_option("--until", metavar="TIME", help="When each run ends.")
@click.option(
    *("-o", "--output"), metavar="FILE", help="The results file, in which a fit goes on; NAME.sqlite if absent."
)
@jobs_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@guarded
def fit(
    topology: str,
    data: str,
    value: str,
    at: tuple[str, ...],
    parameters: tuple[str, ...],
    rows: tuple[str, ...],
    on: tuple[str, ...],
    start: tuple[str, ...],
    output: str | None,
    as_json: bool,
    quiet: bool,
    **asked: Any,
) -> int:
    """Find the values of parameters at which TOPOLOGY measures what the data say.

    The fit is made on the rows that --on chooses, and with what it finds the other rows are predicted: what a fit is
    worth is their error. Every run is in the results file and never made again, so that the same command goes on where
    it was stopped.
    """
    from cosim.study.fit.evaluation import InterruptedFit
    from cosim.study.fit.plan import FitPlan
    from cosim.study.report.fit_table import print_fit
    from cosim.study.run.stop import Stop
    from cosim.study.sweep.points import Subject
    from cosim.study.sweep.request import Request

    subject = Subject(topology, asked["sets"], asked["overlays"], asked["driver"], asked["seed"], asked["until"])
    request = Request(reps=asked["reps"], jobs=asked["jobs"])
    plan = FitPlan(subject, data, value, at, parameters, rows, on, request, start, asked["rough"] or "")
    path, command, stop = output or f"{name_of(topology)}.sqlite", shlex.join(["cosim", *sys.argv[1:]]), Stop()
    search = plan.fit(path, command=command, stop=stop)
    if not quiet and sys.stderr.isatty():
        for evaluation in filter(None, (search.rough, search.evaluation)):
            evaluation.progress = lambda _: click.echo(f"\r{search.made} runs", nl=False, err=True)
    try:
        with stop.listening(SIGNALS), search.evaluation.results:
            found = search.found()
    except InterruptedFit:
        click.echo(f"interrupted; what has ended is in {path}; go on with: {command}", err=True)
        return INTERRUPTED
    if not quiet and sys.stderr.isatty():
        click.echo("\r", nl=False, err=True)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))
    else:
        print_fit(found)
        click.echo(f"{found.runs} runs were made now, in {path}")
    return 0
