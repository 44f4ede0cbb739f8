"""The verb that runs a finding again."""

from __future__ import annotations

import json
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cosim.cli.options import columns, guarded, trace_options
from cosim.cli.running import nothing_yet, what_failed
from cosim.shell import INTERRUPTED, SIGNALS

if TYPE_CHECKING:
    from cosim.study.finding.replay import Replayed

CODES = """\b
Exit codes:
  0    the same again: an equal digest, and the violation that it is for
  1    not the same
  2    wrong usage, no finding or one of another version, an unwritable output
  3    an error inside cosim
  130  interrupted by Ctrl-C or SIGTERM"""


@click.command(epilog=CODES, short_help="Run a finding again, and see that it is the same.")
@click.argument("finding", metavar="FINDING")
@trace_options
@click.option(
    "--executor", type=click.Choice(["agenda", "plain"]), help="What executes hardware and CPUs; both do the same."
)
@click.option(
    "--picture", "drawn", is_flag=True, help="Draw it: a column for each thread, the hardware and the device."
)
@click.option("--html", "page", metavar="FILE", help="Write the picture as a page to FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found and the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@guarded
def replay(
    finding: str,
    executor: Literal["agenda", "plain"] | None,
    drawn: bool,
    page: str | None,
    as_json: bool,
    quiet: bool,
    tracing: dict[str, Any],
) -> int:
    """Run FINDING, a file that a search has written, again, and say whether the same comes out.

    Its run is the same in every process and on both executors, to the last event, as the digest shows. A finding of
    another version of the model is refused: the names in its schedule may mean other actions there.
    """
    from cosim.study.finding import read
    from cosim.study.finding.replay import replay as run_again
    from cosim.study.run.stop import Stop
    from cosim.study.trace.trace import traced

    if as_json and drawn:
        raise click.UsageError("--json and --picture both print; name one of them, or --html FILE")
    stop = Stop(nothing_yet)
    with stop.listening(SIGNALS), ExitStack() as outputs:
        found = read(finding)
        watchers = outputs.enter_context(traced(found.point().topology, **tracing))
        command = shlex.join(["cosim", "replay", finding])
        replayed = run_again(
            found, executor=executor, command=command, watchers=watchers, progress=not quiet, stop=stop
        )
        lost = [what_failed(outputs.close)]
        if as_json:
            click.echo(json.dumps(replayed.as_json(), indent=1))
        elif not (drawn and replayed.same):
            _print(replayed)
        if (drawn or page) and replayed.same:
            lost.append(_drawn(replayed, command, page, printed=drawn))
    for why in filter(None, lost):
        click.echo(why, err=True)
    return INTERRUPTED if stop.signals else 2 if any(lost) else replayed.exit_code


def _print(replayed: Replayed) -> None:
    from cosim.study.report.replayed import print_replayed

    print_replayed(replayed)


def _drawn(replayed: Replayed, command: str, page: str | None, *, printed: bool) -> str:
    """Print the picture, or write it as a page, or both; what keeps the page from being written."""
    from cosim.study.report.ordering import WIDTH, html, picture_of, plain
    from cosim.study.report.whole_file import write_whole

    picture = picture_of(replayed.finding, command)
    if printed:
        click.echo(plain(picture, columns(WIDTH)), nl=False)
    if page:
        try:
            write_whole(Path(page), html(picture))
        except OSError as error:
            return f"--html {page}: cannot be written: {error.strerror or error}"
    return ""
