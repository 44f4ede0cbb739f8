"""The verbs that lay side by side: two drivers, or two studies."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import click

from cosim.cli.options import guarded, jobs_option
from cosim.shell import INTERRUPTED

CODES = """\b
Exit codes:
  0    ok, whether they differ or not
  2    wrong usage: no such driver or topology, an unwritable output
  3    an error inside cosim
  130  interrupted by Ctrl-C or SIGTERM; what was run until then is printed"""


@click.command("diff-driver", epilog=CODES, short_help="Show in which cells two drivers differ, and what each costs.")
@click.argument("first")
@click.argument("second")
@click.option(
    "--on",
    metavar="TOPOLOGY",
    default="",
    help="Where each cell is run: a file, or a name that comes with cosim; by default a small one that shows it.",
)
@click.option("--costs/--no-costs", "runs", default=True, show_default=True, help="Whether anything is run.")
@jobs_option
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@guarded
def diff_driver(first: str, second: str, on: str, runs: bool, jobs: int | None, as_json: bool, quiet: bool) -> int:
    """Show the cells in which the drivers FIRST and SECOND differ (cosim list drivers, or FILE.py:NAME).

    Each with the two policies and their drawings, and with the steps that one has and the other lacks. Then each cell
    of SECOND is put alone into FIRST and run: how many times as long calls take, how many commands are sent, how many
    of them were needed.
    """
    from cosim.study.compare.cost import costs
    from cosim.study.compare.difference import differences
    from cosim.study.report.driver_difference import print_costs, print_differences
    from cosim.study.run.bar import Bar

    pairs = differences(first, second)
    if not as_json:
        print_differences(first, second, pairs)
    with Bar(shown=not quiet) as bar:
        found = costs(first, second, pairs, on, jobs=jobs, progress=partial(bar.at, "runs")) if runs and pairs else []
    cut = bool(found) and found[-1].driver != second
    if as_json:
        cells = [{"axis": pair.axis, "first": pair.first.as_json(), "second": pair.second.as_json()} for pair in pairs]
        whole = {"first": first, "second": second, "cells": cells, "costs": [cost.as_json() for cost in found]}
        click.echo(json.dumps(whole, indent=1))
    else:
        print_costs(found)
    return INTERRUPTED if cut else 0


OF_STUDIES = """\b
Exit codes:
  0    ok, whether they differ or not
  2    wrong usage: no results file, a number that no run has, an unwritable output
  3    an error inside cosim
  130  interrupted by Ctrl-C or SIGTERM"""


class _Seeds(click.ParamType[frozenset[int]]):
    """Seeds as the values of an axis are written."""

    name = "VALUES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[int]:
        from cosim.study.sweep.values import ValuesError, values_of

        if isinstance(value, frozenset):
            return value
        try:
            return frozenset(map(int, values_of(value)))
        except (ValuesError, ValueError):
            self.fail(f"{value!r} are no seeds, such as 0,1,2 or 0..9", param, ctx)


@click.command(epilog=OF_STUDIES, short_help="Show what differs between two studies, and what of it is no chance.")
@click.argument("first", metavar="FIRST.sqlite")
@click.argument("second", metavar="SECOND.sqlite")
@click.option(
    *("-m", "--metric", "metrics"),
    multiple=True,
    metavar="NAME",
    help="A number that is told point by point, by name or glob; without any, the mean latencies of devices.",
)
@click.option("--seeds", type=_Seeds(), help="Compare runs of these seeds alone: 0,1,2 or 0..9.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as one JSON object.")
@guarded
def compare(first: str, second: str, metrics: tuple[str, ...], seeds: frozenset[int] | None, as_json: bool) -> int:
    """Show what differs between two results files of `cosim sweep`: in the input, and at each point that is in both.

    All runs of a point count, whichever sweep has made them. Where both files have several of equal seeds, these are
    compared in pairs, and no others; else the means of all are.

    A difference is called real if it would be seen by chance once in twenty times at most, all numbers and points taken
    together. A mean latency that differs is followed by the parts that its difference is made of.
    """
    from cosim.study.report.study_comparison import print_comparison
    from cosim.study.results.comparison import compare as lay_side_by_side
    from cosim.study.results.points import check_metrics
    from cosim.study.results.results import Results

    with Results(first) as one, Results(second) as other:
        check_metrics(metrics, one, other)
        found = lay_side_by_side(one, other, seeds)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))
    else:
        print_comparison(found, metrics)
    return 0
