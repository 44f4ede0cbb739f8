"""The verb that runs a topology at many points."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cosim.cli.options import guarded, name_of, once_option, pool_options
from cosim.shell import INTERRUPTED, SIGNALS

if TYPE_CHECKING:
    from cosim.study.results.results import Results
    from cosim.study.sweep.plan import Plan
    from cosim.study.sweep.sweep import Sweep

SOME_FAILED = 5

CODES = """\b
Exit codes:
  0    every run is ok
  2    wrong usage, an axis or study that cannot be, an unusable results file
  3    an error inside cosim
  5    some runs have failed; the table says which, and why
  130  interrupted by Ctrl-C or SIGTERM; what has ended is kept"""

OPTIONS: tuple[Callable[..., Any], ...] = (
    click.argument("topology", metavar="TOPOLOGY|STUDY.yaml"),
    click.option(
        *("-x", "--axis", "axes"),
        multiple=True,
        metavar="PATH=VALUES",
        help="An axis: iommu0.geometry.walkers=1,2,4, or =1..8*2, or 'nic*.traffic.size=64 B..1 KiB*4'. "
        "Of a study one of the same path is replaced.",
    ),
    click.option("--driver", "drivers", multiple=True, metavar="NAME,...", help="Drivers; several are an axis."),
    click.option("--zip", "zips", multiple=True, metavar="AXIS,AXIS", help="Axes that vary together."),
    once_option("--where", metavar="CONDITION", help="Only points that meet it: 'walkers <= iotlb_entries / 4'."),
    once_option("--sample", metavar="lhs:N|sobol:N", help="N points, drawn over the axes, instead of all."),
    click.option("--reps", type=click.IntRange(min=1), metavar="N", help="Runs of each point, with other seeds."),
    click.option("--ci", metavar="PERCENT", help="Replicate until the first metric's 95 % interval is ± so much."),
    click.option("--max-reps", type=click.IntRange(min=2), metavar="N", help="With --ci, no more than so many."),
    click.option(
        *("-m", "--metric", "metrics"),
        multiple=True,
        metavar="NAME",
        help="A number of the table, by name or glob: gpu0.read.p99_ps, '*.hit_rate'.",
    ),
    click.option("--independent", is_flag=True, help="Points do not share their random numbers."),
    click.option(
        *("-s", "--set", "sets"),
        multiple=True,
        metavar="PATH=VALUE",
        help="Change a value; of a study also an axis, by one.",
    ),
    click.option(*("-f", "--overlay", "overlays"), multiple=True, metavar="FILE", help="Lay another file over it."),
    once_option("--until", metavar="TIME", help="When each run ends."),
    once_option("--seed", type=click.IntRange(min=0), metavar="N", help="That of the first replication."),
    click.option(
        *("-o", "--output"), metavar="FILE", help="The results file, in which a sweep goes on; NAME.sqlite if absent."
    ),
    click.option("--reuse", multiple=True, metavar="FILE", help="Take runs over from another results file."),
    click.option("--retry", is_flag=True, help="Run again what came to no end."),
    *pool_options(600),
    click.option("--csv", metavar="FILE", help="Write every number of every run, a row each."),
    click.option("--parquet", metavar="FILE", help="The same as Parquet."),
    click.option("--json", "as_json", is_flag=True, help="Print the table as one JSON object."),
    click.option("-q", "--quiet", is_flag=True, help="No progress on standard error."),
)


def _with_options(verb: Any) -> Any:
    for option in reversed(OPTIONS):
        verb = option(verb)
    return verb


@click.command(epilog=CODES, short_help="Run a topology at many points, and keep what comes out.")
@_with_options
@guarded
def sweep(
    topology: str,
    output: str | None,
    reuse: tuple[str, ...],
    csv: str | None,
    parquet: str | None,
    as_json: bool,
    quiet: bool,
    **asked: Any,
) -> int:
    """Run TOPOLOGY at every point of the axes, and print a table of means with their intervals.

    Every run that has ended is in the results file, and is never made again: the same command goes on where it was
    stopped, more --reps are added to those that there are, and other axes make use of the points that they share.
    Points share their random numbers, so that they differ by what was changed and by nothing else.
    """
    from cosim.study.results.estimate import unknown_metrics
    from cosim.study.results.export import check_extras, write_csv, write_parquet
    from cosim.study.run.bar import Bar
    from cosim.study.run.stop import Stop

    plan = _plan(topology, asked)
    check_extras(parquet)
    path = output or f"{name_of(topology)}.sqlite"
    stop = Stop()
    with stop.listening(SIGNALS), Bar(shown=not quiet) as bar:
        made = plan.sweep(path, command=shlex.join(["cosim", *sys.argv[1:]]), reuse=reuse, stop=stop)
        made.progress = partial(bar.at, "runs")
        failed = sum(not run.ok for run in made.runs())
    with made.results as results:
        unknown = unknown_metrics(results.runs(made.row.id, model=made.row.model), made.row.metrics)
        _print(made, results, as_json=as_json)
        if csv:
            write_csv(results, csv, made.row.id)
        if parquet:
            write_parquet(results, parquet, made.row.id)
    if made.interrupted:
        click.echo(f"interrupted; what has ended is in {path}; go on with: {made.row.command}", err=True)
        return INTERRUPTED
    for text in unknown:
        click.echo(f"-m {text}", err=True)
    return 2 if unknown else SOME_FAILED if failed else 0


def _plan(topology: str, asked: dict[str, Any]) -> Plan:
    """What the command line asks for, on top of a study if it names one. TopologyError."""
    from cosim.study.sweep.axes import DRIVER, AxesError, Axis, driver_names, names_of
    from cosim.study.sweep.plan import Plan, as_topology_error, percent_of
    from cosim.study.sweep.points import Subject
    from cosim.study.sweep.samples import Sample
    from cosim.study.sweep.study import is_study, read

    plan = read(topology) if is_study(topology) else Plan(Subject(topology), ())
    request = plan.request
    try:
        plan = plan.with_own([*map(Axis.parse, asked["axes"])], asked["sets"], asked["until"])
        axes = list(plan.axes)
        if drivers := [name for text in asked["drivers"] for name in names_of(text)]:
            axes = [axis for axis in axes if axis.path != DRIVER]
            drivers = driver_names(drivers)
            axes += [Axis.of(DRIVER, drivers)] if len(drivers) > 1 or not axes else []
        zips = [*plan.zips, *map(names_of, asked["zips"])]
        sample = Sample.parse(asked["sample"]) if asked["sample"] else plan.sample
        ci = percent_of(asked["ci"]) if asked["ci"] else request.ci
    except AxesError as error:
        raise as_topology_error(error) from None
    metrics = asked["metrics"] or request.metrics
    if ci and not metrics:
        raise click.UsageError("--ci: say with -m of which number the interval has to be that narrow")
    subject = replace(
        plan.subject,
        overlays=(*plan.subject.overlays, *asked["overlays"]),
        driver=drivers[0] if len(drivers) == 1 else None,
        seed=plan.subject.seed if asked["seed"] is None else asked["seed"],
    )
    request = replace(
        request,
        reps=asked["reps"] or request.reps,
        ci=ci,
        most_reps=asked["max_reps"] or request.most_reps,
        metrics=tuple(metrics),
        independent=asked["independent"] or request.independent,
        jobs=asked["jobs"],
        cluster=asked["cluster"] or "",
        host_limit=asked["host_limit"],
        retry=asked["retry"],
    )
    where = asked["where"] or plan.where
    return replace(plan, subject=subject, axes=tuple(axes), zips=zips, where=where, sample=sample, request=request)


def _print(made: Sweep, results: Results, *, as_json: bool) -> None:
    from cosim.study.report.sweep_table import print_table
    from cosim.study.results.estimate import estimates

    rows = list(estimates(results.runs(made.row.id, model=made.row.model), made.row.metrics))
    if as_json:
        click.echo(json.dumps({"results": results.path, "points": [row.as_json() for row in rows]}, indent=1))
        return
    print_table(rows, made.row.metrics)
    where = "" if results.path == ":memory:" else f", in {Path(results.path)}"
    missing = f"; {made.missing} are missing" if made.missing else ""
    click.echo(f"{made.made} of {made.total} runs were made now{where}{missing}")
