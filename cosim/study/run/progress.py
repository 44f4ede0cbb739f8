"""The progress of a long run, on standard error: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

PATIENCE_S = 1.0
"""How long a run may take before a bar appears."""


class Progress:
    """``with Progress(until) as bar: bar.reached(now)``; times are picoseconds of simulated time.

    `until_ps` is None if nobody can know when the run ends; then the bar shows only that it goes on.
    """

    def __init__(self, until_ps: int | None, *, shown: bool) -> None:
        self._until_ps = until_ps
        self._shown = shown and sys.stderr.isatty()
        self._begun = time.monotonic()
        self._bar: object = None

    def __enter__(self) -> Progress:
        return self

    def reached(self, now_ps: int) -> None:
        """Simulated time has come to `now_ps`."""
        if not self._shown or time.monotonic() - self._begun < PATIENCE_S:
            return
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        if self._bar is None:
            columns = (TextColumn("simulating"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            bar = Bar(*columns, console=Console(stderr=True), transient=True)
            bar.add_task("", total=self._until_ps)
            bar.start()
            self._bar = bar
        assert isinstance(self._bar, Bar)
        self._bar.update(self._bar.task_ids[0], completed=now_ps)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]
