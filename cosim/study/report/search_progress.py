"""The progress of a search, on standard error: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from cosim.study.explore.row import Row

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


EVERY_S = 0.1
"""How often the bar is drawn anew, in seconds."""


class SearchProgress:
    """``with SearchProgress() as bar: explorations(..., progress=bar.ran)``: one bar for each level of a search."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._level: tuple[int, int] = (-1, -1)
        self._refreshed = 0.0

    def __enter__(self) -> SearchProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hide()

    def ran(self, row: Row, left: int) -> None:
        """A run of `row` has ended, and so many of its level are left."""
        if not self._shown:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            # No thread may refresh it: a process with threads cannot be forked.
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
            self._bar.start()
        level = (id(row), len(row.by_level))
        done = row.by_level[-1]
        if level != self._level or self._task is None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            step = f" without {row.step}" if row.step else ""
            what = f"{row.name}, {row.driver}{step}, k={len(row.by_level) - 1}"
            self._task, self._level = self._bar.add_task(what, total=done + left), level
        self._bar.update(self._task, completed=done)
        if time.monotonic() - self._refreshed > EVERY_S or not left:
            self._refreshed = time.monotonic()
            self._bar.refresh()

    def hide(self) -> None:
        """Take the bar away, so that something can be printed."""
        if self._bar is not None:
            self._bar.stop()
            self._bar, self._task = None, None
