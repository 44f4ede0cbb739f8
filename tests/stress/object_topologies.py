"""Does a compiled driver violate anything, in any topology, that the policy of the same version does not?

Usage: python -m tests.stress.object_topologies OBJECT[,OBJECT...] [NAME...] [--policy NAME] [--host-limit S] [-j N]

Each topology that comes with cosim, or each that is named, runs once with the objects and once with the policy. A line
says how either run ended; below it stands what only one of them violates, or failed to do. Exit code 1 if there is a
violation, a failure or an end that the objects have and the policy does not.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cosim
from cosim.study.pool import Pool, Record
from cosim.study.run.run import Point, command_line
from cosim.sw.driver.compiled import COMPILED
from cosim.system.load import shipped

POLICY = "latest"

_PAGES = re.compile(r"\b(?:page of \w+|table|queue|directory) page\b")
"""A page of the driver's own: an object's is named by the function that asks for it, a policy's by what it is for."""

_NULL = re.compile(r"(?:\S+, in \w+: )?null pointer dereference\b.*")
"""A null pointer that is followed: an object's is named by its line, a policy's by what is taken to be there."""


@dataclass(frozen=True, slots=True)
class Pair:
    """How one topology went with the objects and with the policy."""

    name: str
    mine: Record
    theirs: Record

    @property
    def more(self) -> list[str]:
        """What only the objects have shown."""
        return sorted(shown(self.mine) - shown(self.theirs))

    @property
    def less(self) -> list[str]:
        """What only the policy has shown."""
        return sorted(shown(self.theirs) - shown(self.mine))

    def lines(self) -> Iterator[str]:
        """What is printed of it."""
        yield f"{self.name:32} {self.mine.outcome:8} {self.theirs.outcome:8} {requests(self.mine):>11,}"
        yield from (f"    objects only: {what}" for what in self.more)
        yield from (f"    policy only:  {what}" for what in self.less)


def shown(record: Record) -> set[str]:
    """The kinds of violation, whether they were expected or not, and what else was not as expected."""
    return {
        _NULL.sub("null pointer dereference", _PAGES.sub("page of the driver", sign))
        for sign in (*record.signatures, *record.signs)
    }


def requests(record: Record) -> int:
    """How many requests of devices, and measured calls, ended."""
    return record.result.ended if record.result else 0


def calls(record: Record) -> Counter[str]:
    """How many calls of each kind ended in the measured window, of whatever thread; and how many requests faulted."""
    found: Counter[str] = Counter()
    if record.result:
        for name, latency in record.result.latencies.items():
            found[name.rpartition(".")[2]] += latency.count
        found["fault"] = sum(sum(causes.values()) for causes in record.result.faults.values())
    return found


def points(names: Sequence[str], drivers: Sequence[str]) -> Iterator[Point]:
    """Each topology with each driver."""
    for name in names:
        for driver in drivers:
            yield Point(cosim.load(name, driver=driver), name, (), command_line(name, driver=driver))


def pairs(names: Sequence[str], objects: str, policy: str, jobs: int | None, host_limit: float) -> Iterator[Pair]:
    """Each topology with the objects and with the policy."""
    with Pool(jobs, chunk=1, results=True, host_limit=host_limit) as pool:
        records = (record for _, record in pool.runs(points(names, (objects, policy))))
        for name, mine, theirs in zip(names, records, records, strict=False):
            yield Pair(name, mine, theirs)


def main(argv: list[str] | None = None) -> int:
    """Print the table; 1 if the objects show anything that the policy does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects")
    parser.add_argument("topologies", nargs="*", metavar="NAME")
    parser.add_argument("--policy", default=POLICY)
    parser.add_argument("--host-limit", type=float, default=0, help="seconds of this computer for a run; 0 is no limit")
    parser.add_argument("-j", type=int, default=None)
    asked = parser.parse_args(argv)
    names = asked.topologies or list(shipped())
    print(f"{'topology':32} {'objects':8} {asked.policy:8} {'ended':>11}")
    total, more, made = 0, 0, Counter[str]()
    for pair in pairs(names, COMPILED + asked.objects, asked.policy, asked.j, asked.host_limit):
        print("\n".join(pair.lines()), flush=True)
        total += 1
        more += bool(pair.more)
        made += calls(pair.mine)
    print(", ".join(f"{name} {count:,}" for name, count in sorted(made.items())))
    print(f"{total} of {len(names)} topologies: in {more} the objects show what {asked.policy} does not")
    return int(more > 0 or total < len(names))


if __name__ == "__main__":
    sys.exit(main())
