"""Runs litmus tests under each memory model, and says which outcomes should not, or should, have been there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cosim.hw.cpu.ordering import MODELS
from cosim.study.conform.litmus.forms import load
from cosim.study.conform.litmus.programs import Outcome, Test
from cosim.study.conform.litmus.search import Search


@dataclass(frozen=True, slots=True)
class LitmusVerdict:
    """How a test came out under one model.

    It *failed* if an outcome was reached that the model forbids, or if the number of allowed outcomes that were not
    reached is not the known one: none under sequential consistency and Ztso, and under RVWMO what in-order issue
    misses. Where nobody counted that (tests with devices), what is missing is listed and is no failure.
    """

    test: Test
    model: str
    reached: frozenset[Outcome]
    states: int

    @property
    def forbidden(self) -> list[Outcome]:
        """Outcomes that were reached, and must not be."""
        return sorted(self.reached - self.test.allowed[self.model])

    @property
    def missing(self) -> list[Outcome]:
        """Outcomes that are allowed and were not reached."""
        return sorted(self.test.allowed[self.model] - self.reached)

    @property
    def known_missing(self) -> int | None:
        """How many allowed outcomes are known not to be reached; None where nobody counted."""
        if self.test.unreached is None:
            return None
        return self.test.unreached if self.model == "rvwmo" else 0

    @property
    def outcome(self) -> str:
        """``passed`` or ``failed``."""
        counted = self.known_missing is None or self.known_missing == len(self.missing)
        return "passed" if counted and not self.forbidden else "failed"

    def __str__(self) -> str:
        title = f"{self.test.name} ({self.model}): {self.outcome}"
        show = self.test.show
        if self.forbidden:
            allowed = " | ".join(map(show, sorted(self.test.allowed[self.model])))
            return f"{title}: reached {' | '.join(map(show, self.forbidden))}, which is forbidden; allowed: {allowed}"
        if self.outcome == "failed":
            missed = " | ".join(map(show, self.missing)) or "nothing"
            return f"{title}: {self.known_missing} allowed outcomes are known to be missed; missed: {missed}"
        if self.missing:
            return f"{title}, without {' | '.join(map(show, self.missing))}"
        return title


def run(test: Test, model: str) -> LitmusVerdict:
    """Search all outcomes of a test under a model, whatever has been found already."""
    search = Search(test, MODELS[model])
    return LitmusVerdict(test, model, frozenset(search.outcomes()), search.states)


def run_file(path: Path, numbered: Iterable[tuple[int, str]] | None = None) -> Iterator[LitmusVerdict]:
    """The verdicts on each test of a file under each memory model. Raises LitmusError, UnreadableError.

    `numbered` are its lines, if it is open already.
    """
    for test in load(path, numbered):
        for model in MODELS:
            if model in test.allowed:
                yield run(test, model)
