"""The report of a run: what limited it, whether it went right, and where the time of each operation went."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.report import latency_table, tables
from cosim.study.report.columns import flow
from cosim.study.report.page import Page
from cosim.study.run.result import LogLine, Result
from cosim.units.quantities import format_time

NARROWEST, WIDEST = 60, 110
"""Characters of a line, whatever the terminal says."""

SHOWN_VIOLATIONS = 3
SHOWN_UNFINISHED = 3
SHOWN_LOG = 8

STYLES = {"ok": "bold green", "failed": "bold red", "stuck": "bold red", "interrupted": "bold yellow"}
LEVELS = {"oops": 0, "error": 1, "warning": 2, "info": 3}
LEVEL_STYLES = {"oops": "bold red", "error": "red", "warning": "yellow"}

MEASURED = (latency_table.accesses, latency_table.calls, tables.masters, tables.iommus, tables.busy)
"""Sections on what was measured in the window."""
ALWAYS = (tables.faults, tables.pages)
"""Sections on the whole run."""


def print_report(result: Result, file: TextIO | None = None) -> None:
    """Print the report to `file` (standard output if not given): in colour and to its width, if it is a terminal."""
    _print(result, Console(file=file or sys.stdout, highlight=False, emoji=False, markup=False))


def prepare(directory: Path) -> None:
    """Make sure that results can be written to `directory`, before a long run; TopologyError (exit 2) if not."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "log.txt").touch()
    except OSError as error:
        raise _refused(directory, error) from None


def write_results(result: Result, directory: Path) -> None:
    """Write result.json, report.txt, topology.yaml (which runs again by itself) and log.txt into `directory`.

    Raises TopologyError (exit code 2) if they cannot be written.
    """
    prepare(directory)
    try:
        (directory / "result.json").write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")
        (directory / "topology.yaml").write_text(result.resolved, encoding="utf-8")
        (directory / "log.txt").write_text("".join(f"{_dmesg(line)}\n" for line in result.log), encoding="utf-8")
        with (directory / "report.txt").open("w", encoding="utf-8") as file:
            _print(result, Console(file=file, width=80, color_system=None, force_terminal=False, markup=False))
    except OSError as error:
        raise _refused(directory, error) from None


def _refused(directory: Path, error: OSError) -> TopologyError:
    return TopologyError([Problem(Position(f"-o {directory}"), (), f"cannot be written: {error.strerror}")])


def _print(result: Result, console: Console) -> None:
    page = Page(min(WIDEST, max(NARROWEST, console.width)), console.encoding.lower().startswith("utf"))
    begin, end = result.window_ps
    sections = (_headline, _outcome, *(MEASURED if begin < end else ()), *ALWAYS, _log)
    blocks = [section(result, page) for section in sections]
    for number, block in enumerate(block for block in blocks if block):
        if number:
            console.print()
        for line in block:
            console.print(line, soft_wrap=True)


def _words(text: str, page: Page, style: str = "", first: str = "", rest: str = "") -> list[Text]:
    """`text` in lines, a number and its unit on the same."""
    return flow([Text(f"{word} ") for word in re.split(r"(?<!\d)\s+", text)], page.width, first, rest, style)


def _headline(result: Result, page: Page) -> list[Text]:
    return _words(result.limit, page, "bold")


def _outcome(result: Result, page: Page) -> list[Text]:
    """Whether it went right, why not, and how to see it again; what was measured, and what not."""
    schedule = f", schedule {','.join(result.schedule)}" if result.schedule else ""
    run = f"{result.topology}, driver {result.driver}, seed {result.seed}{schedule}"
    lines = _words(f"{result.outcome}: {run}, digest {result.digest}", page, rest="  ")
    lines[0].stylize(STYLES[result.outcome], 0, len(result.outcome))
    for failure in result.failures:
        lines += _words(failure, page, "red", "  ! ", "    ")
    for violation in result.violations[:SHOWN_VIOLATIONS]:
        lines += _words(f"{violation.oracle}: {violation.message}", page, "red", "  violation of ", "    ")
    if result.violation_count > SHOWN_VIOLATIONS:
        lines.append(Text(f"  and {result.violation_count - SHOWN_VIOLATIONS} more violations", "red"))
    for name, taken in list(result.unfinished.items())[:SHOWN_UNFINISHED]:
        lines += _words(f"{name} has not returned for {_time(taken)}", page, "yellow", "  ? ", "    ")
    if len(result.unfinished) > SHOWN_UNFINISHED:
        lines.append(Text(f"  and {len(result.unfinished) - SHOWN_UNFINISHED} more calls", "yellow"))
    for choice in result.unasked:
        lines += _words(f"the run never came to {choice} of the schedule", page, "yellow", "  ? ", "    ")
    if result.replay and (result.violations or result.failures):
        lines.append(Text(f"  replay: {result.replay}"))
    return [*lines, *_words(_window(result), page, "dim")]


def _window(result: Result) -> str:
    begin, end = result.window_ps
    if end <= begin:
        ended = _time(result.simulated_ps)
        what = "boot was done" if result.boot_ps < 0 else "the warm-up was over"
        return f"nothing was measured: the run ended at {ended}, before {what}"
    text = f"measured {_time(end - begin)} of simulated time, from {_time(begin)} to {_time(end)}"
    if begin > result.boot_ps + 1:
        return f"{text}; not measured: boot ({_time(result.boot_ps)}) and the warm-up after it"
    return f"{text}; not measured: boot, which took {_time(result.boot_ps)}"


def _log(result: Result, page: Page) -> list[Text]:
    """The kernel's log: the gravest kinds of line, each where it came first, with how many were like it."""
    kinds: dict[tuple[str, str], list[LogLine]] = {}
    for line in result.log:
        kinds.setdefault((line.level, re.sub(r"0x[0-9a-fA-F]+|\d+", "#", line.text)), []).append(line)
    gravest = sorted(kinds.values(), key=lambda alike: LEVELS.get(alike[0].level, 3))[:SHOWN_LOG]
    lines = [Text("Kernel log", "bold")] if kinds else []
    for alike in sorted(gravest, key=lambda alike: alike[0].time_ps):
        more = f" (and {len(alike) - 1:,} more like this)" if len(alike) > 1 else ""
        lines += _words(f"{_dmesg(alike[0])}{more}", page, LEVEL_STYLES.get(alike[0].level, ""), "  ", "    ")
    if len(kinds) > SHOWN_LOG:
        rest = sum(map(len, kinds.values())) - sum(map(len, gravest))
        lines.append(Text(f"  and {rest:,} more lines, which --json has", "dim"))
    return lines


def _dmesg(line: LogLine) -> str:
    seconds, rest = divmod(line.time_ps, 10**12)
    return f"[{seconds}.{rest // 10**6:06d}] {line.who}: {line.level}: {line.text}"


def _time(ps: int) -> str:
    return format_time(ps, 4)
