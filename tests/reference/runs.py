"""The runs whose outcome is written down, and what is written of each: `make reference`.

Every topology that comes with cosim runs as it is and under each driver, every schedule of an experiment is replayed,
actions are held here and there, small systems are drawn at random, and so are changes of shipped ones (`varied`), and
the small driver in C drives some. A change that is meant to change nothing changes no line; what another one changes is
seen in the lines that it changes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cosim
from cosim.config.problems import TopologyError
from cosim.events import BootDone
from cosim.sim.actions import Taken
from cosim.study.pool.record import row_of
from cosim.study.report.report import print_report
from cosim.study.run.keep import Keep
from cosim.study.run.result import Result
from cosim.study.run.run import Point, UnderWay, run
from cosim.study.trace.trace import traced
from cosim.system.driver_options import DriverOptions
from cosim.system.load import shipped
from cosim.system.topology import Topology
from tests.reference.varied import Varied
from tests.reference.varied import written as written_varied
from tests.stress.equal import state
from tests.stress.ties import LARGE, tied
from tests.stress.twins import Drawn

WRITTEN = Path(__file__).with_name("runs.json")
DRIVERS = ("v2", "merged", "current", "latest", "ideal")
SHORT = {
    "concurrent_attach": "20 us",
    "hardwired": "40 us",
    "io_modes": "8 us",
    "kernel_traces": "20 us",
    "quickstart": "10 us",
    "rcu": "1 ms",
    "shared_domain": "100 us",
    "two_iommus": "40 us",
    "zero_day_rtl": "20 us",
}
"""How long those run here that take a while."""
LARGE_ONES = ("rack", "server")
DRAWN = [number for number in range(60) if number % LARGE < LARGE - 1]
SLOWEST = 2
HOLDS = 12
"""About so many actions are held."""

OBJECTS = Path(__file__).parents[1] / "object"
IN_C = f"object:{OBJECTS / 'driver' / 'queue.o'},{OBJECTS / 'driver' / 'domain.o'}"
DRIVEN_IN_C = {
    "quickstart": "8 us",
    "io_modes": "5 us",
    "concurrent_attach": "15 us",
    "b3_iommu_unplugged": None,
    "b6_context_first": None,
    "c4_live_context": None,
    str(OBJECTS / "races.yaml"): None,
}
"""What the small driver in C drives, and how long."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "times": ("boot_ps", "window_ps", "latencies", "unfinished", "slowest"),
    "counters": ("scalars", "seen", "ended", "requests", "faults", "bus_errors", "queue_errors"),
    "findings": ("outcome", "failures", "limit", "signatures", "violation_count", "violations", "inactive", "unasked"),
    "log": ("log", "log_lines"),
}
"""What is written of a result as a hash, and which of its parts that is of."""
RARE = ("inactive",)
"""Parts that are written where there is something in them: few runs have any."""

ODDS = 20
"""Of some varied topologies one choice in so many is drawn."""
TRACES = ("jsonl", "trace", "vcd")
STEPS = 40
"""So many steps has the series of a varied topology that has one."""

Outcome = Mapping[str, int | str]
"""Events, the end in picoseconds, the digest, and a hash of each of `PARTS`; of explored runs also of their actions, of
varied ones of the state in which they end and of what else is told, or of their error alone."""


Run = Callable[[], Outcome]


@cache
def runs(first: str) -> dict[str, Run]:
    """Those that begin with a topology's name, or with one of `OTHERS`, by name."""
    return dict(OTHERS[first]() if first in OTHERS else _of_topology(first))


def firsts() -> list[str]:
    """What `runs` takes."""
    return [*(name for name in shipped() if name not in LARGE_ONES), *OTHERS]


def _of_topology(name: str) -> Iterator[tuple[str, Run]]:
    topology = cosim.load(name)
    told = partial(_told, name, until=SHORT.get(name))
    yield name, told
    for driver in DRIVERS:
        if topology.driver != DriverOptions(variant=driver):
            yield f"{name}, {driver}", partial(told, driver=driver)
    for number, row in enumerate(topology.explore.defects if topology.explore else (), 1):
        if row.schedule:
            options = row.options.model_dump(mode="json", exclude_unset=True)
            yield f"{name}, defect {number}", partial(told, set={"driver": options}, schedule=row.schedule)
    if topology.explore or name in SHORT:
        yield f"{name}, held", partial(_held, name)


def _drawn() -> Iterator[tuple[str, Run]]:
    for number in DRAWN:
        yield f"drawn, {number}", lambda number=number: _told(tied(number))  # type: ignore[misc]


