"""Plant each fault, run the tests that run its lines, and say which killed it, or that it survived (`make faults`).

All tests are collected once, and for each fault a forked process changes the code in its memory, and runs tests until
one fails: first the one that has killed it the last time, which stands in `killers.json`, and only where that does not,
those that run its lines, which are recorded for that. What was killed is not planted again unless its file, or that of
the test that killed it, has changed; what survived is, after any change. So a run that was stopped goes on where it
was. Nothing is written but `.faults/` and, with `--note`, `killers.json`.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.apart import Job as ApartJob
from tests.faults.catalogue import ROOT, Fault, faults
from tests.faults.child import BROKEN, Child, Ended, run, with_tests
from tests.faults.coverage_map import CoverageMap, is_recorded, record, state_of, texts
from tests.faults.in_place import Functions, NotInPlace
from tests.faults.results import Results

KEPT = ROOT / ".faults"
LIMIT_S = 1200
"""A process that takes longer than this on the clock on the wall waits for ever."""
IMPORT, HANGS = "the import", ", which hangs"
"""What kills a fault that leaves nothing to be tested; and what is said behind a test that does not end."""
TOGETHER = 200
"""So many tests are recorded by one process."""


class Work(NamedTuple):
    """Work for a process, and what to do when it has ended."""

    name: str
    work: Callable[[Path], int]
    ended: Callable[[Ended], None]


def carry_out(works: Iterable[Work], side_by_side: int) -> None:
    """Have all work done, by so many processes at a time."""
    waiting, running = iter(works), list[tuple[Work, Child]]()
    try:
        while True:
            while len(running) < side_by_side and (work := next(waiting, None)) is not None:
                running.append((work, Child(work.work, KEPT / f"{work.name}.log")))
            if not running:
                return
            time.sleep(0.02)
            for entry in list(running):
                work, child = entry
                if (ended := child.ended(LIMIT_S)) is not None:
                    running.remove(entry)
                    work.ended(ended)
    finally:
        for _, child in running:
            child.kill()


def passed(end: Ended) -> None:
    """A test that fails without any fault would kill all: there is nothing to be said then."""
    if end.code != 0:
        raise SystemExit(f"without any fault {end.test} fails ({end.code}): see the logs in {KEPT}")


def passes(items: Sequence[pytest.Item], side_by_side: int) -> None:
    """See that tests pass without a fault."""
    parts = range(0, len(items), TOGETHER)
    carry_out(
        (Work(f"whole-{first}", partial(run, items[first : first + TOGETHER], {}), passed) for first in parts),
        side_by_side,
    )


def recorded(items: Sequence[pytest.Item], now: dict[str, str], side_by_side: int, *, older: bool) -> CoverageMap:
    """The map of the present source and tests, recorded now unless it has been; `older`: the last one will do."""
    folder = KEPT / f"map-{state_of(now)}"
    names = [item.nodeid for item in items]
    complete = sorted(KEPT.glob("map-*/complete"), key=lambda path: path.stat().st_mtime)

    if older and complete:
        known = CoverageMap(complete[-1].parent, now, names)
        passes([item for item in items if item.nodeid in known.new], side_by_side)
        return known
    if folder / "complete" not in complete:
        print("recording which test runs which line ...", flush=True)
        folder.mkdir(exist_ok=True)
        (folder / "texts.json").write_text(json.dumps(now))

        def part(first: int) -> Work:
            return Work(f"map-{first}", partial(record, folder, first, items[first : first + TOGETHER]), passed)

        parts = [first for first in range(0, len(items), TOGETHER) if not is_recorded(folder, first)]
        carry_out(map(part, parts), side_by_side)
        (folder / "complete").touch()
    return CoverageMap(folder, now, names)


def shared(item: pytest.Item) -> frozenset[tuple[str, str]]:
    """The fixtures of a test that are made once for its file, which has them."""
    found = getattr(item, "_fixtureinfo", None)
    named = {} if found is None else found.name2fixturedefs
    once = {name: each[-1] for name, each in named.items() if each[-1].scope != "function"}
    return frozenset((each.baseid, name) for name, each in once.items() if each.baseid.endswith(".py"))


class Planter:
    """Plants faults in forks of a process that has collected all tests."""

    def __init__(self, items: Sequence[pytest.Item], now: dict[str, str], results: Results) -> None:
        self._items = {item.nodeid: item for item in items}
        self._shared = {item.nodeid: shared(item) for item in items}
        self._now = now
        self._results = results
        self._functions = Functions()
        gc.freeze()  # what is here is here to stay, and a fork that does not look at it does not copy it
        self._done = 0

    def former(self, fault: Fault) -> list[str] | None:
        """The test that killed it last; none of a fault that no import survives, None if that is not known."""
        by = self._results.former(fault).removesuffix(HANGS)
        return [] if by == IMPORT else [by] if by in self._items else None

    def work_of_former(self, fault: Fault, of: int) -> Work:
        """Try a fault on the test that killed it last, and say nothing if that does not."""
        return self._work(fault, self.former(fault) or [], {}, of, settles=False)

    def work(self, fault: Fault, tests: CoverageMap, most_s: float, of: int) -> Work:
        """Try a fault: first on the test that killed it last, then on the likeliest, of `most_s` seconds together."""
        running = [name for name in tests.running(fault) if name in self._items]
        names = list(dict.fromkeys((*(self.former(fault) or ()), *running, *self._beside(running))))
        spent = accumulate(tests.seconds.get(name, 0.0) for name in names)
        within = [name for name, seconds in zip(names, spent, strict=True) if seconds <= most_s]
        return self._work(fault, within, tests.seconds, of, settles=within == names)

    def _work(self, fault: Fault, names: list[str], seconds: Mapping[str, float], of: int, *, settles: bool) -> Work:
        """`settles`: whether it survives if none of these kills it."""

        def ended(end: Ended) -> None:
            by = self._killer(end)
            if by or settles:
                self._results.add(fault, by)
            if by or seconds:
                self._done += 1
                said = f"killed by {by}" if by else "SURVIVED"
                print(f"{self._done}/{of} {fault.name} {fault.breaks}: {said}", flush=True)

        return Work(fault.name, partial(self._try, fault, names, seconds), ended)

    def _beside(self, tests: Sequence[str]) -> list[str]:
        """The tests that judge what was made once for several, of which these are one.

        What a fixture, or a helper that keeps what it has made, runs is recorded as run by the first test alone that
        asks for it: so all that share a fixture with one of these are beside it, and all of its file.
        """
        made = {fixture for test in tests for fixture in self._shared[test]}
        files = {test.split("::")[0] for test in tests}
        return [
            name
            for name, fixtures in self._shared.items()
            if not made.isdisjoint(fixtures) or name.split("::")[0] in files
        ]

    def _try(self, fault: Fault, names: Sequence[str], seconds: Mapping[str, float], where: Path) -> int:
        source = self._now[fault.path]
        planted = fault.planted(source)
        if fault.statements(source) is not None:
            try:
                self._functions.plant(str(ROOT / fault.path), source, planted)
                return run([self._items[name] for name in names], seconds, where)
            except NotInPlace:
                pass
        job = where.with_suffix(".json")
        job.write_text(json.dumps(ApartJob(fault.module, planted, names, dict(seconds), str(where))))
        return os.execv(sys.executable, [sys.executable, "-m", "tests.faults.apart", str(job)])

    @staticmethod
    def _killer(end: Ended) -> str:
        """What a fault was killed by; "" if it was not."""
        if end.code == 0:
            return ""
        if end.code == BROKEN and not end.test:
            return IMPORT
        if end.code == BROKEN:
            raise SystemExit(f"no verdict, at {end.test}: see the logs in {KEPT}")
        return end.test if end.code == 1 else end.test + HANGS


def main() -> int:
    """Returns 1 if a fault survived and nobody says why."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.plant", description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="faults whose name, file or text holds one of these")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument("--older", action="store_true", help="which test runs which line is taken from an older state")
    parser.add_argument("--most", type=float, default=math.inf, help="for a first look, tests of so many seconds each")
    parser.add_argument("--note", action="store_true", help="write down in killers.json what has killed each")
    options = parser.parse_args()
    KEPT.mkdir(exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = os.devnull  # objects are read each time: what was kept of them would hide that code
    now, began = texts(), time.monotonic()
    chosen = [
        fault
        for fault in faults()
        if not options.only or any(text in f"{fault.name} {fault.path} {fault.breaks}" for text in options.only)
    ]
    results = Results(KEPT / "results.jsonl", now)
    left = sorted((fault for fault in chosen if results.known(fault) is None), key=lambda fault: fault.path)

    def plant(items: Sequence[pytest.Item]) -> int:
        planter = Planter(items, now, results)
        first = [fault for fault in left if planter.former(fault) is not None]
        killers = {name for fault in first for name in planter.former(fault) or ()}
        passes([item for item in items if item.nodeid in killers], options.jobs)
        carry_out((planter.work_of_former(fault, len(left)) for fault in first), options.jobs)
        if rest := [fault for fault in left if results.known(fault) is None]:
            tests = recorded(items, now, options.jobs, older=options.older)
            carry_out((planter.work(fault, tests, options.most, len(left)) for fault in rest), options.jobs)
        return 0

    if left and with_tests(["tests"], plant):
        return 2
    if options.note:
        results.note(faults())
    survivors = [fault for fault in chosen if not results.known(fault)]
    argued = [fault for fault in survivors if fault.equivalent]
    for fault in survivors:
        print(f"{fault.name} {fault.path}: {fault.breaks}; {fault.equivalent or 'nobody says why'}")
    killed = len(chosen) - len(survivors)
    print(f"{len(chosen)} faults: {killed} killed, {len(survivors)} survived ({len(argued)} argued equivalent)")
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if len(survivors) > len(argued) else 0


if __name__ == "__main__":
    sys.exit(main())
