"""The progress of a search, on standard error: one bar for each level."""

from __future__ import annotations

from cosim.study.explore.row import Row
from cosim.study.run.bar import Bar
from cosim.sw.driver.compiled import without_folders

WIDEST_DRIVER = 24
"""Characters of a driver's name: a longer one would leave no room for the bar."""


class SearchProgress(Bar):
    """``with SearchProgress(shown=True) as bar: explorations(..., progress=bar.ran)``."""

    def ran(self, row: Row, left: int) -> None:
        """A run of `row` has ended, and so many of its level are left."""
        done = row.by_level[-1]
        step = f" without {row.step}" if row.step else ""
        self.at(f"{row.name}, {_short(row.driver)}{step}, k={len(row.by_level) - 1}", done, done + left)


def _short(driver: str) -> str:
    name = without_folders(driver)
    return name if len(name) <= WIDEST_DRIVER else f"{name[: WIDEST_DRIVER - 3]}..."
