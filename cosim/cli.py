"""The command line: one function per verb, which parses and prints and decides nothing."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from cosim.shell import INTERRUPTED, SIGNALS, leave

if TYPE_CHECKING:
    from cosim.study.run.stop import Stop

P = ParamSpec("P")

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EXIT_CODES = """\b
Exit codes:
  0    ok
  1    the modelled system failed: a violation, a fault that was not expected
  2    wrong usage, an invalid file, or an output that cannot be written
  3    an error inside cosim
  4    no progress, a deadlock, or the time limit of the host
  130  interrupted by Ctrl-C or SIGTERM; what was measured until then is kept
A reader that stops reading, such as `head`, changes none of them."""


def _guarded(verb: Callable[P, int]) -> Callable[P, None]:
    """Turn a verb's result into the exit code, and an invalid file into its list of errors."""

    @wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from cosim.config.problems import TopologyError

        try:
            code = verb(*args, **kwargs)
        except TopologyError as error:
            click.echo(str(error), err=True)
            code = 2
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            code = INTERRUPTED
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:  # the last resort: our own mistake, or that of a user's driver
            from cosim.study.report.crash import describe, is_users

            click.echo(describe(error), err=True)
            code = 2 if is_users(error) else 3
        raise SystemExit(code)

    return run


def _topology_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb that reads one topology."""
    options = [
        click.argument("topology"),
        click.option(
            *("-s", "--set", "sets"),
            multiple=True,
            metavar="PATH=VALUE",
            help="Change a value: iommu0.geometry.walkers=8, 'nic*.traffic.size=256 B'.",
        ),
        click.option(
            *("-f", "--overlay", "overlays"), multiple=True, metavar="FILE", help="Lay another YAML file over it."
        ),
        click.option("--driver", metavar="NAME|FILE.py:NAME", help="Another driver variant (cosim list drivers)."),
        click.option("--seed", type=click.IntRange(min=0), metavar="N", help="What all chance derives from."),
        click.option("--until", metavar="TIME", help="When the run ends: 1ms, 'threads + 30 us'."),
    ]

    @wraps(verb)
    def gathered(topology: str, **given: Any) -> Any:
        changes = {name: given.pop(name) for name in ("sets", "overlays", "driver", "seed", "until")}
        return verb(topology, changes, **given)

    for option in reversed(options):
        gathered = option(gathered)
    return gathered


def _version(context: click.Context) -> None:
    import cosim

    click.echo(f"cosim {cosim.__version__}, model {cosim.model_version}")
    context.exit()


class _InOrder(click.Group):
    """Lists its verbs in the order in which one needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None:
            from cosim.system.load import shipped

            if args[0] in shipped() or Path(args[0]).suffix in (".yaml", ".yml"):
                raise click.UsageError(f"{args[0]} is no command; did you mean cosim run {args[0]}?", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_InOrder, context_settings=CONTEXT, epilog=EXIT_CODES)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, asked: _version(context) if asked else None,
    help="Print the version of cosim, and that of the model that results name.",
)
def main() -> None:
    """Co-simulate the RISC-V IOMMU, its DMA masters and its Linux driver, in simulated time.

    \b
    Start with:
      cosim list                     the topologies that come with cosim
      cosim run quickstart           run one, and see what limited it
      cosim show quickstart          see it in full, ready to be changed
    """