def _in_c() -> Iterator[tuple[str, Run]]:
    for name, until in DRIVEN_IN_C.items():
        yield f"in C, {Path(name).stem}", partial(_told, name, driver=IN_C, until=until)


def _varied() -> Iterator[tuple[str, Run]]:
    for number, one in enumerate(written_varied()):
        yield f"varied, {number}, {one.base}", partial(told_of, one)


def told_of(one: Varied) -> Outcome:
    """What a varied topology comes to, what is printed of it, and the state that it leaves."""
    try:
        topology = one.made(IN_C)
    except TopologyError as error:
        return {"error": _hash(str(error))}
    told = StringIO()
    keep = Keep(
        samples=one.how == "kept", step_ps=topology.run.latest_ps // STEPS * (one.how == "kept"), slowest=SLOWEST
    )
    with TemporaryDirectory() as folder:
        files = [f"{folder}/trace.{suffix}" for suffix in TRACES if one.how == "traced"]
        with traced(topology, traces=files) as watchers:
            begun = UnderWay(Point(topology, one.base), watchers=watchers, keep=keep)
            if one.how == "drawn":
                begun.system.sim.probe(BootDone).watch(lambda event: begun.follow(begun.point, Drawn(ODDS, ODDS)))
            try:
                begun.advance()
                result, left = begun.result(), state(begun.system)
            finally:
                begun.close()
        found = {**outcome(result), "state": _hash(repr(left))}
        found |= {Path(file).suffix[1:]: _hash(_but_its_date(Path(file))) for file in files}
    print_report(result, told)
    kept = result.as_json()
    return {**found, "text": _hash(told.getvalue()), "kept": _hash([kept["samples"], kept["series"]])}


def _but_its_date(trace: Path) -> list[str]:
    return [line for line in trace.read_text(encoding="utf-8").splitlines() if not line.startswith("$date")]


OTHERS: Mapping[str, Callable[[], Iterator[tuple[str, Run]]]] = {"drawn": _drawn, "in C": _in_c, "varied": _varied}
"""Runs that are of no topology as it comes, by what their names begin with."""


def _told(topology: str | Topology, **options: Any) -> Outcome:
    """What a run comes to."""
    return outcome(cosim.run(topology, slowest=SLOWEST, **options))


def _held(name: str) -> Outcome:
    """The same of one in which some of all actions are held; and what took hold of which place, there and without."""
    topology = cosim.load(name, until=SHORT.get(name))
    free, actions = _explored(Point(topology, name, ("nobody#0:0",)))
    asked = [taken.name for taken in actions if taken.asks]
    chosen = asked[:: max(1, len(asked) // HOLDS)]
    result, held = _explored(Point(topology, name, tuple(f"{each}:{1 + n % 2}" for n, each in enumerate(chosen))))
    assert free.events
    return {**outcome(result), "actions": _hash(_rows(actions)), "held": _hash(_rows(held))}


def _explored(point: Point) -> tuple[Result, list[Taken]]:
    """A run whose actions ask, and what took hold."""
    taken: list[Taken] = []
    return run(point, watchers=[lambda sim: sim.actions.watchers.append(taken.append)]), taken


def _rows(actions: Sequence[Taken]) -> list[str]:
    """All but their places in the source, which other places may take."""
    return [repr(row_of(replace(taken, place=""))) for taken in actions]


def outcome(result: Result) -> Outcome:
    """What is written of a result."""
    told = result.as_json()
    for violation in told["violations"]:
        del violation["replay"]  # which may name files of this machine
    hashes = {
        name: _hash({part: told[part] for part in parts if told[part] or part not in RARE})
        for name, parts in PARTS.items()
    }
    return {"events": result.events, "end_ps": result.simulated_ps, "digest": result.digest, **hashes}


def _hash(value: object) -> str:
    return sha256(json.dumps(_plain(value)).encode()).hexdigest()[:8]


def _plain(value: Any) -> Any:
    """The same in plain data, with numbers to nine digits: the last ones are the arithmetic's of a machine."""
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def written() -> dict[str, Outcome]:
    """What was written last."""
    found: dict[str, Outcome] = json.loads(WRITTEN.read_text(encoding="utf-8"))
    return found


def main() -> int:
    """Write all anew, and name those that are not what they were."""
    before = written() if WRITTEN.exists() else {}
    now = {name: made() for first in firsts() for name, made in runs(first).items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in now.items())
    WRITTEN.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    for name in changed:
        print(name)
    print(f"{len(now)} runs, {len(changed)} of them other than before")
    return 0


if __name__ == "__main__":
    sys.exit(main())
