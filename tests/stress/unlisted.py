"""What shipped topologies show under random schedules and latencies that `docs/findings.md` does not list.

Usage: python -m tests.stress.unlisted [--schedules N] [--latencies N] [--drivers A,B] [-o DIR] [--note] [TOPOLOGY...]

A schedule answers 1 to 5 questions of the unperturbed run with 1 or 2; latencies are those of the hardware, each times
a factor of its own between a half and two. Each run has to do what its topology expects, which under another driver
than the topology's own is judged only if the unperturbed run does. A topology that is not small gets a tenth of the
runs. `make unlisted` runs all of it, which takes hours; what was run is not run again, and what was stopped goes on
with the topology and driver where it stopped. `--note` writes what was run of all by this model into
`docs/unlisted.json`, from where it goes on elsewhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cosim
from cosim.hw.iommu.options import DefectOptions
from cosim.study.pool import Pool, Record
from cosim.study.run.run import Point, command_line
from cosim.system.load import as_source, load
from tests.topologies.latencies import scaled
from tests.topologies.running import RUN

DRIVERS = ("merged", "current", "latest", "ideal")
FINDINGS = Path(__file__).parents[2] / "docs" / "findings.md"
NOTED = FINDINGS.with_name("unlisted.json")
SMALL = 1_000
"""A small topology's run tells of no more events."""
MOST_HELD = 5
FACTORS = (0.5, 2.0)
CHOICES = 2
"""The answers of an action that are not 0: held until a conflict, held for `run.hold`."""


def listed(text: str) -> frozenset[str]:
    """What a page on findings lists: in backquotes, perhaps over two lines, a signature (``oracle: kind``) or what
    else was not as expected, with N for every number in it."""
    outside_of_blocks = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    quoted = (" ".join(quote.split()) for quote in re.findall(r"`([^`]+)`", outside_of_blocks))
    return frozenset(quote for quote in quoted if ": " in quote)


def judged(name: str) -> bool:
    """Whether no violation may come of a topology: neither is one expected, nor has an IOMMU a defect."""
    topology = cosim.load(name)
    expect = topology.expect
    sound = all(iommu.defects == DefectOptions() for iommu in topology.of_kind("iommu").values())
    return sound and (expect is None or not (expect.violations or expect.signatures))


@dataclass
class Seen:
    """What the runs of one topology and driver have shown."""

    runs: int = 0
    unlisted: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    """The command that shows each of them first."""
    seconds: float = 0.0

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Seen:
        """What was kept as JSON."""
        return cls(kept["runs"], Counter(kept["unlisted"]), kept["first"], kept["seconds"])

    def lines(self) -> Iterator[str]:
        """What is printed behind the names of topology and driver."""
        yield f"{self.runs:6,} runs {self.seconds:6.1f} s  {sum(self.unlisted.values())} unlisted"
        for what, times in self.unlisted.most_common():
            yield f"    {times:5}  {what}\n           {self.first[what]}"

    def take(self, point: Point, record: Record, known: frozenset[str], *, expected: bool) -> None:
        """Judge a run; where its topology's expectations hold without a perturbation, they have to hold with one."""
        self.runs += 1
        found = set(record.signatures - known)
        if not found and record.outcome != "ok" and expected and not record.signatures:
            found = set(record.signs[:1]) - known
        for what in sorted(found):
            self.unlisted[what] += 1
            self.first.setdefault(what, point.command)


def schedules(topology: str, driver: str, actions: list[str], count: int, seed: int) -> Iterator[Point]:
    """Points with random schedules over the names in `actions`."""
    chance = random.Random(f"{topology} {driver} {seed}")
    loaded = cosim.load(topology, driver=driver)
    for _ in range(count):
        names = sorted(chance.sample(actions, min(len(actions), chance.randint(1, MOST_HELD))))
        schedule = tuple(f"{name}:{chance.randint(1, CHOICES)}" for name in names)
        yield Point(loaded, topology, schedule, command_line(topology, driver=driver, schedule=schedule))


def other_latencies(topology: str, driver: str, count: int) -> Iterator[Point]:
    """Points with random latencies of the hardware."""
    source = as_source(topology)
    plain = load(source, driver=driver)
    for number in range(count):
        changes = scaled(plain, number, *FACTORS)
        sets = [f"{path}={value}" for path, value in changes.items()]
        command = command_line(topology, driver=driver, sets=sets)
        yield Point(load(source, driver=driver, set=changes), topology, (), command)


def held(record: Record) -> list[str]:
    """The names of all actions of a run that a schedule can hold."""
    return [taken.name for taken in record.actions if taken.asks]


