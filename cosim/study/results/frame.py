"""Runs as tidy rows, one for each run and number: a data frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cosim.config.yaml_scalars import scalar_of
from cosim.study.results.extras import needed
from cosim.study.results.results import Results
from cosim.study.results.stored import Stored

if TYPE_CHECKING:
    Row = dict[str, Any]

OF_A_RUN = ("run", "replication", "seed", "outcome")


def columns_of(results: Results, sweep: int | None) -> list[str]:
    """The names of the columns: of a run, of each axis, and of a number."""
    paths = dict.fromkeys(path for *_, settings in results.places(sweep) for path in settings)
    return [*OF_A_RUN, *paths, "metric", "value"]


def tidy(results: Results, sweep: int | None = None) -> Iterator[Row]:
    """A row for each run and number; of a run without numbers one, whose metric and value are None."""
    model = next((row.model for row in results.sweeps() if row.id == sweep), None)
    for run in results.runs(sweep, model=model):
        common = {**_of(run), **{path: plain(value) for path, value in run.settings.items()}}
        for name, value in run.numbers.items():
            yield {**common, "metric": name, "value": value}
        if not run.numbers:
            yield {**common, "metric": None, "value": None}


def to_frame(results: Results, sweep: int | None = None) -> Any:
    """A pandas DataFrame of all rows. Raises TopologyError if pandas is not there."""
    pandas = needed("pandas", "to_frame()")
    return pandas.DataFrame(list(tidy(results, sweep)), columns=columns_of(results, sweep))


def plain(written: str) -> int | float | str:
    """What an axis says, as a number where it is one without a unit."""
    try:
        value = scalar_of(written)
    except ValueError:
        return written
    return value if isinstance(value, int | float) and not isinstance(value, bool) else written


def _of(run: Stored) -> dict[str, Any]:
    return {"run": run.id, "replication": run.replication, "seed": run.seed, "outcome": run.outcome}
