"""What is printed fits the terminal, and has no escape sequence where there is to be none."""

from __future__ import annotations

import io
from pathlib import Path

import click
import pytest
from rich.text import Text

from cosim.cli.layout import LaidOut, Layout
from cosim.cli.main import main
from cosim.study.report.terminal import console_on

REPORTS = Path(__file__).parents[3] / "cosim" / "study" / "report"
VERBS = {"cosim": main, **main.commands}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    console = console_on(terminal)
    console.print(Text(f"{console.width} wide", "bold red"))
    return terminal.getvalue()


def test_a_terminal_gets_styles_and_with_no_color_or_a_dumb_one_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1;31m" in printed(monkeypatch, TERM="xterm-256color", COLUMNS="60")
    assert printed(monkeypatch, TERM="xterm-256color", COLUMNS="60", NO_COLOR="1") == "60 wide\n"
    assert printed(monkeypatch, TERM="dumb", COLUMNS="60") == "60 wide\n"


def test_every_report_is_printed_on_that_console() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in REPORTS.glob("*.py")}
    assert "Console(" in sources.pop("terminal.py")
    assert not [name for name, source in sources.items() if "sys.stdout" in source and "Console(" in source]


@pytest.mark.parametrize("verb", VERBS)
def test_no_line_of_a_help_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    words = set(help_of(monkeypatch, verb, 80).split())
    for columns in (40, 60, 80):
        found = help_of(monkeypatch, verb, columns)
        assert max(map(len, found.splitlines())) <= columns
        assert len(words - set(found.split())) < len(words) / 10, "nothing is left out"


def help_of(monkeypatch: pytest.MonkeyPatch, verb: str, columns: int) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    parent = None if verb == "cosim" else click.Context(main, info_name="cosim")
    return LaidOut(VERBS[verb], parent=parent, info_name=verb, max_content_width=100).get_help()


@pytest.mark.parametrize(("columns", "beside"), [(40, False), (60, True)])
def test_long_names_of_a_list_stand_above_what_they_are_where_there_is_no_room_beside(
    columns: int, beside: bool
) -> None:
    terminal = Layout(width=columns)
    terminal.write_dl([("concurrent_attach_of_two_devices", "An unmap meets an attach"), ("rcu", "A bond")], 32)
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert (lines[0] == "concurrent_attach_of_two_devices") != beside
    assert lines[0].endswith("An unmap meets an attach") == beside
