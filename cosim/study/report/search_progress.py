"""The progress of a search, on standard error: one bar for each level."""

from __future__ import annotations

from cosim.study.explore.row import Row
from cosim.study.run.bar import Bar


class SearchProgress(Bar):
    """``with SearchProgress(shown=True) as bar: explorations(..., progress=bar.ran)``."""

    def ran(self, row: Row, left: int) -> None:
        """A run of `row` has ended, and so many of its level are left."""
        done = row.by_level[-1]
        step = f" without {row.step}" if row.step else ""
        self.at(f"{row.name}, {row.driver}{step}, k={len(row.by_level) - 1}", done, done + left)