@main.command(epilog=EXIT_CODES, short_help="Run a topology and report what it measured.")
@_topology_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option(
    *("-t", "--trace", "traces"),
    multiple=True,
    metavar="FILE",
    help="Record what happened; the suffix is the format: .jsonl (every event), .dmesg (kernel log).",
)
@click.option(
    *("-o", "--output"), metavar="DIR", help="Write result.json, report.txt, topology.yaml and log.txt there."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@click.option("--schedule", default="", metavar="NAME:ANSWER,...", help="Perturb the run with a schedule.")
@click.option(
    "--host-limit",
    type=click.FloatRange(min=0, max=1e9),
    metavar="SECONDS",
    help="Give up after so long here (exit code 4).",
)
@_guarded
def run(
    topology: str,
    changes: dict[str, Any],
    as_json: bool,
    traces: tuple[str, ...],
    output: str | None,
    schedule: str,
    host_limit: float | None,
    quiet: bool,
) -> int:
    """Run TOPOLOGY (a file, or the name of one that comes with cosim) and report what it measured."""
    from cosim.study.report.report import prepare, print_report, write_results
    from cosim.study.run.run import Point, command_line
    from cosim.study.run.run import run as simulate
    from cosim.study.run.stop import Stop
    from cosim.study.trace.trace import open_traces
    from cosim.system.load import load

    chosen = tuple(filter(None, schedule.split(",")))
    stop = Stop(_nothing_yet)
    with stop.listening(SIGNALS, host_limit), ExitStack() as outputs:
        point = Point(
            load(topology, **changes),
            name=_name(topology),
            schedule=chosen,
            command=command_line(topology, **changes, schedule=chosen),
        )
        if output:
            prepare(Path(output))
        watchers = outputs.enter_context(open_traces(traces))
        result = simulate(point, watchers=watchers, progress=not quiet, stop=stop)
        unwritable = [_failure(outputs.close)]
        if output:
            unwritable.append(_failure(lambda: write_results(result, Path(output))))
        if as_json:
            click.echo(json.dumps(result.as_json(), indent=1))
        else:
            print_report(result)
    lost = [text for text in unwritable if text]
    for text in lost:
        click.echo(text, err=True)
    return INTERRUPTED if stop.signals else 2 if lost else result.exit_code


def _nothing_yet(stop: Stop) -> None:
    """End the process before there is anything to keep, or when its user no longer waits for what there is."""
    leave(INTERRUPTED, "interrupted") if stop.signals else leave(4, stop.reason)


def _failure(write: Callable[[], object]) -> str:
    """What keeps `write` from writing a result; nothing if it does."""
    from cosim.config.problems import TopologyError

    try:
        write()
    except TopologyError as error:
        return str(error)
    return ""


@main.command(short_help="Say whether a topology is valid.")
@_topology_options
@_guarded
def check(topology: str, changes: dict[str, Any]) -> int:
    """Say whether TOPOLOGY is valid, and if not, everything that is wrong with it."""
    from cosim.system.load import load

    load(topology, **changes)
    click.echo(f"{topology}: ok")
    return 0


@main.command(short_help="Print a topology as it would run.")
@_topology_options
@click.option("--all", "everything", is_flag=True, help="With every default written out.")
@_guarded
def show(topology: str, changes: dict[str, Any], everything: bool) -> int:
    """Print TOPOLOGY as it would run: expanded, with overlays and overrides; the output is a topology again."""
    from cosim.system.load import load, resolved

    click.echo(resolved(load(topology, **changes), everything=everything), nl=False)
    return 0


@main.command("list", short_help="List topologies, drivers, policies and the like.")
@click.argument("what", required=False, default="topologies", metavar="[WHAT]")
@_guarded
def list_(what: str) -> int:
    """List what there is of WHAT.

    \b
    topologies     those that come with cosim (what is listed without WHAT)
    drivers        variants of the driver, and in which policies they differ
    policies       what a driver can be made of
    threads        what a thread may do
    patterns       where a DMA master's requests go
    oracles        what is judged in every run
    parts          kinds of hardware
    latency-parts  what latencies are split into, and what lowers each
    scalars        what a result counts, with units
    events         what the lines of a trace are; their times are in picoseconds
    """
    from cosim.study.report.catalogue import CATALOGUE
    from cosim.units.nearest import nearest

    if what not in CATALOGUE:
        raise click.UsageError(f"there is no list of {what}; {nearest(what, CATALOGUE)}")
    rows = [(name, text or "-") for name, text in CATALOGUE[what]()]
    terminal = click.HelpFormatter(width=_columns())
    terminal.write_dl(rows, col_max=max((len(name) for name, _ in rows), default=0))
    click.echo(terminal.getvalue(), nl=False)
    return 0


def _columns() -> int:
    """Characters of a line: a terminal's, and as many as there are where none cuts them."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


@main.command(short_help="Print the JSON schema of topologies.")
@_guarded
def schema() -> int:
    """Print the JSON schema of topologies, for editors that complete and check."""
    from cosim.system.load import json_schema

    click.echo(json.dumps(json_schema(), indent=1))
    return 0


@main.command(short_help="Replay conformance vectors and litmus tests.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--executor",
    type=click.Choice(["untimed", "agenda", "plain"]),
    default="untimed",
    show_default=True,
    help="What vectors are replayed on: without latencies, or, by either executor, on random IOMMUs.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="What the random IOMMUs derive from.")
@click.option("--verbose", "-v", is_flag=True, help="Also print what passed and what was skipped, and why.")
@_guarded
def conform(files: tuple[str, ...], executor: str, seed: int, verbose: bool) -> int:
    """Replay conformance vectors and litmus tests from FILE... and compare every answer.

    Vectors are replayed on the modelled IOMMU; their steps are counted from 0. Of a litmus test all that the modelled
    CPUs may do is searched, under each memory model, whatever the executor and the seed.

    The last line is `N passed, N failed, N skipped`; the exit code is 1 if any failed.
    """
    from cosim.study.conform.conform import conform as replay

    return replay(files, executor=executor, seed=seed, verbose=verbose, echo=click.echo, columns=_columns())


def _name(topology: str) -> str:
    return Path(topology).name.removesuffix(".yaml").removesuffix(".yml")
