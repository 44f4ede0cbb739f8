"""The verb that runs a finding again."""

from __future__ import annotations

import json
import shlex
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

import click

from cosim.cli.options import guarded
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
@click.option(
    *("-t", "--trace", "traces"),
    multiple=True,
    metavar="FILE",
    help="Record what happened; the suffix is the format: .jsonl (every event), .dmesg (kernel log).",
)
@click.option(
    "--executor", type=click.Choice(["agenda", "plain"]), help="What executes the hardware; both do the same."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found and the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@guarded
def replay(
    finding: str, traces: tuple[str, ...], executor: Literal["agenda", "plain"] | None, as_json: bool, quiet: bool
) -> int:
    """Run FINDING, a file that a search has written, again, and say whether the same comes out.

    Its run is the same in every process and on both executors, to the last event, as the digest shows. A finding of
    another version of the model is refused: the names in its schedule may mean other actions there.
    """
    from cosim.study.finding import read
    from cosim.study.finding.replay import replay as run_again
    from cosim.study.run.stop import Stop
    from cosim.study.trace.trace import open_traces

    stop = Stop(nothing_yet)
    with stop.listening(SIGNALS), ExitStack() as outputs:
        found = read(finding)
        watchers = outputs.enter_context(open_traces(traces))
        command = shlex.join(["cosim", "replay", finding])
        replayed = run_again(
            found, executor=executor, command=command, watchers=watchers, progress=not quiet, stop=stop
        )
        lost = what_failed(outputs.close)
        if as_json:
            click.echo(json.dumps(replayed.as_json(), indent=1))
        else:
            _print(replayed)
    if lost:
        click.echo(lost, err=True)
    return INTERRUPTED if stop.signals else 2 if lost else replayed.exit_code


def _print(replayed: Replayed) -> None:
    from cosim.study.report.replayed import print_replayed

    print_replayed(replayed)
