"""Each line of a compiled driver that makes order or sends a command taken out: which experiment sees it?

Usage: python -m tests.stress.object_mutants OBJECT[,OBJECT...] [--only TEXT] [--schedules N] [-j N] [-o DIR]

A mutant is `object:...,-LINE`. It is *found* if an experiment shows with it, at its first hold and starts and within so
many schedules, what the whole driver does not show there within `WHOLE` times as many: with less to hold, a mutant's
search comes earlier to what is wrong with the driver anyway. The experiments are those of the remarks that are told of
objects; a mutant that none of them finds is tried in all others. What was searched is not searched again: the same
command goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cosim
from cosim.study.explore.row import Row
from cosim.sw.driver.compiled import COMPILED
from cosim.sw.object_driver.loading import orders_of
from cosim.system.load import shipped

WHOLE = 4
FIRST = ("c10_doorbells", "c9_bonds", "c5_", "c3_", "c1_", "cve_2026_53057", "b6_", "c14_", "n4_", "n2_", "n1_", "b3_")
"""Beginnings of the experiments' names that are searched first, in this order."""


def experiments() -> list[str]:
    """The shipped ones, those of `FIRST` before all others."""
    names = [name for name, path in shipped().items() if path.parent.name == "review"]
    return sorted(names, key=lambda name: next((n for n, start in enumerate(FIRST) if name.startswith(start)), 99))


@dataclass
class Search:
    """Searches experiments, each bounded, and keeps what was found in a folder."""

    schedules: int
    jobs: int | None
    folder: Path

    def row(self, experiment: str, driver: str, times: int) -> Row:
        """What the experiment shows of a driver, at its first hold and starts. KeyboardInterrupt."""
        found = cosim.explore(
            experiment,
            drivers=[driver],
            schedules=self.schedules * times,
            one_cell=True,
            shrink=False,
            resume=True,
            jobs=self.jobs,
            folder=self.folder / (experiment if times == 1 else f"{experiment} {times}"),
        )
        (row,) = found.rows
        if row.stopped == "interrupted":
            raise KeyboardInterrupt
        return row

    def sign(self, experiment: str, driver: str, times: int = 1) -> str:
        """The sign of what so many times the schedules find; empty if that is nothing, or a failure of cosim itself."""
        found = self.row(experiment, driver, times).found
        return found.sign if found is not None and not found.sign.startswith("error:") else ""


def scores(objects: str, search: Search, only: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each mutant's line, and how it was found, experiment by experiment; in the end those that were not, with none."""
    whole = COMPILED + objects
    lines = [line for line in orders_of([Path(path) for path in objects.split(",")]) if only in line]
    for name in names:
        for line in list(lines):
            sign = search.sign(name, f"{whole},-{line}")
            if sign and sign != search.sign(name, whole, WHOLE):
                lines.remove(line)
                yield line, f"{name}: {sign}"
    yield from ((line, "") for line in lines)


def main(argv: list[str] | None = None) -> int:
    """Print what became of each mutant, and the score; 1 if one was not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects")
    parser.add_argument("--only", default="", help="lines that hold this")
    parser.add_argument("--schedules", type=int, default=300, help="of one experiment and mutant, at most")
    parser.add_argument("--first", action="store_true", help="leave out the experiments of other remarks")
    parser.add_argument("-j", type=int, default=1)
    parser.add_argument("-o", type=Path, default=Path(".mutants/objects"))
    asked = parser.parse_args(argv)
    names = [name for name in experiments() if name.startswith(FIRST) or not asked.first]
    total = found = 0
    try:
        for line, told in scores(asked.objects, Search(asked.schedules, asked.j, asked.o), asked.only, names):
            print(f"{line:16} {told or 'NOT FOUND'}", flush=True)
            total += 1
            found += bool(told)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on")
    print(f"{total} mutants: {found} found, {total - found} not")
    return int(found < total)


if __name__ == "__main__":
    sys.exit(main())
