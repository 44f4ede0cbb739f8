"""What is kept of a run that was one of many: it can be pickled, and is small unless more is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cosim.oracles import Violation
from cosim.sim.actions import Taken
from cosim.study.run.result import Outcome, Result
from cosim.study.run.run import UnderWay
from cosim.study.run.signs import signs_of

Row = tuple[Any, ...]
"""The fields of a `Taken`: a tuple is pickled several times as fast."""


@dataclass(frozen=True, slots=True)
class Record:
    """How a run ended, and what was seen in it.

    `outcome` is that of its `Result`, or ``error`` for one that raised an exception, ``late`` for one that took longer
    than it may on the computer, ``lost`` for one whose process died, twice, or ``void`` for one whose schedule gives a
    choice an answer that the choice does not have there: no run has that schedule, and it shows nothing. `failures`
    says in words what was wrong.
    """

    outcome: Outcome | Literal["error", "late", "lost", "void"]
    failures: tuple[str, ...] = ()
    digest: str = ""
    events: int = 0
    simulated_ps: int = 0
    violations: tuple[Violation, ...] = ()
    violation_count: int = 0
    unasked: tuple[str, ...] = ()
    """Choices of the schedule that the run never came to."""
    result: Result | None = None
    """The whole result, if the pool was asked to keep it."""
    also: Any = None
    """What else the pool was asked to read back."""
    rows: tuple[Row, ...] = field(default=(), repr=False)

    @property
    def actions(self) -> tuple[Taken, ...]:
        """Every effect that took hold, in order, if the pool was asked to keep them and the run had a schedule."""
        return tuple(Taken(*row) for row in self.rows)

    @property
    def signatures(self) -> frozenset[str]:
        """The kinds of violation."""
        return frozenset(violation.signature for violation in self.violations)

    @property
    def signs(self) -> tuple[str, ...]:
        """What was shown: the signatures, and what else was not as expected (`cosim.study.run.signs`)."""
        if self.outcome in ("late", "void"):
            return ()  # neither a busy computer nor a schedule that cannot be shows anything of the system
        return signs_of(self.outcome, self.violations, self.failures)

    @classmethod
    def of(cls, run: UnderWay, *, whole: bool = False, rows: Sequence[Row] = (), also: Any = None) -> Record:
        """What is kept of a run that has come to its end; a `whole` result takes longer than what a record needs."""
        judged = run.result() if whole else run.judge()
        violations = run.meter.violations
        return cls(
            judged.outcome,
            judged.failures,
            str(run.meter.digest),
            run.meter.digest.events,
            run.system.sim.now,
            tuple(violations.kept),
            violations.count,
            run.unasked,
            judged if isinstance(judged, Result) else None,
            also,
            tuple(rows),
        )


def row_of(taken: Taken) -> Row:
    """The fields of an effect that took hold."""
    return (
        taken.time,
        taken.name,
        taken.owner,
        taken.footprint,
        taken.changes,
        taken.size,
        taken.place,
        taken.asked,
        taken.holds,
        taken.asks,
    )