def main(argv: list[str] | None = None) -> int:
    """Run it; 1 if anything was shown that is not listed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topologies", nargs="*", metavar="TOPOLOGY")
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--latencies", type=int, default=500)
    parser.add_argument("--drivers", default=",".join(DRIVERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of each topology and driver, at most")
    parser.add_argument("-o", type=Path, default=Path(".unlisted") / cosim.model_version, help="what was run")
    parser.add_argument("--note", action="store_true", help=f"write docs/{NOTED.name}, and run nothing")
    parser.add_argument("-j", type=int, default=None)
    asked = parser.parse_args(argv)
    known = listed(FINDINGS.read_text())
    drivers, names = asked.drivers.split(","), asked.topologies or [name for name in RUN if judged(name)]
    kept = Kept(asked.o, {"schedules": asked.schedules, "latencies": asked.latencies, "seed": asked.seed})
    cells = [(name, driver) for name in names for driver in drivers]
    if asked.note:
        kept.note(cells)
        return 0
    bad = 0
    for name, driver in cells:
        seen = kept.read(name, driver)
        if seen is None:
            seen = one(name, driver, asked, known)
            kept.write(name, driver, seen)
        print(f"{name:28} {driver:8}" + "\n".join(seen.lines()), flush=True)
        bad += bool(seen.unlisted)
    return int(bad > 0)


class Kept:
    """What was run of each topology and driver by this model, with these counts: a folder of this machine's, and a file
    that goes with the source (`NOTED`), in which a topology is only known as it stands."""

    def __init__(self, folder: Path, counts: dict[str, int]) -> None:
        self._folder = folder
        self._of = {"model": cosim.model_version, **counts}
        self._counts = " ".join(map(str, counts.values()))
        noted = json.loads(NOTED.read_text(encoding="utf-8")) if NOTED.exists() else {}
        self._noted = noted["cells"] if {key: noted.get(key) for key in self._of} == self._of else {}

    def read(self, name: str, driver: str) -> Seen | None:
        """What was run; None if it was not."""
        file = self._file(name, driver)
        if file.exists():
            return Seen.of(json.loads(file.read_text(encoding="utf-8")))
        noted = self._noted.get(f"{name} {driver}")
        return Seen.of(noted) if noted and noted["topology"] == _stands(name) else None

    def write(self, name: str, driver: str, seen: Seen) -> None:
        """Keep it in the folder."""
        file = self._file(name, driver)
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".half")
        half.write_text(json.dumps(asdict(seen)), encoding="utf-8")
        half.replace(file)

    def note(self, cells: Iterable[tuple[str, str]]) -> None:
        """Write what is known of these into the file that goes with the source."""
        known = {cell: seen for cell in cells if (seen := self.read(*cell)) is not None}
        noted = {
            f"{name} {driver}": {"topology": _stands(name), **asdict(seen), "seconds": round(seen.seconds, 1)}
            for (name, driver), seen in known.items()
        }
        lines = ",\n".join(f"{json.dumps(cell)}: {json.dumps(seen)}" for cell, seen in noted.items())
        NOTED.write_text(f'{json.dumps(self._of)[:-1]}, "cells": {{\n{lines}\n}}}}\n', encoding="utf-8")

    def _file(self, name: str, driver: str) -> Path:
        return self._folder / f"{name} {driver} {self._counts}.json"


def _stands(name: str) -> str:
    """A hash of a topology as it stands."""
    plain = json.dumps(as_source(name).root.plain, sort_keys=True, default=str)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def one(name: str, driver: str, asked: argparse.Namespace, known: frozenset[str]) -> Seen:
    """Run one topology under one driver."""
    began, seen = time.monotonic(), Seen()
    plain = Point(cosim.load(name, driver=driver), name, ("nobody#0:0",), command_line(name, driver=driver))
    with Pool(1, actions=True) as pool:
        ((_, base),) = pool.runs([plain])
    seen.take(plain, base, known, expected=False)
    expected = base.outcome == "ok"
    share = 1 if base.events <= SMALL else 10
    parts = (
        (schedules(name, driver, held(base), asked.schedules // share, asked.seed), 8),
        (other_latencies(name, driver, asked.latencies // share), 8),
    )
    for number, (points, chunk) in enumerate(parts, 1):
        until = began + asked.seconds * number / len(parts)
        with Pool(asked.j, chunk=chunk) as pool:
            for point, record in pool.runs(points, alone=lambda point: not point.schedule):
                seen.take(point, record, known, expected=expected)
                if time.monotonic() > until:
                    break
    seen.seconds = time.monotonic() - began
    return seen


if __name__ == "__main__":
    sys.exit(main())
