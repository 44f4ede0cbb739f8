"""The report of a run: what limited it, whether it went right, and where the time of each operation went."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TextIO

from rich.console import Console

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.report.busy_bars import busy
from cosim.study.report.commands_line import commands
from cosim.study.report.failed_requests import failed_requests
from cosim.study.report.iommu_lines import iommus
from cosim.study.report.kernel_log import dmesg, kernel_log
from cosim.study.report.kernel_memory import pages
from cosim.study.report.latency_table import accesses, calls
from cosim.study.report.masters_table import masters
from cosim.study.report.page import Page
from cosim.study.report.slowest import slowest
from cosim.study.report.terminal import console_on
from cosim.study.report.verdict import headline, outcome
from cosim.study.report.whole_file import write_whole
from cosim.study.run.result import Result

NARROWEST, WIDEST = 40, 110
"""Characters of a line, whatever the terminal says."""

MEASURED = (accesses, calls, slowest, masters, iommus, commands, busy)
"""Sections on what was measured in the window."""
ALWAYS = (failed_requests, pages, kernel_log)
"""Sections on the whole run."""


def print_report(result: Result, file: TextIO | None = None) -> None:
    """Print the report to `file` (standard output if not given): in colour and to its width, if it is a terminal."""
    _print(result, console_on(file))


def prepare(directory: Path) -> None:
    """Make sure that results can be written to `directory`, before a long run; TopologyError (exit 2) if not."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "log.txt").touch()
    except OSError as error:
        raise _refused(directory, error) from None


def write_results(result: Result, directory: Path) -> None:
    """Write result.json, report.txt, topology.yaml (which runs again by itself) and log.txt into `directory`.

    Each is whole or is not there. Raises TopologyError (exit code 2) if they cannot be written.
    """
    prepare(directory)
    report = io.StringIO()
    _print(result, Console(file=report, width=80, color_system=None, force_terminal=False, markup=False))
    for name, text in (
        ("result.json", json.dumps(result.as_json(), indent=1) + "\n"),
        ("topology.yaml", result.resolved),
        ("log.txt", "".join(f"{dmesg(line)}\n" for line in result.log)),
        ("report.txt", report.getvalue()),
    ):
        try:
            write_whole(directory / name, text)
        except OSError as error:
            raise _refused(directory / name, error) from None


def _refused(path: Path, error: OSError) -> TopologyError:
    return TopologyError([Problem(Position(f"-o {path}"), (), f"cannot be written: {error.strerror}")])


def _print(result: Result, console: Console) -> None:
    page = Page(min(WIDEST, max(NARROWEST, console.width)), console.encoding.lower().startswith("utf"))
    begin, end = result.window_ps
    sections = (headline, outcome, *(MEASURED if begin < end else ()), *ALWAYS)
    blocks = [section(result, page) for section in sections]
    for number, block in enumerate(block for block in blocks if block):
        if number:
            console.print()
        for line in block:
            console.print(line, soft_wrap=True)
