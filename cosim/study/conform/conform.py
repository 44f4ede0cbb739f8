"""Replays conformance scenarios on the modelled IOMMU, litmus tests on its CPUs, and says what differs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from textwrap import fill
from typing import Protocol

from cosim.hw.iommu.faults import NotImplementedCapability
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.study.conform import litmus
from cosim.study.conform.json_lines import UnreadableError, json_value, lines
from cosim.study.conform.testbench import Differs, ScenarioMachine, Testbench
from cosim.study.conform.vectors import ConformanceError, Scenario, are_in, read
from cosim.study.report.page import Page

EXECUTORS = {"agenda": Agenda, "plain": Plain}
"""Those with time, by name."""

_STRIDE = 1_000_003
"""More than the scenarios of a file, so that no two seeds share a machine."""


@dataclass(frozen=True, slots=True)
class ScenarioVerdict:
    """How a scenario ended: ``passed``, ``failed`` at a step, or ``skipped`` at one that needs what is missing."""

    group: str
    name: str
    outcome: str
    step: int = -1
    """Counted from 0; -1 if none is to be named."""
    field: str = ""
    expected: str = ""
    got: str = ""
    capability: str = ""

    def __str__(self) -> str:
        title = f"{self.group}/{self.name}: {self.outcome}"
        if self.outcome == "failed":
            return f"{title} at step {self.step}, {self.field}: expected {self.expected}, got {self.got}"
        if self.outcome == "skipped":
            return f"{title} at step {self.step}: {self.capability} is not implemented"
        return title


def replay(scenario: Scenario, machine: ScenarioMachine | None = None) -> ScenarioVerdict:
    """Apply the steps of a scenario until one differs; an error inside the model is not caught."""
    bench = Testbench(scenario, machine or ScenarioMachine())
    for index, step in enumerate(scenario.steps):
        try:
            bench.apply(step)
        except Differs as differs:
            return ScenarioVerdict(
                scenario.group, scenario.name, "failed", index, differs.field, differs.expected, differs.got
            )
        except NotImplementedCapability as missing:
            return ScenarioVerdict(scenario.group, scenario.name, "skipped", index, capability=missing.name)
    return ScenarioVerdict(scenario.group, scenario.name, "passed")


def run_file(
    path: Path, executor: str = "untimed", seed: int = 0, numbered: Iterable[tuple[int, str]] | None = None
) -> Iterator[ScenarioVerdict]:
    """The verdict on each scenario of a file, in order. Raises ConformanceError, UnreadableError.

    `numbered` are the lines of the file, if it is open already.

    ``untimed`` is the agenda with every latency 0; ``agenda`` and ``plain`` draw geometry, latencies and latitude
    for each scenario, from `seed` and its place in the file.
    """
    for index, scenario in enumerate(read(path, numbered)):
        timed = EXECUTORS.get(executor)
        yield replay(scenario, ScenarioMachine.drawn(seed * _STRIDE + index, timed) if timed else ScenarioMachine())


class Echo(Protocol):
    """Prints a line, to standard error if `err`."""

    def __call__(self, text: str, /, *, err: bool = False) -> object: ...


def conform(
    files: Sequence[str], *, executor: str, seed: int, verbose: bool, echo: Echo, columns: int = sys.maxsize
) -> int:
    """Replay the files and print what failed; returns the exit code: 0, 1 if anything failed, 2 for a bad file.

    Which kind a file is, is seen from what is in it. With `verbose` passed and skipped ones are printed too. Verdicts
    are folded to a terminal's `columns`. A bad file does not keep the others from being replayed.
    """
    outcomes: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    bad = False
    for path in map(Path, files):
        try:
            for verdict in _verdicts(path, executor, seed):
                outcomes[verdict.outcome] += 1
                if isinstance(verdict, ScenarioVerdict) and verdict.capability:
                    skipped[verdict.capability] += 1
                if verbose or verdict.outcome == "failed":
                    echo(_folded(str(verdict), columns))
        except (UnreadableError, ConformanceError, litmus.LitmusError) as error:
            echo(str(error), err=True)
            bad = True
    if bad and not outcomes:
        return 2
    if skipped:
        reasons = ", ".join(f"{name} {n}" for name, n in skipped.most_common())
        echo(_folded(f"skipped for what is not implemented: {reasons}", Page().width))
    echo(", ".join(f"{outcomes[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped")))
    return 2 if bad else 1 if outcomes["failed"] else 0


def _folded(text: str, columns: int) -> str:
    return fill(text, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _verdicts(path: Path, executor: str, seed: int) -> Iterator[ScenarioVerdict | litmus.LitmusVerdict]:
    numbered = lines(path)
    n, first = next(numbered, (0, ""))
    if not n:
        raise ConformanceError(f"{path}: there is nothing in it")
    neither = "holds neither conformance scenarios nor litmus tests"
    try:
        record = json_value(first)
    except ValueError as error:
        raise ConformanceError(f"{path}: {neither}: line {n}: {error}") from None
    every = chain([(n, first)], numbered)
    if are_in(record):
        yield from run_file(path, executor, seed, every)
    elif litmus.are_in(record):
        yield from litmus.run_file(path, every)
    else:
        raise ConformanceError(f"{path}: {neither}: line {n} has neither 'steps' nor 'threads' and 'allowed'")
