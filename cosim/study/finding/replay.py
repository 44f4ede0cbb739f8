"""A finding is run again: whether what comes out is what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from cosim.sim.simulation import Sim
from cosim.study.finding.finding import Finding
from cosim.study.run.result import Result
from cosim.study.run.run import Point, run
from cosim.study.run.stop import Stop

Executor = Literal["agenda", "plain"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A finding, and the result of its run."""

    finding: Finding
    result: Result

    @property
    def equal(self) -> bool:
        """Whether the run was the one that was found, event by event."""
        return (self.result.digest, self.result.events) == (self.finding.digest, self.finding.events)

    @property
    def shows(self) -> bool:
        """Whether it shows what the finding is for."""
        return self.finding.signature in self.result.signs

    @property
    def same(self) -> bool:
        """Both."""
        return self.equal and self.shows

    @property
    def exit_code(self) -> int:
        """0 if it is the same again, 1 if not, 130 if it was interrupted."""
        if self.result.outcome == "interrupted":
            return self.result.exit_code
        return 0 if self.same else 1

    def as_json(self) -> dict[str, Any]:
        """The object that `cosim replay --json` prints."""
        found, result = self.finding, self.result
        return {
            "equal": self.same,
            "signature": found.signature,
            "digest": {"found": found.digest, "replayed": result.digest},
            "events": {"found": found.events, "replayed": result.events},
            "result": result.as_json(),
        }


def replay(
    finding: Finding,
    *,
    executor: Executor | None = None,
    command: str = "",
    watchers: Sequence[Callable[[Sim], None]] = (),
    progress: bool = False,
    stop: Stop | None = None,
) -> Replayed:
    """Run a finding again, on the executor that it was found with if no other is named.

    `command` is what replays it from a shell; `watchers` are given the `Sim` before anything has happened. Raises
    TopologyError.
    """
    point = replace(on(finding.point(), executor), command=command or finding.command)
    return Replayed(finding, run(point, watchers=watchers, progress=progress, stop=stop))


def on(point: Point, executor: Executor | None) -> Point:
    """The same point on another executor."""
    if executor is None:
        return point
    topology = point.topology
    other = topology.run.model_copy(update={"executor": executor})
    return replace(point, topology=topology.model_copy(update={"run": other}))
