"""Random operations by the thousand over small random systems (`make stress`), and the same with each defect on.

Usage: python -m tests.stress.stress [--operations N] [--seed N] [--driver NAME]
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from typing import ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tests.stress.machine import Stress
from tests.stress.topologies import Values
from tests.stress.twins import Tally

STEPS = 60
"""Rules of one system."""
SYSTEMS = 20
"""Systems of one search of hypothesis."""
HANGS_S = 600
"""A search that takes so long here does not end."""

STALE = {"stale-dma", "freed-memory"}
DEFECTS: dict[str, tuple[st.SearchStrategy[Values], set[str]]] = {
    "cache_invalid": (st.just({"cache_invalid": True}), {"refused-dma"}),
    "lose_invalidation": (st.fixed_dictionaries({"lose_invalidation": st.integers(2, 12)}), STALE),
    "early_fence": (st.just({"early_fence": True}), STALE),
    "lose_buffered": (st.fixed_dictionaries({"lose_buffered": st.sampled_from(("1 ns", "20 ns"))}), {"lost-faults"}),
    "stale_fill": (st.just({"stale_fill": True}), STALE),
    "pscid_bits": (st.fixed_dictionaries({"pscid_bits": st.integers(1, 2)}), {"foreign-dma"}),
    "skip_permissions": (st.just({"skip_permissions": True}), {"foreign-dma"}),
    "keep_context": (st.just({"keep_context": True}), {"stale-dma"}),
}
"""Each defect of `DefectOptions`, with the oracles that are there to see it."""
NOT_DRAWN = {"keep_nonleaf"}
"""Defects that need a sequence that is hardly ever drawn, as a large page over an emptied table: topologies have it."""


class Defective(Stress):
    """The same operations where the hardware has a defect: what oracles find is counted, and nothing is judged."""

    def nothing_is_violated(self) -> None:
        """That is for the tally to say."""

    def judge(self) -> None:
        """Let everything come to rest."""
        for bench in self.benches:
            bench.come_to_rest()


def machine(defect: str = "", variant: str = "merged") -> type[Stress]:
    """The state machine with a tally of its own, for sound hardware or for hardware with a defect."""

    class Counted(Defective if defect else Stress):  # type: ignore[misc]
        driver: ClassVar[str] = variant
        tally: ClassVar[Tally] = Tally()
        if defect:
            defects = DEFECTS[defect][0]

    return Counted


def search(kind: type[Stress], number: int, *, systems: int = SYSTEMS, steps: int = STEPS) -> None:
    """Let hypothesis draw some systems and their operations, the same ones for the same number.

    What fails is made small, and raised with the operations that lead to it.
    """
    phases = [Phase.generate] if issubclass(kind, Defective) else [Phase.generate, Phase.shrink]
    faulthandler.dump_traceback_later(HANGS_S, exit=True)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        seed(number)(kind),
        settings=settings(
            max_examples=systems,
            stateful_step_count=steps,
            phases=phases,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    faulthandler.cancel_dump_traceback_later()


def sound(operations: int, number: int = 0, driver: str = "merged") -> Tally:
    """Search until so many operations are done. Raises what fails."""
    kind, began = machine(variant=driver), time.monotonic()
    while kind.tally.operations < operations:
        search(kind, number)
        number += 1
        _say(kind.tally, number, began)
    return kind.tally


def defective(defect: str, operations: int, number: int = 0) -> Tally:
    """Search until an oracle that is there for a defect has seen it, or so many operations are done."""
    kind = machine(defect)
    while kind.tally.operations < operations and not DEFECTS[defect][1] & kind.tally.oracles.keys():
        search(kind, number)
        number += 1
    return kind.tally


def _say(tally: Tally, number: int, began: float) -> None:
    print(
        f"{tally.operations:,} operations in {tally.systems} systems (searches up to {number - 1}), {tally.twins} of "
        f"them on both executors, {time.monotonic() - began:.0f} s",
        flush=True,
    )


def main() -> int:
    """Exit code 1 if a defect was not seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first search")
    parser.add_argument("--driver", default="merged", help="the variant that must be sound")
    arguments = parser.parse_args()
    sound(arguments.operations, arguments.seed, arguments.driver)
    unseen = 0
    for defect, (_, oracles) in DEFECTS.items():
        tally = defective(defect, arguments.operations, arguments.seed)
        found = {name: count for name, count in tally.oracles.items() if name in oracles}
        unseen += not found
        print(
            f"{defect}: {found or 'NOT SEEN'} in {tally.operations:,} operations, {tally.systems} systems", flush=True
        )
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
