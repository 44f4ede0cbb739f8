"""The progress of a long run, on standard error."""

from __future__ import annotations

import time

from cosim.study.run.bar import Bar

PATIENCE_S = 1.0
"""How long a run may take before a bar appears."""


class Progress(Bar):
    """``with Progress(until) as bar: bar.reached(now)``; times are picoseconds of simulated time.

    `until_ps` is None if nobody can know when the run ends; then the bar shows only that it goes on.
    """

    def __init__(self, until_ps: int | None, *, shown: bool) -> None:
        super().__init__(shown=shown, counted=False)
        self._until_ps = until_ps
        self._begun = time.monotonic()

    def reached(self, now_ps: int) -> None:
        """Simulated time has come to `now_ps`."""
        if time.monotonic() - self._begun >= PATIENCE_S:
            self.at("simulating", now_ps, self._until_ps)
