"""Findings replayed in a fork, in a fresh process and on the other executor: how many digests are equal.

Usage: python -m tests.stress.replays [FOLDER] [--number N] [--fresh N]

FOLDER has findings, in it or below, as a search leaves them (`cosim explore -o FOLDER`). Without it, or if it has fewer
than `--number`, more are made first: of the schedules that the experiments which come with cosim name for their
defects, with every hold and start of their grids, then of the same with other effects held. Each fresh process has a
hash seed of its own, and replays one finding after the other. `make replays` does it with 300.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory

from cosim.config.problems import TopologyError
from cosim.study.explore.keep import OUTCOME
from cosim.study.finding import Finding, read
from cosim.study.finding.replay import Executor, on
from cosim.study.pool import Pool, Record
from cosim.study.run.run import Point
from cosim.sw.workloads import thread_names
from cosim.system.load import load, shipped
from cosim.system.topology import Topology

NUMBER = 300
ASKING = ("nobody#0:0",)
"""A schedule that holds nothing: every effect asks."""
OTHER: dict[str, Executor] = {"agenda": "plain", "plain": "agenda"}


# --- Findings that are there, and such that are made -----------------------------------------------------------------


def findings_in(folder: Path) -> Iterator[Finding]:
    """Those of this version in a folder, and below it; what is none is passed over."""
    for path in sorted(path for path in folder.rglob("*.json") if path.name != OUTCOME):
        try:
            yield read(path)
        except TopologyError as error:
            print(error, file=sys.stderr)


def points() -> Iterator[Point]:
    """Points that may show something: the schedules of shipped experiments, on their grids."""
    for name in shipped():
        topology = load(name)
        explore = topology.explore
        for row in explore.defects if explore else ():
            if explore is not None and row.schedule is not None:
                other = topology.model_copy(update={"driver": row.options, "explore": None})
                for cell in cells(other, explore.holds, explore.starts):
                    yield Point(cell, name, row.schedule)


def cells(topology: Topology, holds: Sequence[int], starts: dict[str, tuple[int, ...]]) -> Iterator[Topology]:
    """The topology with each hold and each combination of starts."""
    called = thread_names(topology.threads)
    names = [f"{thread.on}.{name}" for thread, name in zip(topology.threads, called, strict=True)]
    for hold, *times in product(holds or (topology.run.hold,), *starts.values()):
        begins = dict(zip(starts, times, strict=True))
        threads = tuple(
            thread.model_copy(update={"start": begins.get(name, thread.start)})
            for thread, name in zip(topology.threads, names, strict=True)
        )
        run = topology.run.model_copy(update={"hold": hold})
        yield topology.model_copy(update={"run": run, "threads": threads})


def held(points: Iterable[Point]) -> Iterator[Point]:
    """Each of these with one effect held instead: its last one, then each with its last but one, and so on."""
    with Pool(actions=True) as pool:
        several = [
            (point, names_of(record)) for point, record in pool.runs(replace(one, schedule=ASKING) for one in points)
        ]
    for turn in count():
        left = [(point, names) for point, names in several if turn < len(names)]
        if not left:
            return
        for point, names in left:
            yield replace(point, schedule=(f"{names[turn]}:{1 + turn % 2}",))


def names_of(record: Record) -> list[str]:
    """The names of the effects of a run that asked, from the last on."""
    return [action.name for action in reversed(record.actions) if action.asks]


def made(wanted: int) -> Iterator[Finding]:
    """So many findings, of different runs."""
    digests: set[str] = set()
    first = {point.topology.driver.model_dump_json(): point for point in points()}
    with Pool() as pool:
        for source in (points(), held(first.values())):
            for point, record in pool.runs(source):
                if record.violations and record.digest not in digests:
                    digests.add(record.digest)
                    yield Finding.of(point, record, record.violations[0].signature)
                    if len(digests) == wanted:
                        return


# --- Replayed --------------------------------------------------------------------------------------------------------


@dataclass
class Equal:
    """How many digests were equal, and the names of those that were not."""

    ways: dict[str, int] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)

    def take(self, way: str, finding: Finding, digest: str) -> None:
        self.ways.setdefault(way, 0)
        if digest == finding.digest:
            self.ways[way] += 1
        else:
            self.other.append(f"{finding.name} {','.join(finding.schedule)}, {way}: {digest}, not {finding.digest}")


def in_forks(findings: Sequence[Finding], *, other: bool = False) -> Iterator[tuple[Finding, str]]:
    """The digest of each, in a child that was forked from a process which had booted; on the `other` executor, too."""
    points = (finding.point() for finding in findings)
    with Pool() as pool:
        runs = pool.runs(on(point, OTHER[point.topology.run.executor]) if other else point for point in points)
        for finding, (_, record) in zip(findings, runs, strict=True):
            yield finding, record.digest


def in_fresh_processes(findings: Sequence[Finding], processes: int) -> Iterator[tuple[Finding, str]]:
    """The digest of each, in one of so many interpreters that have been started for it."""
    size = -(-len(findings) // processes)
    with TemporaryDirectory() as folder:
        for number in range(processes):
            share = findings[number * size : (number + 1) * size]
            if not share:
                continue
            paths = [Path(folder, f"{number}-{at}.json") for at in range(len(share))]
            for path, finding in zip(paths, share, strict=True):
                finding.write(path)
            words = [sys.executable, "-m", "tests.stress.replays", "--digests", *map(str, paths)]
            environment = os.environ | {"PYTHONHASHSEED": str(number)}
            ended = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
            yield from zip(share, json.loads(ended.stdout), strict=True)


def digests(paths: Iterable[str]) -> list[str]:
    """What a fresh process has to say: the digests of the findings in these files, each run from its beginning."""
    with Pool(fork=False) as pool:
        return [record.digest for _, record in pool.runs(read(path).point() for path in paths)]


def replayed(findings: Sequence[Finding], processes: int) -> Equal:
    """Every finding, in each of the ways."""
    equal = Equal()
    for way, found in (
        ("in a fork", in_forks(findings)),
        ("in a fresh process", in_fresh_processes(findings, processes)),
        ("on the other executor", in_forks(findings, other=True)),
    ):
        for finding, digest in found:
            equal.take(way, finding, digest)
        print(f"{way}: {equal.ways.get(way, 0)} of {len(findings)} digests are equal", flush=True)
    return equal


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--number", type=int, default=NUMBER, help="so many findings at least, if they can be made")
    parser.add_argument("--fresh", type=int, default=10, help="so many fresh processes share them")
    parser.add_argument("--digests", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.digests:
        print(json.dumps(digests(given.digests)))
        return 0
    findings = list(findings_in(given.folder)) if given.folder else []
    if len(findings) < given.number:
        found = len(findings)
        findings += made(given.number - found)
        print(f"{found} findings were there, and {len(findings) - found} more are made")
    if not findings:
        print("there is no finding", file=sys.stderr)
        return 2
    equal = replayed(findings, max(1, min(given.fresh, len(findings))))
    for text in equal.other:
        print(text)
    return 1 if equal.other else 0


if __name__ == "__main__":
    sys.exit(main())
