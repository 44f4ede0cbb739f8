"""Do both executors, interpreted and compiled, do the same, to the last event, number and cache entry?

Usage: python -m tests.stress.equal [--first N] [--count N] [--needs-core] [-j N]

Each number stands for a small system full of ties (`ties.tied`). It runs whole on each executor, in a process without
the compiled core and in one with it, if there is one of this source. What differs is told with the system, as a file
that shows it. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from cosim.compiled import SWITCH, Core
from cosim.spec.register_map import REGISTERS
from cosim.study.finding.replay import Executor, on
from cosim.study.run.keep import Keep
from cosim.study.run.run import Point, UnderWay
from cosim.system.load import resolved
from cosim.system.system import System
from tests.stress.ties import tied

EXECUTORS: tuple[Executor, ...] = ("agenda", "plain")
EVERYTHING = Keep(samples=True)

Told = Mapping[str, str]
"""A hash of each thing that a run has come to, by what it is."""


def told(number: int, executor: Executor) -> Told:
    """What the system of that number comes to on an executor: what is measured, and the state in which it ends."""
    begun = UnderWay(on(Point(tied(number), str(number)), executor), keep=EVERYTHING)
    try:
        begun.advance()
        result = begun.result()
        found = {name: value for name, value in result.as_json().items() if name not in ("host", "command")}
        return {name: _hash(value) for name, value in {**found, **state(begun.system)}.items()}
    finally:
        begun.close()


def _hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def state(system: System) -> dict[str, Any]:
    """Memory with what its words were before, registers, and caches from their oldest entry to their newest."""
    found: dict[str, Any] = {path: memory.snapshot() for path, memory in system.memories.items()}
    for path, iommu in system.iommus.items():
        translation = iommu.translation
        found[f"{path}.registers"] = [iommu.registers.value(register) for register in REGISTERS.values()]
        found[f"{path}.iotlb"] = [(key, leaf.base, leaf.must_update) for key, leaf in translation.iotlb.cache.items()]
        found[f"{path}.ddtc"] = [key for key, _ in translation.directory.contexts.items()]
        found[f"{path}.ddt_nonleaf"] = list(translation.directory.pointers.items())
        for level, cache in translation.pointers.levels.items():
            found[f"{path}.nonleaf{level}"] = list(cache.items())
        found[f"{path}.queues"] = (iommu.commands.queue.depth, iommu.fault_queue.idle, dict(iommu.commands.counts))
    for path, cpu in system.cpus.items():
        found[f"{path}.clocks"] = {name: (clock.time, clock.parts) for name, clock in cpu.clocks().items()}
    return found


def differences(all_told: Mapping[str, Told]) -> list[str]:
    """In words, what is not the same everywhere."""
    first, *others = all_told
    return [
        f"{first} and {other}: {', '.join(sorted(what))}"
        for other in others
        if (what := {name for name, _ in all_told[first].items() ^ all_told[other].items()})
    ]


# --- Other processes -------------------------------------------------------------------------------------------------


class Server:
    """A process with the compiled core, or without, that is asked for numbers."""

    def __init__(self, core: str) -> None:
        self.core = "compiled" if core == "1" else "interpreted"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.stress.equal", "--serve"],
            env={**os.environ, SWITCH: core},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def told(self, number: int) -> dict[str, Told]:
        """What `told` says there on each executor, by core and executor."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.core}: the process for number {number} has died")
        return {f"{self.core}, {executor}": found for executor, found in json.loads(line).items()}

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


def serve() -> None:
    """Answer each number that is read."""
    for line in sys.stdin:
        print(json.dumps({executor: told(int(line), executor) for executor in EXECUTORS}), flush=True)


def compared(numbers: Iterable[int], cores: Sequence[str], jobs: int) -> Iterator[tuple[int, list[str]]]:
    """Each number in turn, with what differs; so many at once, each by processes of its own."""
    idle: SimpleQueue[list[Server]] = SimpleQueue()
    every = [[Server(core) for core in cores] for _ in range(jobs)]
    for servers in every:
        idle.put(servers)

    def one(number: int) -> tuple[int, list[str]]:
        servers = idle.get()
        try:
            found = [server.told(number) for server in servers]
        finally:
            idle.put(servers)
        return number, differences({name: told for each in found for name, told in each.items()})

    try:
        with ThreadPoolExecutor(jobs) as side_by_side:
            yield from side_by_side.map(one, numbers)
    finally:
        for servers in every:
            for server in servers:
                server.close()


def main() -> int:
    """Compare; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--needs-core", action="store_true", help="it is an error if there is no compiled core")
    parser.add_argument("-j", type=int, default=len(os.sched_getaffinity(0)), help="systems at once")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve()
        return 0
    core = Core()
    cores = ("0", "1") if core.modules and core.fits else ("0",)
    if asked.needs_core and len(cores) < 2:
        parser.error("there is no compiled core of this source: make fast")
    bad = done = 0
    for number, what in compared(range(asked.first, asked.first + asked.count), cores, asked.j):
        done += 1
        if what:
            bad += 1
            print(f"number {number} differs\n  " + "\n  ".join(what) + f"\n{resolved(tied(number))}", flush=True)
        if done % 500 == 0:
            print(f"{done:,} systems, {bad} of them different", flush=True)
    print(f"{done:,} systems, each {len(cores) * len(EXECUTORS)} times: {bad} of them different")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
