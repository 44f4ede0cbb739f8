"""The systems that operations are done to, and what must hold of them at any time and at the end."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from cosim.sim.chooser import Chooser
from cosim.system.load import resolved
from tests.stress import checks
from tests.stress.bench import Bench
from tests.stress.topologies import Values, parts, runs, topology

AT_ONCE = 6
"""Operations of CPUs that are under way at the same time."""


class Drawn(Chooser):
    """One choice in `odds` is not 0, but memory is always found."""

    exploring = True

    def __init__(self, seed: int, odds: int) -> None:
        super().__init__(seed)
        self._draw = Random(seed)
        self._odds = odds

    def pick(self, n: int, name: str) -> int:
        draw = self._draw
        if ".alloc#" in name:
            return 0
        return 0 if draw.randrange(self._odds) else draw.randrange(n)


@dataclass(slots=True)
class Tally:
    """What many systems came to."""

    operations: int = 0
    systems: int = 0
    twins: int = 0
    """Systems that ran on both executors."""
    oracles: Counter[str] = field(default_factory=Counter)
    """Systems in which an oracle found something."""


class Twins(RuleBasedStateMachine):
    """A system, or two of them: one on each executor, which must do the same."""

    driver: ClassVar[str] = "merged"
    defects: ClassVar[st.SearchStrategy[Values]] = st.just({})
    tally: ClassVar[Tally] = Tally()

    def __init__(self) -> None:
        super().__init__()
        self.benches: list[Bench] = []
        self.names = 0

    @initialize(
        drawn=parts(),
        run=runs(),
        executors=st.sampled_from((("agenda",), ("plain",), ("agenda",), ("plain",), ("agenda", "plain"))),
        odds=st.sampled_from((0, 0, 0, 20, 200)),
        data=st.data(),
    )
    def boot(
        self, drawn: dict[str, Values], run: Values, executors: tuple[str, ...], odds: int, data: st.DataObject
    ) -> None:
        """Build the system and let it boot; one choice in `odds` of its schedule is not the unperturbed one."""
        defects = data.draw(self.defects)
        for executor in executors:
            made = topology(drawn, {**run, "executor": executor}, defects=defects, driver=self.driver)
            note(resolved(made))
            self.benches.append(Bench(made, Drawn(run["seed"], odds) if odds else Chooser(run["seed"])))

    def teardown(self) -> None:
        """Judge what the operations have led to, unless one has failed."""
        try:
            if self.benches and sys.exception() is None:
                self.judge()
                self.count()
        finally:
            for bench in self.benches:
                bench.close()

    def judge(self) -> None:
        """What must hold when everything has come to rest."""
        for bench in self.benches:
            checks.after_operations(bench)
            checks.nothing_leaks(bench)
        self.twins_agree()

    def count(self) -> None:
        """Add to the tally."""
        self.tally.operations += sum(bench.operations for bench in self.benches)
        self.tally.systems += 1
        self.tally.twins += len(self.benches) > 1
        self.tally.oracles.update({violation.oracle for bench in self.benches for violation in bench.violations})

    @invariant()
    def nothing_is_violated(self) -> None:
        """No oracle has found anything so far."""
        for bench in self.benches:
            checks.no_violation(bench)

    @invariant()
    def twins_agree(self) -> None:
        """Both executors have done the same, at the same times."""
        assert len({(bench.sim.now, str(bench.meter.digest), *bench.statuses.items()) for bench in self.benches}) < 2

    # --- What there is -----------------------------------------------------------------------------------------------

    @property
    def first(self) -> Bench:
        """What a rule may ask whether there is something to take."""
        return self.benches[0]

    def each(self, gap: int) -> Iterator[Bench]:
        """Every bench; then let a little time pass there, and more if too much is under way."""
        for bench in self.benches:
            yield bench
            bench.settle(AT_ONCE - 1)
            if gap:
                bench.wait(gap)

    def alone(self) -> Iterator[Bench]:
        """Every bench, with nothing under way before and after, lest something is taken away from under it."""
        for bench in self.benches:
            bench.settle()
            yield bench
            bench.settle()
