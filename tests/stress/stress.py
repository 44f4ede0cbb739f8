"""Operations by the thousand over small systems drawn at random: ``python -m tests.stress.stress --operations 100000``.

One run is a seed: its topology, its executor, its schedule and its operations all follow from it.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from cosim.sim.choice import Chooser
from tests.stress import checks
from tests.stress.bench import Bench
from tests.stress.operations import Drawn, Operator
from tests.stress.topologies import topology

RUN = 400
"""Operations of one run."""
HANGS_S = 300
"""A run that takes so long here does not end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run came to."""

    operations: int
    digest: str
    simulated_ps: int
    violations: int
    first: str


class Failed(AssertionError):
    """A run did not do what it should; the message has the line that repeats it."""


def run(
    seed: int,
    *,
    operations: int = RUN,
    executor: str = "",
    driver: str = "merged",
    defects: Mapping[str, Any] | None = None,
    judged: bool = True,
) -> Outcome:
    """One run. Raises Failed, unless it is not to be judged."""
    draw = Random(seed)
    executor = executor or ("agenda", "plain")[seed % 2]
    bench = None
    try:
        drawn = topology(draw, executor, driver=driver, defects=defects)
        chooser = Drawn(seed, odds=draw.choice((20, 200))) if draw.random() < 0.25 else Chooser(drawn.run.seed)
        bench = Bench(drawn, chooser)
        operator = Operator(bench, draw)
        while bench.operations < operations:
            operator.step()
        if judged:
            checks.after_operations(bench)
            checks.nothing_leaks(bench)
        first = bench.violations[0].message if bench.violations else ""
        return Outcome(bench.operations, str(bench.meter.digest), bench.sim.now, bench.meter.violation_count, first)
    except Exception as error:
        done = f"after {bench.operations} operations, at {bench.sim.now} ps" if bench else "before the first operation"
        raise Failed(
            f"seed {seed}, {executor}, {done}: {type(error).__name__}: {error}\n"
            f"repeat: python -m tests.stress.stress --seed {seed} --operations {operations} --executor {executor}"
        ) from error
    finally:
        if bench is not None:
            bench.close()


def many(operations: int, first_seed: int = 0) -> Counter[str]:
    """Run seed after seed until so many operations are done; every eighth on both executors. Raises Failed."""
    count: Counter[str] = Counter()
    seed, began = first_seed, time.monotonic()
    while count["operations"] < operations:
        faulthandler.dump_traceback_later(HANGS_S, exit=True)
        outcome = run(seed)
        if seed % 8 == 0:
            twin = run(seed, executor="plain" if seed % 2 == 0 else "agenda")
            if twin != outcome:
                raise Failed(f"seed {seed}: the executors differ: {outcome} and {twin}")
            count["operations"] += twin.operations
            count["twins"] += 1
        count["operations"] += outcome.operations
        count["runs"] += 1
        seed += 1
        if count["runs"] % 25 == 0:
            _say(count, seed, began)
    faulthandler.cancel_dump_traceback_later()
    _say(count, seed, began)
    return count


def _say(count: Counter[str], seed: int, began: float) -> None:
    print(
        f"{count['operations']:,} operations in {count['runs']} runs (seeds up to {seed - 1}, {count['twins']} on both "
        f"executors), {time.monotonic() - began:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--executor", choices=("agenda", "plain"), default="")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        print(run(arguments.seed, operations=min(arguments.operations, RUN), executor=arguments.executor))
        return
    try:
        many(arguments.operations, arguments.first_seed)
    except Failed as failure:
        raise SystemExit(str(failure)) from failure


if __name__ == "__main__":
    sys.exit(main())
