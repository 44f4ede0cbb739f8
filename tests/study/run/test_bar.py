"""A bar says how far something has come: on a terminal alone, and with `NO_COLOR` without an escape sequence."""

from __future__ import annotations

import io

import pytest

from cosim.study.run import bar as module
from cosim.study.run.bar import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, of: int | None = 9, **environment: str) -> str:
    """What a bar writes to `stream` that counts 1, 2 of something, and of something else with a long name."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm", "COLUMNS": "40"} | environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    with Bar(shown=True, counted=of is not None) as bar:
        bar.at("runs", 1, of)
        bar.at("runs", 2, of)
        bar.at("schedules of a topology with a long name", 3, of)
        bar.hide()
        stream.write("a table\n")
        bar.at("runs", 9, of)
    return stream.getvalue()


def test_a_terminal_shows_a_bar_and_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    written = shown(monkeypatch, Terminal())
    assert "\x1b[" in written
    assert "1/9" in written
    assert "9/9" in written


def test_with_no_color_a_line_of_text_is_written_over_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    written = shown(monkeypatch, Terminal(), NO_COLOR="1")
    assert "\x1b" not in written
    before, table, after = written.partition("a table\n")
    assert before.split("\r") == [
        "",
        "runs 1/9",
        "runs 2/9",
        "schedules of a topology with a long nam",
        " " * 39,
        "",
    ]
    assert table
    assert after.split("\r") == ["", "runs 9/9", " " * 8, ""]


def test_what_ends_nobody_knows_when_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "runs \r" in shown(monkeypatch, Terminal(), of=None, NO_COLOR="1")


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO, "xterm"), (Terminal, "dumb")], ids=["pipe", "dumb"])
def test_elsewhere_nothing_is_shown(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], term: str) -> None:
    assert shown(monkeypatch, stream(), TERM=term) == "a table\n"


def test_it_is_drawn_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "EVERY_S", 1000.0)
    with Bar(shown=True) as bar:
        for done in range(1, 5):
            bar.at("runs", done, 4)
    assert terminal.getvalue() == "\rruns 1/4\rruns 4/4\r        \r"
