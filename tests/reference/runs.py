"""The runs whose outcome is written down, and what is written of each: `make reference`.

Every topology that comes with cosim runs as it is and under each driver, every schedule of an experiment is replayed,
small systems are drawn at random, and the small driver in C drives some. A change that is meant to change nothing
changes no line; what another one changes is seen in the lines that it changes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import cosim
from cosim.study.run.result import Result
from cosim.system.driver_options import DriverOptions
from cosim.system.load import shipped
from tests.stress.ties import LARGE, tied

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
    "findings": ("outcome", "failures", "limit", "signatures", "violation_count", "violations", "unasked"),
    "log": ("log", "log_lines"),
}
"""What is written of a result as a hash, and which of its parts that is of."""

Outcome = Mapping[str, int | str]
"""Events, the end in picoseconds, the digest, and a hash of each of `PARTS`."""


@cache
def runs(first: str) -> dict[str, Callable[[], Result]]:
    """Those that begin with a topology's name, or with "drawn" or "in C", by name."""
    return dict(_drawn() if first == "drawn" else _in_c() if first == "in C" else _of_topology(first))


def firsts() -> list[str]:
    """What `runs` takes."""
    return [*(name for name in shipped() if name not in LARGE_ONES), "drawn", "in C"]


def _of_topology(name: str) -> Iterator[tuple[str, Callable[[], Result]]]:
    topology = cosim.load(name)
    run = partial(cosim.run, name, until=SHORT.get(name), slowest=SLOWEST)
    yield name, run
    for driver in DRIVERS:
        if topology.driver != DriverOptions(variant=driver):
            yield f"{name}, {driver}", partial(run, driver=driver)
    for number, row in enumerate(topology.explore.defects if topology.explore else (), 1):
        if row.schedule:
            options = row.options.model_dump(mode="json", exclude_unset=True)
            yield f"{name}, defect {number}", partial(run, set={"driver": options}, schedule=row.schedule)


def _drawn() -> Iterator[tuple[str, Callable[[], Result]]]:
    for number in DRAWN:
        yield f"drawn, {number}", lambda number=number: cosim.run(tied(number), slowest=SLOWEST)  # type: ignore[misc]


def _in_c() -> Iterator[tuple[str, Callable[[], Result]]]:
    for name, until in DRIVEN_IN_C.items():
        yield f"in C, {Path(name).stem}", partial(cosim.run, name, driver=IN_C, until=until, slowest=SLOWEST)


def outcome(result: Result) -> Outcome:
    """What is written of a result."""
    told = result.as_json()
    for violation in told["violations"]:
        del violation["replay"]  # which may name files of this machine
    hashes = {name: _hash({part: told[part] for part in parts}) for name, parts in PARTS.items()}
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
    now = {name: outcome(run()) for first in firsts() for name, run in runs(first).items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in now.items())
    WRITTEN.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    for name in changed:
        print(name)
    print(f"{len(now)} runs, {len(changed)} of them other than before")
    return 0


if __name__ == "__main__":
    sys.exit(main())
