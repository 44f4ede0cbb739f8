"""Replays conformance scenarios on the modelled IOMMU, and says how it differs from what they expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cosim.hw.iommu.faults import NotImplementedCapability
from cosim.sim.agenda import Agenda
from cosim.sim.kernel import Executor, Plain, Sim
from cosim.study.testbench import Differs, Machine, Testbench
from cosim.study.vectors import ConformanceError, Scenario, are_in, read

__all__ = ["EXECUTORS", "ConformanceError", "Machine", "Verdict", "are_in", "replay", "run_file", "summary"]

EXECUTORS: Mapping[str, Callable[[Sim], Executor]] = {"agenda": Agenda, "plain": Plain}
"""By the name that a user calls them."""


@dataclass(frozen=True, slots=True)
class Verdict:
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


def replay(scenario: Scenario, machine: Machine | None = None) -> Verdict:
    """Apply the steps of a scenario until one differs; an error inside the model is not caught."""
    bench = Testbench(scenario, machine or Machine())
    for index, step in enumerate(scenario.steps):
        try:
            bench.apply(step)
        except Differs as differs:
            return Verdict(scenario.group, scenario.name, "failed", index, differs.field, differs.expected, differs.got)
        except NotImplementedCapability as missing:
            return Verdict(scenario.group, scenario.name, "skipped", index, capability=missing.name)
    return Verdict(scenario.group, scenario.name, "passed")


def run_file(path: Path, machine: Machine | None = None) -> Iterator[Verdict]:
    """The verdict on each scenario of a file, in order; ConformanceError where the file is malformed."""
    for scenario in read(path):
        yield replay(scenario, machine)


def summary(verdicts: list[Verdict]) -> str:
    """The last line that `cosim conform` prints."""
    count = {outcome: sum(v.outcome == outcome for v in verdicts) for outcome in ("passed", "failed", "skipped")}
    return ", ".join(f"{n} {outcome}" for outcome, n in count.items())
