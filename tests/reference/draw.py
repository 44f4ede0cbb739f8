"""Draws `varied.json`: of many topologies with a few changes those that run what few others run.

Usage: python -m tests.reference.draw COUNT SECONDS

Each option that a topology may have is changed in some of COUNT, to a value beside its own or to one that it has in
another file; threads of other topologies join, drivers have other policies or a step less. Each is run once, and those
are kept that go from one line to another where few of the kept ones do, or end as none of them, for the least time: so
many as take SECONDS of processor time together. `make reference` says what they come to.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import yaml
from coverage import Coverage

import cosim
from cosim.config.problems import TopologyError
from cosim.config.shape import at, choices_of, value_at
from cosim.study.explore.mutants import mutants
from cosim.sw.driver.axes import AXES
from cosim.sw.driver.table import CELLS
from cosim.system.driver_options import DriverOptions
from cosim.system.load import as_data, shipped
from cosim.system.topology import Topology
from tests.reference.runs import DRIVERS, LARGE_ONES, told_of
from tests.reference.runs import IN_C as IN_C_OBJECTS
from tests.reference.varied import IN_C, WRITTEN, Change, Varied, written

ROOT = Path(__file__).parents[2]
UNCHANGED = ("kind", "does", "explore", "expect", "limit", "boot_limit", "executor", "count", "hz", "file")
"""Fields that stay: what a thing is, what is expected, how long a run takes, and what names files."""
QUANTITY = re.compile(r"(\d[\d_]*(?:\.\d+)?) ([A-Za-z/]+)")
SCALES = (0, 0.25, 0.5, 2, 4, 16)
MORE_BASE = 0x0380_0000
OTHERS = (0, 0, 1, 1, 2, 3)
"""How many options besides the first are changed."""
HOW = ("drawn", "traced", "kept")
LONGEST_S = 1.5
"""How much of this machine's time one may take while it is watched."""
SLOWER = 3
"""So much longer it takes then."""
MOST_S = 6
"""A run that takes so many seconds is given up."""
ERROR_S = 0.05
NAMES = re.compile(r"`[^`]*`|'[^']*'|\S*\d\S*|^\S+", re.MULTILINE)
"""What tells apart errors that are alike."""
OFTEN = 3
"""That something is done by more than so many that are kept, is worth nothing."""


