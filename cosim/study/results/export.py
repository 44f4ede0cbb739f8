"""A study as CSV or Parquet: a row for each run and number."""

from __future__ import annotations

import csv
from pathlib import Path

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.report.whole_file import whole
from cosim.study.results.extras import needed
from cosim.study.results.frame import columns_of, tidy, to_frame
from cosim.study.results.results import Results


def check_extras(parquet: str | None) -> None:
    """Look, before a long sweep, whether what is needed is there. TopologyError."""
    if parquet:
        needed("pandas", f"--parquet {parquet}")
        needed("pyarrow", f"--parquet {parquet}")


def write_csv(results: Results, path: str, sweep: int | None = None) -> None:
    """Write a CSV file, which is whole or is not there. TopologyError."""
    try:
        with whole(Path(path)) as place, place.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns_of(results, sweep), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(tidy(results, sweep))
    except OSError as error:
        raise _refused(f"--csv {path}", error) from None


def write_parquet(results: Results, path: str, sweep: int | None = None) -> None:
    """Write a Parquet file, which is whole or is not there. TopologyError."""
    check_extras(path)
    frame = to_frame(results, sweep)
    try:
        with whole(Path(path)) as place:
            frame.to_parquet(place, index=False)
    except OSError as error:
        raise _refused(f"--parquet {path}", error) from None


def _refused(place: str, error: OSError) -> TopologyError:
    return TopologyError([Problem(Position(place), (), f"cannot be written: {error.strerror or error}")])
