"""Which test runs which line: recorded once for a state of the source, and asked for each planted fault."""

from __future__ import annotations

import difflib
import json
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import takewhile
from pathlib import Path

import coverage
import pytest

from tests.faults.catalogue import ROOT, Fault
from tests.faults.child import run


def texts() -> dict[str, str]:
    """What tests depend on, by path: the source, the tests and the topologies."""
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for folder in ("cosim", "tests", "topologies")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".py", ".yaml"} and "faults" not in path.relative_to(ROOT).parts
    }


def state_of(files: dict[str, str]) -> str:
    """What tells these texts from all others."""
    return sha256(json.dumps(files).encode()).hexdigest()[:16]


def record(folder: Path, part: int, items: Sequence[pytest.Item], where: Path) -> int:
    """Run tests, and write to `folder` which lines each of them runs, and how long it takes; 1 if one fails."""
    os.environ["COVERAGE_CORE"] = "ctrace"
    target = folder / f"lines-{part}"
    target.unlink(missing_ok=True)
    measured = coverage.Coverage(data_file=str(target), source=[str(ROOT / "cosim")], config_file=False)
    measured.set_option("run:relative_files", True)  # so that a copy of the map serves a copy of the source
    began: dict[str, float] = {}

    def around(item: pytest.Item) -> None:
        measured.switch_context(item.nodeid)
        began[item.nodeid] = time.process_time()

    measured.start()
    code = run(items, {item.nodeid: 60.0 for item in items}, where, around)
    measured.stop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may be that no line of cosim was run
        measured.save()
    ends = [*list(began.values())[1:], time.process_time()]
    if code == 0:
        seconds = {name: end - begin for (name, begin), end in zip(began.items(), ends, strict=True)}
        (folder / f"seconds-{part}.json").write_text(json.dumps(seconds))
    return code


def is_recorded(folder: Path, part: int) -> bool:
    """Whether `record` has written this part to its end."""
    return (folder / f"seconds-{part}.json").exists()


class CoverageMap:
    """For each line of each file the tests that run it, and the CPU seconds that each test takes.

    The source may have changed since: lines are then followed through the change, and tests that are new are taken to
    run every line.
    """

    def __init__(self, folder: Path, now: dict[str, str], tests: Iterable[str]) -> None:
        self._now = now
        self._then: dict[str, str] = json.loads((folder / "texts.json").read_text())
        self.seconds: dict[str, float] = {}
        for path in folder.glob("seconds-*.json"):
            self.seconds |= json.loads(path.read_text())
        self.new = set(tests) - set(self.seconds)
        """The tests that were not there when the map was recorded."""
        self._kept: tuple[str, dict[int, set[str]]] = "", {}
        self._data = []
        for path in sorted(folder.glob("lines-*")):
            data = coverage.CoverageData(str(path))
            data.read()
            self._data.append(data)

    def running(self, fault: Fault) -> list[str]:
        """The tests that run what the fault replaces; the likeliest first.

        Behind them come those that run any of its file: a process that one of these forks may run that, too. If the
        import runs that, they are the same, and all that stand where its own would, which may use what the import has
        made and run none of its lines. Of what no test is seen to run they are all tests.
        """
        lines = fault.statements(self._now[fault.path])
        old = None if lines is None else self._then_at(fault.path, lines)
        found, others = set[str](), set[str]()
        for line, names in self._lines(fault.path).items():
            (found if old is None or line in old else others).update(names)
        if lines is None:
            beside = f"tests/{'/'.join(Path(fault.path).parts[1:-1])}/"
            found.update(name for name in self.seconds if name.startswith(beside))
        found = (found or others or set(self.seconds)) | self.new
        return self._in_order(fault.path, found) + self._in_order(fault.path, others - found)

    def _lines(self, path: str) -> dict[int, set[str]]:
        """The tests that ran each line of a file; the last file that was asked for is kept, since it takes a while."""
        if path != self._kept[0]:
            lines: defaultdict[int, set[str]] = defaultdict(set)
            for data in self._data:
                for line, names in data.contexts_by_lineno(path).items():
                    lines[line].update(name for name in names if name)
            self._kept = path, lines
        return self._kept[1]

    def _then_at(self, path: str, lines: range) -> set[int] | None:
        """Where these lines of a file were; None if they are new."""
        then, now = self._then.get(path, "").split("\n"), self._now[path].split("\n")
        matcher = difflib.SequenceMatcher(None, then, now)
        found = {
            old + line - new
            for old, new, size in matcher.get_matching_blocks()
            for line in lines
            if new < line <= new + size
        }
        return found or None

    def _in_order(self, path: str, tests: Iterable[str]) -> list[str]:
        """The quick ones first; each step that a test is nearer in the tree makes up for twice the time."""
        place = Path(path).with_suffix("").parts[1:]

        def cost(test: str) -> float:
            where = Path(test.split("::")[0]).with_suffix("").parts[1:]
            near = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(place, where, strict=False)))
            near += where[-1].removeprefix("test_") in place
            return float((self.seconds.get(test, 0.1) + 0.01) / 2**near)

        return sorted(sorted(tests), key=cost)
