"""Each barrier, fence, flush, lock, reference and wait of a driver taken out: which experiment sees it?

Usage: python -m tests.stress.mutants [--drivers A,B] [--schedules N] [--only TEXT] [-j N] [-o DIR]

A mutant is a driver with one step less (`cosim list steps`). It is *found* if an experiment in which the whole driver
is clean shows something with it: first by the schedules of the experiments that name it among their `defects:`, then
by a search of those and of all others, each at its first hold and starts, up to its own bound and at most so many
schedules. What is not found has to be argued in mutants.yaml, beside this file. What was searched is not searched
again: `make mutants` goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

import cosim
from cosim.study.explore.mutants import mutants
from cosim.study.explore.row import Row
from cosim.system.driver_options import DriverOptions
from cosim.system.explore_options import driver_options
from cosim.system.load import shipped
from tests.topologies.experiments import first_cell, signs

DRIVERS = ("ideal", "merged", "latest")
ARGUED = Path(__file__).with_name("mutants.yaml")


def argued() -> Mapping[str, str]:
    """Why a step makes no difference, by ``AXIS: STEP``, or ``DRIVER AXIS: STEP``."""
    found: dict[str, str] = yaml.safe_load(ARGUED.read_text(encoding="utf-8")) or {}
    return found


@dataclass
class Score:
    """What became of one mutant: the experiment that finds it, or why none can, or neither."""

    driver: str
    step: str
    topology: str = ""
    row: Row | None = None
    sign: str = ""
    """What the schedule shows that the experiment names for it."""
    why: str = ""

    def __str__(self) -> str:
        name = f"{self.driver:8} {self.step:30}"
        if self.sign:
            return f"{name} {self.topology}, by its schedule: {self.sign}"
        if self.row is not None and self.row.found is not None:
            found = self.row.found
            return f"{name} {self.topology}, after {found.n} (k={found.deviations}): {found.sign}"
        return f"{name} {'equivalent: ' + self.why if self.why else 'NOT FOUND'}"


class Experiments:
    """The shipped experiments, and in which of them a whole driver is clean."""

    def __init__(self, schedules: int, jobs: int | None, folder: Path) -> None:
        self.names = [name for name, path in shipped().items() if path.parent.name == "review"]
        self._explore = {name: cosim.load(name).explore for name in self.names}
        self._asked = {"one_cell": True, "schedules": schedules, "jobs": jobs, "shrink": False, "resume": True}
        self._folder = folder

    def clean(self, driver: str) -> list[str]:
        """The experiments whose file says that nothing may be found in a driver."""
        return [
            name
            for name in self.names
            if (explore := self._explore[name])
            and DriverOptions(variant=driver) in [driver_options(clean) for clean in explore.clean]
        ]

    def ordered(self, mutant: DriverOptions) -> list[str]:
        """Those in which a mutant may be found, first those that name it, then those that name its step in another."""
        (axis, cell), *_ = mutant.cells.items()

        def place(name: str) -> tuple[bool, bool]:
            explore = self._explore[name]
            rows = [row.options for row in explore.defects] if explore else []
            steps = [row.cells.get(axis) for row in rows if isinstance(row.cells.get(axis), Mapping)]
            named = {(row.variant, str(_without(row.cells.get(axis)))) for row in rows}
            same = str(_without(cell))
            return (mutant.variant, same) not in named, not any(str(_without(step)) == same for step in steps)

        return sorted(self.clean(mutant.variant), key=place)

    def shown(self, mutant: DriverOptions) -> tuple[str, str]:
        """An experiment that shows the mutant by the schedule that it names, and what; the whole driver shows less."""
        for name in self.names:
            explore = self._explore[name]
            for at, row in enumerate(explore.defects if explore else []):
                if row.schedule is None or _same(row.options) != _same(mutant):
                    continue
                found = signs(first_cell(name, at), row.schedule)
                clean = signs(first_cell(name, at, under=DriverOptions(variant=mutant.variant)), row.schedule)
                for sign in found:
                    if sign.startswith(row.signature) and sign not in clean:
                        return name, sign
        return "", ""

    def search(self, name: str, mutant: DriverOptions) -> Row:
        """Search one experiment under a mutant."""
        (axis, cell), *_ = mutant.cells.items()
        steps = {f"driver.{axis}.without": _without(cell)}
        folder = self._folder / name
        found = cosim.explore(name, drivers=[mutant.variant], set=steps, folder=folder, **self._asked)  # type: ignore[arg-type]
        (row,) = found.rows
        return row


def _same(driver: DriverOptions) -> tuple[str, dict[str, object]]:
    """What two drivers have in common that are one: a step taken out may be told as a list, or alone."""
    cells = {
        axis: {**cell, "without": _without(cell)} if isinstance(cell, Mapping) else cell
        for axis, cell in driver.cells.items()
    }
    return driver.variant, cells


def _without(cell: object) -> list[str]:
    steps = cell.get("without", []) if isinstance(cell, Mapping) else []
    return [steps] if isinstance(steps, str) else list(steps)


def scored(driver: str, experiments: Experiments, only: str) -> Iterator[Score]:
    """Each mutant of a driver."""
    known = argued()
    for step, mutant in mutants(DriverOptions(variant=driver)):
        score = Score(driver, step, why=known.get(f"{driver} {step}", known.get(step, "")))
        if only not in f"{driver} {step}":
            continue
        if not score.why:
            score.topology, score.sign = experiments.shown(mutant)
        for name in experiments.ordered(mutant) if not (score.why or score.sign) else []:
            row = experiments.search(name, mutant)
            if row.stopped == "interrupted":
                raise KeyboardInterrupt
            # An error inside cosim shows nothing of the driver.
            if row.found is not None and not row.found.sign.startswith("error:"):
                score.topology, score.row = name, row
                break
        yield score


def main(argv: list[str] | None = None) -> int:
    """Print what became of each mutant, and the score; 1 if one is neither found nor argued."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drivers", default=",".join(DRIVERS))
    parser.add_argument("--schedules", type=int, default=300, help="of one experiment and mutant, at most")
    parser.add_argument("--only", default="", help="mutants whose driver, axis or step holds this")
    parser.add_argument("-j", type=int, default=None)
    parser.add_argument("-o", type=Path, default=Path(".mutants"))
    asked = parser.parse_args(argv)
    experiments = Experiments(asked.schedules, asked.j, asked.o / cosim.model_version)
    scores = []
    try:
        for driver in asked.drivers.split(","):
            for score in scored(driver, experiments, asked.only):
                print(score, flush=True)
                scores.append(score)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on")
    found = sum(score.row is not None or bool(score.sign) for score in scores)
    equivalent = sum(bool(score.why) for score in scores)
    neither = len(scores) - found - equivalent
    print(f"{len(scores)} mutants: {found} found, {equivalent} argued equivalent, {neither} neither")
    return int(neither > 0)


if __name__ == "__main__":
    sys.exit(main())
