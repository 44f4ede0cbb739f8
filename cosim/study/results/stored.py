"""A run as it is kept, with or without a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cosim.study.results.numbers import numbers_of
from cosim.study.run.named import Named
from cosim.study.run.result import Result

WITHOUT_NUMBERS = ("error", "late", "lost", "invalid")
"""Outcomes of runs that came to no end: an exception or a time limit, a process that died, a topology that is none."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A run of a study: which, how it has ended, and its numbers by name (`cosim.study.results.numbers`).

    `settings` is what the axes say, as it was written. `outcome` is that of a result, or ``error`` (an exception, or
    the time limit of the host), ``lost`` (its process died, twice) or ``invalid`` (the settings do not go together);
    `reason` says more. `histograms` hold the distribution of each latency, if they were asked for. `place` is that of
    its point among those of its sweep; points of equal configurations share their runs.
    """

    id: str
    point: str
    replication: int
    seed: int
    outcome: str
    reason: str = ""
    digest: str = ""
    host_s: float = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int | float] = field(default_factory=dict, repr=False)
    histograms: Mapping[str, Mapping[int, int]] = field(default_factory=dict, repr=False)
    place: int = 0

    @property
    def ok(self) -> bool:
        """Whether its numbers count: it came to its end as it should."""
        return self.outcome == "ok"

    def with_result(self, result: Result) -> Stored:
        """The same with what was measured."""
        return replace(
            self,
            outcome=result.outcome,
            reason="; ".join(result.failures),
            digest=result.digest,
            numbers=Named(numbers_of(result)),
            histograms={name: latency.distribution for name, latency in result.latencies.items()},
        )
