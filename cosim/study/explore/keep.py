"""What a search has found is kept: as a file that can be replayed, shrunk first if that is wanted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.explore.row import Found, Row
from cosim.study.finding import Finding
from cosim.study.finding.shrink import NotShownError, shrink
from cosim.study.pool import Pool
from cosim.study.report.ordering.recording import lines_held
from cosim.study.report.whole_file import write_whole
from cosim.study.run.stop import Stop
from cosim.units.quantities import format_time

if TYPE_CHECKING:
    from cosim.study.explore.explore import Exploration

OUTCOME = "outcome.json"
"""What the outcome of an exploration is called in its folder."""

SHRINKING_RUNS = 300
"""As many runs are made, at most, in order to make a finding smaller."""


def keep(row: Row, folder: Path, *, small: bool, jobs: int | None, stop: Stop) -> None:
    """Write the row's finding into `folder`, and note its path in the row. A run that died is no finding.

    It is written also if `stop` is asked for meanwhile, as small as it is by then. Raises TopologyError if the file
    cannot be written.
    """
    found = row.found
    if found is None or found.crashed:
        return
    path = folder / f"{_name(row, found)}.json"
    with Pool(jobs, signals=()) as pool:
        if small:
            try:
                shrunk = shrink(found.point, found.sign, pool=pool, runs=SHRINKING_RUNS, enough=lambda: stop.asked)
            except NotShownError:
                return
            point, record = shrunk.point, shrunk.record
        else:
            point = found.point
            ((_, record),) = pool.runs([point])
    point = replace(point, command=f"cosim replay {path}")
    if found.sign in record.signs:
        folder.mkdir(parents=True, exist_ok=True)
        Finding.of(point, record, found.sign).write(path)
        found.path = str(path)
    found.held = lines_held(found.point)


def kept(exploration: Exploration, folder: Path) -> None:
    """Write what came out of all rows into `folder`. Raises TopologyError if it cannot be written."""
    path = folder / OUTCOME
    try:
        write_whole(path, json.dumps(exploration.as_json(), indent=1) + "\n")
    except OSError as error:
        raise TopologyError([Problem(Position(str(path)), (), f"cannot be written: {error.strerror}")]) from None


def _name(row: Row, found: Found) -> str:
    """The topology, the driver and the signature, as far as a file's name can hold them; of paths the last part."""
    hold = format_time(found.point.topology.run.hold).replace(" ", "")
    driver = re.sub(r"[^\s,:]*/", "", row.driver)
    words = f"{row.name} {driver} {row.step} {found.sign.partition(':')[0]} {hold}"
    return re.sub(r"[^\w.=-]+", "-", words).strip("-")
