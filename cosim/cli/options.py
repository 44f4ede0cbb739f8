"""What verbs have in common: how they fail, their exit codes, and the options of a topology."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from cosim.shell import INTERRUPTED

P = ParamSpec("P")

SCHEDULER = "DASK_SCHEDULER_ADDRESS"
"""The variable in which Dask's own clients find a cluster."""

NARROWEST = 40
"""Characters of a line for which output is laid out, if a terminal has fewer."""

EXIT_CODES = """\b
Exit codes:
  0    ok
  1    the modelled system failed: a violation, a fault that was not expected
  2    wrong usage, an invalid file, or an output that cannot be written
  3    an error inside cosim
  4    no progress, a deadlock, the time limit of the host, or a search that
       was stopped before it had made all of its unperturbed runs
  130  interrupted by Ctrl-C or SIGTERM; what was measured until then is kept
A reader that stops reading, such as `head`, changes none of them."""


class Time(click.ParamType[int]):
    """A time above 0, in picoseconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from cosim.units.quantities import parse_time

        if isinstance(value, int):
            return value
        try:
            time_ps = parse_time(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return time_ps or self.fail(f"{value} is no length of time; it must be above 0", param, ctx)


def guarded(verb: Callable[P, int]) -> Callable[P, None]:
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


kernel_option = click.option(
    "--kernel", metavar="FILE.py", help="Functions of the kernel for objects: added, or in the place of cosim's."
)
"""For every verb that runs compiled drivers."""


def with_kernel(driver: str | None, kernel: str | None) -> str | None:
    """The driver with the functions of --kernel; UsageError if it is none of objects."""
    if kernel is None:
        return driver
    from cosim.system.driver_options import with_functions

    try:
        return with_functions(driver, kernel)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def once_option(*names: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option with one value, which is a UsageError where it is given twice: click takes the last in silence."""

    def only(_: click.Context, option: click.Parameter, given: tuple[Any, ...]) -> Any:
        if len(given) > 1:
            raise click.BadParameter(
                f"given {len(given)} times; give one of {', '.join(map(str, given))}", param=option
            )
        return given[0] if given else None

    return click.option(*names, multiple=True, callback=only, **attributes)


def topology_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb that reads one topology."""
    options: list[Callable[..., Any]] = [
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
        once_option(
            "--driver",
            metavar="NAME|FILE.py:NAME",
            help="Another driver variant (cosim list drivers); a single policy takes its place in the topology's own.",
        ),
        kernel_option,
        once_option("--seed", type=click.IntRange(min=0), metavar="N", help="What all chance derives from."),
        once_option("--until", metavar="TIME", help="When the run ends: 1ms, 'threads + 30 us'."),
    ]

    @wraps(verb)
    def gathered(topology: str, **given: Any) -> Any:
        changes = {name: given.pop(name) for name in ("sets", "overlays", "driver", "seed", "until")}
        changes["driver"] = with_kernel(changes["driver"], given.pop("kernel"))
        return verb(topology, changes, **given)

    for option in reversed(options):
        gathered = option(gathered)
    return gathered


jobs_option = click.option(
    *("-j", "--jobs"), type=click.IntRange(min=1), metavar="N", help="Processes at once; one for each CPU."
)
"""How many runs are made at once, for every verb that makes several."""


def pool_options(limit_s: int) -> list[Callable[..., Any]]:
    """The options of every verb that makes many runs: where, how many at once, how long one may take by default."""
    return [
        jobs_option,
        click.option(
            "--cluster",
            envvar=SCHEDULER,
            metavar="ADDRESS",
            help=f"Run on a Dask cluster: its scheduler's address, tcp://HOST:8786; by default that of {SCHEDULER}, "
            "if it is set, as for Dask itself.",
        ),
        click.option(
            "--host-limit",
            type=click.FloatRange(min=0.1),
            default=limit_s,
            show_default=True,
            metavar="SECONDS",
            help="How long one run may take on the computer that makes it.",
        ),
    ]


def trace_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb that traces a run: its `tracing` is what `cosim.study.trace.trace.traced` takes."""
    options: list[Callable[..., Any]] = [
        click.option(
            *("-t", "--trace", "traces"),
            multiple=True,
            metavar="FILE",
            help="Record what happened; the suffix is the format: .jsonl (every event), .dmesg (kernel log), "
            ".pftrace (Perfetto), .vcd (GTKWave), .trace (Linux's trace events).",
        ),
        click.option("--trace-from", metavar="TIME", help="Trace from then on, counted from reset: '110 us'."),
        click.option("--trace-to", metavar="TIME", help="Trace up to then."),
        click.option(
            *("--trace-part", "trace_parts"),
            multiple=True,
            metavar="GLOB",
            help="Trace these parts and threads alone: iommu0, 'nic*', cpu1.map-unmap.",
        ),
        click.option(
            *("--trace-event", "trace_events"),
            multiple=True,
            metavar="GLOB",
            help="Trace these events alone: 'Dma*', CommandExecuted (cosim list events).",
        ),
    ]

    @wraps(verb)
    def gathered(*args: Any, **given: Any) -> Any:
        names = ("traces", "trace_from", "trace_to", "trace_parts", "trace_events")
        return verb(*args, tracing={name: given.pop(name) for name in names}, **given)

    for option in reversed(options):
        gathered = option(gathered)
    return gathered


def columns(most: int = sys.maxsize) -> int:
    """Characters of a line: a terminal's, but at most as many; and that many where no terminal cuts them."""
    return min(most, max(NARROWEST, shutil.get_terminal_size().columns)) if sys.stdout.isatty() else most


def name_of(topology: str) -> str:
    return Path(topology).name.removesuffix(".yaml").removesuffix(".yml")
