"""A bar on standard error that says how far something has come: on a terminal, nothing elsewhere.

With `NO_COLOR` it is a line of text that is written over, since a bar is drawn with escape sequences.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY_S = 0.1
"""How often it is drawn anew, in seconds."""


class Bar:
    """``with Bar(shown=True) as bar: bar.at("runs", done, of)``; `counted` shows both numbers, and not a percentage."""

    def __init__(self, *, shown: bool, counted: bool = True) -> None:
        self._shown = shown and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._counted = counted
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""
        self._text = ""
        self._drawn = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hide()

    def at(self, what: str, done: int, of: int | None) -> None:
        """`what` has come to `done`; `of` is None if nobody can know how far it will go."""
        if not self._shown or (what == self._what and done != of and time.monotonic() - self._drawn < EVERY_S):
            return
        self._drawn = time.monotonic()
        if os.environ.get("NO_COLOR"):
            self._write(f"{what} {self._how_far(done, of)}")
        else:
            self._draw(what, done, of)
        self._what = what

    def hide(self) -> None:
        """Take it away, so that something can be printed."""
        if self._bar is not None:
            self._bar.stop()
        if self._text:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()
        self._bar, self._task, self._what = None, None, ""

    def _how_far(self, done: int, of: int | None) -> str:
        if of is None:
            return ""
        return f"{done}/{of}" if self._counted else f"{done / of:.0%}"

    def _write(self, text: str) -> None:
        """Write `text` over what stands there; the last column is left, since a terminal goes on to another line."""
        text = text[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(f"\r{text.ljust(len(self._text))}")
        sys.stderr.flush()
        self._text = text

    def _draw(self, what: str, done: int, of: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
        from rich.progress import TimeRemainingColumn as TimeColumn

        if self._bar is None:
            how_far = MofNCompleteColumn() if self._counted else TaskProgressColumn()
            columns = (TextColumn("{task.description}"), BarColumn(), how_far, TimeColumn(elapsed_when_finished=True))
            # No thread may refresh it: a process with threads cannot be forked.
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
            self._bar.start()
        if self._task is None or what != self._what:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=of)
        self._bar.update(self._task, completed=done, total=of)
        self._bar.refresh()