def _leaves(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where each option is; a list of words or an empty mapping is one."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            if key not in UNCHANGED:
                yield from _leaves(value, (*path, key))
    elif isinstance(data, list) and data and isinstance(data[0], dict):
        for number, value in enumerate(data):
            yield from _leaves(value, (*path, number))
    elif len(path) > 1:
        yield path


def _field(data: Any, path: Sequence[str | int]) -> str:
    """What an option is called wherever it is: ``iommu.timing.fill``, ``map-unmap.pages``."""
    head, *rest = path
    if head == "parts":
        return ".".join(map(str, (data["parts"][rest[0]]["kind"], *rest[1:])))
    if head in ("threads", "prepare"):
        return ".".join(map(str, (data[head][rest[0]]["does"], *rest[1:])))
    return ".".join(map(str, (head, *rest[1:]) if head == "domains" else path))


class Drawer:
    """Draws what is changed."""

    def __init__(self, seed: str) -> None:
        self.draw = Random(seed)
        self.whole = {name: as_data(cosim.load(name), everything=True) for name in shipped() if name not in LARGE_ONES}
        self.fields: dict[str, list[tuple[str, tuple[str | int, ...]]]] = defaultdict(list)
        for name, data in self.whole.items():
            for path in _leaves(data):
                self.fields[_field(data, path)].append((name, path))
        self.seen: dict[str, list[Any]] = defaultdict(list)
        for file in [*(ROOT / "topologies").rglob("*.yaml"), *(ROOT / "tests").rglob("*.yaml")]:
            self._note(yaml.safe_load(file.read_text(encoding="utf-8")))
        self.threads = [
            thread for data in self.whole.values() for section in ("threads", "prepare") for thread in data[section]
        ]

    def _note(self, data: Any) -> None:
        for key, value in data.items() if isinstance(data, dict) else ():
            if value not in self.seen[key]:
                self.seen[key].append(value)
        for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
            self._note(value)

    def one(self, field: str) -> Varied:
        """A topology in which that option, and some others, are other than in its file."""
        draw = self.draw
        base, path = draw.choice(self.fields[field])
        changes = [(path, self._value(base, path))]
        here = [each for each in self.fields.values() if any(name == base for name, _ in each)]
        for _ in range(draw.choice(OTHERS)):
            other = draw.choice([where for name, where in draw.choice(here) if name == base])
            changes.append((other, self._value(base, other)))
        if draw.random() < 0.3:
            changes.append(self._another_thread(base))
        if draw.random() < 0.15:
            changes.append(self._another_part(base))
        if draw.random() < 0.1:
            changes.append(self._stall(base))
        if draw.random() < 0.4:
            changes.append((("driver",), self._driver()))
        return Varied(base, draw.choice(HOW), changes)

    def _value(self, base: str, path: tuple[str | int, ...]) -> Any:
        """Another value of an option."""
        data = self.whole[base]
        value = value_at(data, path)
        found = [each for each in self.seen.get(str(path[-1]), ()) if each != value]
        found += [each for each in choices_of(at(Topology, data, path)) if each != value]
        if isinstance(value, bool):
            found = [not value]
        elif isinstance(value, int):
            found += [0, 1, 2, value + 1, value * 2, value // 2]
        elif isinstance(value, float):
            found += [0.0, 0.5, 1.0, value / 2]
        elif isinstance(value, str) and (told := QUANTITY.fullmatch(value)):
            found += [f"{float(told[1].replace('_', '')) * scale:g} {told[2]}" for scale in SCALES]
        return self.draw.choice(found) if found else value

    def _another_thread(self, base: str) -> Change:
        """A thread of another topology, with the names of this one."""
        data = self.whole[base]
        thread = {key: value for key, value in self.draw.choice(self.threads).items() if value is not None}
        kinds: dict[str, list[str]] = defaultdict(list)
        for name, part in data["parts"].items():
            kinds[part["kind"]].append(name)
        names = {
            "on": kinds["cpu"],
            "device": [*kinds["dma"], *kinds["ring"]],
            "devices": [*kinds["dma"], *kinds["ring"]],
            "domain": [*kinds["dma"], *data["domains"]],
            "domains": [*data["domains"], "identity"],
            "iommu": kinds["iommu"],
        }
        for key in [key for key in names if key in thread]:
            thread[key] = self.draw.choice(names[key] or ["nothing"])
        return ("threads", len(data["threads"])), thread

    def _another_part(self, base: str) -> Change:
        """A device or an IOMMU more, like one that is there."""
        parts = self.whole[base]["parts"]
        like = self.draw.choice([name for name, part in parts.items() if part["kind"] in ("dma", "ring", "iommu")])
        part = {key: value for key, value in parts[like].items() if value is not None and key != "device_id"}
        if "base" in part:
            part["base"] = MORE_BASE
        return ("parts", f"more_{part['kind']}"), part

    def _stall(self, base: str) -> Change:
        """The consumer of an IOMMU's commands stops for a while."""
        draw, data = self.draw, self.whole[base]
        iommu = draw.choice([name for name, part in data["parts"].items() if part["kind"] == "iommu"])
        stall = {
            "part": f"{iommu}.commands",
            "at": f"{draw.choice((0, 1, 3, 7))} us",
            "for": f"{draw.choice((2, 30))} us",
        }
        return ("stalls", len(data["stalls"])), stall

    def _driver(self) -> Any:
        """Another driver: a row, with another policy in it, or with a step less."""
        draw, name = self.draw, self.draw.choice((*DRIVERS, IN_C))
        if name == IN_C:
            return {"variant": IN_C}
        if (kind := draw.random()) < 0.3:
            return {"variant": name}
        if kind < 0.5:
            axis = draw.choice(list(AXES))
            return {"variant": name, axis: draw.choice(sorted(CELLS[axis]))}
        _, less = draw.choice(list(mutants(DriverOptions(variant=name))))
        return less.model_dump(mode="json", exclude_unset=True)


class Tried(NamedTuple):
    """What came of one: what it did that is seldom, as numbers, and the seconds that it took; or why it ended."""

    one: Varied
    did: frozenset[int]
    seconds: float
    error: str = ""


def tried(one: Varied) -> Tried:
    """Run it, and note which lines it goes from and to, and what it ends in."""
    try:
        one.made(IN_C_OBJECTS)
    except TopologyError as error:
        return Tried(one, frozenset({hash(NAMES.sub("", str(error)))}), ERROR_S)
    coverage = Coverage(data_file=None, branch=True, include=[f"{ROOT}/cosim/*"], config_file=False)
    began = time.process_time()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(MOST_S)
    coverage.start()
    try:
        ended = told_of(one)
    except TimeoutError:
        return Tried(one, frozenset(), MOST_S)
    except Exception as error:  # what is no error of the user's is told, and looked at
        return Tried(one, frozenset(), 0, repr(error))
    finally:
        coverage.stop()
        signal.alarm(0)
    seconds = time.process_time() - began
    if seconds > LONGEST_S:
        return Tried(one, frozenset(), seconds)
    data = coverage.get_data()
    did: set[object] = {(file, arc) for file in data.measured_files() for arc in data.arcs(file) or ()}
    return Tried(one, frozenset(hash(each) for each in (*did, ended["findings"])), seconds / SLOWER)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError


def best(candidates: Sequence[Tried], seconds: float) -> Iterator[Varied]:
    """Those that are worth most for their time, as far as the seconds go."""
    done: Counter[int] = Counter()
    left = {number: candidate for number, candidate in enumerate(candidates) if candidate.did}
    worth = {number: float("inf") for number in left}
    while left and seconds > 0:
        while True:  # what is worth less by now may yet be worth more than all others
            number = max(worth, key=lambda each: worth[each])
            now = sum(1 / (1 + done[each]) for each in left[number].did if done[each] < OFTEN) / left[number].seconds
            if now >= worth[number]:
                break
            worth[number] = now
        if not now:
            return
        chosen = left.pop(number)
        del worth[number]
        done.update(chosen.did)
        seconds -= chosen.seconds
        yield chosen.one


def main(arguments: Sequence[str]) -> int:
    """Draw, and write down what is kept."""
    number, seconds = int(arguments[0]), float(arguments[1])
    drawer = Drawer(f"varied {number}")
    fields = sorted(drawer.fields)
    former = written() if WRITTEN.exists() else []
    drawn = [*former, *(drawer.one(fields[each % len(fields)]) for each in range(number))]
    with get_context("fork").Pool() as pool:
        candidates = list(pool.imap(tried, drawn, chunksize=8))
    for each in candidates:
        if each.error:
            sys.stdout.write(f"{each.error[:300]}: {json.dumps(each.one)}\n")
    kept = list(best(candidates, seconds))
    lines = ",\n".join(json.dumps(each) for each in kept)
    WRITTEN.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    sys.stdout.write(f"{len(kept)} of {len(drawn)} are kept\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
