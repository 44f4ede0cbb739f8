"""Traces of a run: what happened, in the format that the file's suffix names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cosim.config.problems import Position, Problem, TopologyError
from cosim.sim.simulation import Sim
from cosim.study.trace.json_lines import JsonLines
from cosim.study.trace.kernel_events import KernelEvents
from cosim.study.trace.kernel_log import KernelMessages
from cosim.study.trace.selection import ALL, Selection, select
from cosim.study.trace.trace_file import TraceFile, refused
from cosim.study.trace.tracer import Format
from cosim.system.topology import Topology

Watcher = Callable[[Sim], None]
"""Something that begins to watch a run, given its `Sim`, before anything has happened."""


def _waveforms() -> Format:
    from cosim.study.trace.vcd import Waveforms

    return Waveforms


def _timeline() -> Format:
    from cosim.study.trace.perfetto.tracer import Timeline

    return Timeline


FORMATS: Mapping[str, Callable[[], Format]] = {
    ".jsonl": lambda: JsonLines,
    ".dmesg": lambda: KernelMessages,
    ".trace": lambda: KernelEvents,
    ".vcd": _waveforms,
    ".pftrace": _timeline,
}
"""How to come by each format, by the suffix of its files; ModuleNotFoundError if its extra is not installed."""


PACKAGES = {"vcd": "pyvcd"}
"""The package that has a module, where it is called otherwise."""


@contextmanager
def open_traces(paths: Sequence[str], topology: Topology, selection: Selection = ALL) -> Iterator[list[Watcher]]:
    """Open a trace of a run of `topology` for each of `paths`, and close them at the end.

    TopologyError (exit 2) if one cannot be. A file that cannot be written further ends there, and the run does not:
    TopologyError tells so at the end.
    """
    formats = [_format(path) for path in paths]
    problems: list[Problem] = []
    with ExitStack() as files:
        watchers: list[Watcher] = []
        for path, make in zip(paths, formats, strict=True):
            file = TraceFile(path)
            files.callback(_end, file, problems)
            tracer = make(file, topology, selection)
            files.callback(tracer.close)
            watchers.append(tracer.watch)
        yield watchers
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
) -> Iterator[list[Watcher]]:
    """`open_traces`, with the selection that the options of the command line ask for. Raises TopologyError."""
    options = {
        "--trace-from": trace_from,
        "--trace-to": trace_to,
        "--trace-part": trace_parts,
        "--trace-event": trace_events,
    }
    if not traces and (given := [name for name, value in options.items() if value]):
        raise TopologyError([Problem(Position(given[0]), (), "there is no trace; -t FILE makes one")])
    selection = select(topology, start=trace_from, end=trace_to, parts=trace_parts, kinds=trace_events)
    with open_traces(traces, topology, selection) as watchers:
        yield watchers


def _format(path: str) -> Format:
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise refused(path, f"the suffix names the format of a trace; there are: {', '.join(FORMATS)}")
    try:
        return FORMATS[suffix]()
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        package = PACKAGES.get(module, module)
        raise refused(path, f"{suffix} needs the package {package}: pip install 'cosim[traces]'") from None


def _end(file: TraceFile, problems: list[Problem]) -> None:
    file.close()
    if file.failure is not None:
        problems += file.failure.problems
