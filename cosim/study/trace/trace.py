"""Traces of a run: what happened, in the format that the file's suffix names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cosim.config.problems import Position, Problem, TopologyError
from cosim.units.quantities import format_time

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim
    from cosim.study.trace.selection import Selection
    from cosim.study.trace.trace_file import TraceFile
    from cosim.study.trace.tracer import Format
    from cosim.system.topology import Topology

FORMATS: Mapping[str, tuple[str, str]] = {
    ".jsonl": ("json_lines", "JsonLines"),
    ".dmesg": ("kernel_log", "KernelMessages"),
    ".trace": ("kernel_events", "KernelEvents"),
    ".vcd": ("vcd", "Waveforms"),
    ".pftrace": ("perfetto.tracer", "Timeline"),
}
"""The module beside this one, and its class, of each format, by the suffix of its files: imported if it is used."""

PACKAGES = {"vcd": "pyvcd"}
"""The package that has a module, where it is called otherwise."""


@contextmanager
def open_traces(
    paths: Sequence[str], topology: Topology, selection: Selection | None = None
) -> Iterator[list[Callable[[Sim], None]]]:
    """Open a trace of a run of `topology` for each of `paths`, and close them at the end; gives what watches the run.

    TopologyError (exit 2) if one cannot be. A file that cannot be written further ends there, and the run does not:
    TopologyError tells so at the end. It does if the run ends before the first time that is selected, too.
    """
    if not paths:
        yield []
        return
    from cosim.study.trace.selection import ALL
    from cosim.study.trace.trace_file import TraceFile

    formats = [_format(path) for path in paths]
    problems: list[Problem] = []
    watched: list[Sim] = []
    with ExitStack() as files:
        watchers: list[Callable[[Sim], None]] = [watched.append]
        for path, make in zip(paths, formats, strict=True):
            file = TraceFile(path)
            files.callback(_end, file, problems)
            tracer = make(file, topology, selection or ALL)
            files.callback(tracer.close)
            watchers.append(tracer.watch)
        yield watchers
    first = selection.from_ps if selection else 0
    if watched and watched[0].now < first:
        position = Position(f"--trace-from {format_time(first)}")
        problems.append(Problem(position, (), f"nothing is traced: the run ended at {format_time(watched[0].now, 6)}"))
    if problems:
        raise TopologyError(problems)


@contextmanager
def traced(
    topology: Topology,
    *,
    traces: Sequence[str] = (),
    trace_from: str | None = None,
    trace_to: str | None = None,
    trace_parts: Sequence[str] = (),
    trace_events: Sequence[str] = (),
) -> Iterator[list[Callable[[Sim], None]]]:
    """`open_traces`, with the selection that the options of the command line ask for. Raises TopologyError."""
    options = {
        "--trace-from": trace_from,
        "--trace-to": trace_to,
        "--trace-part": trace_parts,
        "--trace-event": trace_events,
    }
    if not traces and (given := [name for name, value in options.items() if value]):
        raise TopologyError([Problem(Position(given[0]), (), "there is no trace; -t FILE makes one")])
    selection = None
    if traces:
        from cosim.study.trace.selection import select

        selection = select(topology, start=trace_from, end=trace_to, parts=trace_parts, kinds=trace_events)
    with open_traces(traces, topology, selection) as watchers:
        yield watchers


def _format(path: str) -> Format:
    from cosim.study.trace.trace_file import refused

    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise refused(path, f"the suffix names the format of a trace; there are: {', '.join(FORMATS)}")
    module, name = FORMATS[suffix]
    try:
        found: Format = getattr(import_module(f"{__package__}.{module}"), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        package = PACKAGES.get(missing, missing)
        raise refused(path, f"{suffix} needs the package {package}: pip install 'cosim[traces]'") from None
    return found


def _end(file: TraceFile, problems: list[Problem]) -> None:
    file.close()
    if file.failure is not None:
        problems += file.failure.problems
