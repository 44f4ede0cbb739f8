"""The verb that writes a report as a page."""

from __future__ import annotations

import os
from collections.abc import Callable
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
@click.option(
    *("-o", "--output"),
    metavar="FILE.html",
    help="Where to write it (quickstart.html, of a results file quickstart.sqlite.html, if not said).",
)
@click.option("--slowest", type=click.IntRange(min=0, max=1000), default=10, show_default=True, metavar="N")
@click.option(
    *("-m", "--metric", "metrics"),
    multiple=True,
    metavar="NAME",
    help="Of a results file: draw this number, by name or glob; those of its sweep, if not said.",
)
@click.option("--plots", metavar="DIR", help="Draw figures for papers there as well, each as PNG and SVG.")
@click.option("--schedule", default="", metavar="NAME:ANSWER,...", help="Perturb the run with a schedule.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@guarded
def report(
    topology: str,
    changes: dict[str, Any],
    output: str | None,
    slowest: int,
    metrics: tuple[str, ...],
    plots: str | None,
    schedule: str,
    quiet: bool,
) -> int:
    """Run TOPOLOGY and write a page on what was measured: one file that needs no network.

    TOPOLOGY may be a results file, that of a sweep: then nothing is run, and the page has its curves and heat maps.

    On that of a run are the topology drawn, distributions, what each latency is made of, the slowest requests step by
    step, the driver's operations, and what reproduces it.
    """
    stored = _is_results(topology)
    path = Path(output or f"{Path(topology).name if stored else Path(name_of(topology)).stem}.html")
    _writable(path)
    if plots:
        _ready(Path(plots))
    if stored:
        if schedule or any(changes.values()):
            raise click.UsageError(f"{topology} is a results file: nothing is run, so that nothing can be changed")
        return _of_results(topology, metrics, path, plots)
    if metrics:
        raise click.UsageError("-m chooses of a results file; a run has everything on its page")
    chosen = tuple(filter(None, schedule.split(",")))
    return _of_run(topology, changes, chosen, slowest, path, plots, quiet=quiet)


def _is_results(path: str) -> bool:
    """Whether that is a file of SQLite, or is called one; where it is opened it is told if it is none of ours."""
    try:
        with Path(path).open("rb") as file:
            return file.read(16) == b"SQLite format 3\0" or Path(path).suffix == ".sqlite"
    except OSError:
        return False


def _of_results(file: str, metrics: tuple[str, ...], path: Path, plots: str | None) -> int:
    from cosim.study.html.sweep_page import sweep_page
    from cosim.study.results.file import refused
    from cosim.study.results.points import check_metrics
    from cosim.study.results.results import Results

    with Results(file) as results:
        sweeps = results.sweeps()
        if not sweeps:
            raise refused(file, "no sweep has written into it")
        sweep = sweeps[-1]
        check_metrics(metrics, results)
        _write(path, sweep_page(results, sweep, metrics))
        if plots:
            from cosim.study.pictures.plots import plots_of_sweep

            _drawn(plots, lambda folder: plots_of_sweep(results, sweep, metrics, folder))
    click.echo(f"{path}: {sweep.command}")
    return 0


def _of_run(
    topology: str,
    changes: dict[str, Any],
    schedule: tuple[str, ...],
    slowest: int,
    path: Path,
    plots: str | None,
    *,
    quiet: bool,
) -> int:
    from cosim.study.html.run_page import run_page
    from cosim.study.run.keep import Keep
    from cosim.study.run.run import Point, command_line
    from cosim.study.run.run import run as simulate
    from cosim.study.run.stop import Stop
    from cosim.system.load import load
    from cosim.units.run_end import AfterThreads

    stop = Stop(nothing_yet)
    with stop.listening(SIGNALS):
        loaded = load(topology, **changes)
        point = Point(
            loaded,
            name=name_of(topology),
            schedule=schedule,
            command=command_line(topology, **changes, schedule=schedule),
        )
        until = 0 if isinstance(loaded.run.until, AfterThreads) else loaded.run.until
        keep = Keep(step_ps=max(1, until // STEPS) if until else 0, slowest=slowest)
        result = simulate(point, progress=not quiet, stop=stop, keep=keep)
        _write(path, run_page(result, loaded))
        if plots:
            from cosim.study.pictures.plots import plots_of_run

            _drawn(plots, lambda folder: plots_of_run(result, folder))
    click.echo(f"{path}: {result.outcome}, digest {result.digest}")
    return INTERRUPTED if stop.signals else result.exit_code


def _ready(folder: Path) -> None:
    """Make the folder of figures, before a long run, and see that what draws them is there."""
    try:
        import cosim.study.pictures.plots  # noqa: F401 - whether it can be
    except ModuleNotFoundError as error:
        why = f"figures need the package {error.name}: pip install 'cosim[plots]'"
        raise _refused(f"--plots {folder}", why) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(f"--plots {folder}", f"cannot be written: {error.strerror or error}") from None


def _drawn(plots: str, draw: Callable[[Path], list[Path]]) -> None:
    try:
        files = draw(Path(plots))
    except OSError as error:
        raise _refused(f"--plots {plots}", f"cannot be written: {error.strerror or error}") from None
    click.echo(f"{plots}: {len(files)} figures")


def _writable(path: Path) -> None:
    """Refuse a page that cannot be written, before a long run."""
    if not path.parent.is_dir():
        raise _refused(f"-o {path}", f"{path.parent} is no folder")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise _refused(f"-o {path}", "cannot be written")


def _write(path: Path, text: str) -> None:
    from cosim.study.report.whole_file import write_whole

    try:
        write_whole(path, text)
    except OSError as error:
        raise _refused(f"-o {path}", f"cannot be written: {error.strerror or error}") from None


def _refused(option: str, why: str) -> Exception:
    from cosim.config.problems import Position, Problem, TopologyError

    return TopologyError([Problem(Position(option), (), why)])
