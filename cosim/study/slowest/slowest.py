"""What the slowest requests and the slowest calls of a run waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cosim.sim.simulation import Sim
from cosim.study.run.window import Window
from cosim.study.slowest.calls import SlowCalls
from cosim.study.slowest.requests import SlowRequests
from cosim.study.slowest.slow import Slow
from cosim.system.topology import Topology


@dataclass(frozen=True, slots=True)
class Slowest:
    """The slowest requests, and the slowest calls that no other call has made: each as many as were asked for."""

    requests: tuple[Slow, ...] = ()
    calls: tuple[Slow, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The object that `run --json` prints for it."""
        return {
            "requests": [slow.as_json() for slow in self.requests],
            "calls": [slow.as_json() for slow in self.calls],
        }


class SlowestSoFar:
    """Watches a run from its beginning, for the `count` slowest of each; a run without one pays nothing."""

    def __init__(self, sim: Sim, topology: Topology, window: Window, count: int) -> None:
        self._requests = SlowRequests(sim, topology, window, count)
        self._calls = SlowCalls(sim, window, count)

    def found(self) -> Slowest:
        """What it has seen."""
        return Slowest(self._requests.found(), self._calls.found())
