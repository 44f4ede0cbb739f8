"""What every format of a trace is: something that watches a run and writes to a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cosim.sim.simulation import Sim
from cosim.study.trace.selection import Selection
from cosim.study.trace.trace_file import TraceFile
from cosim.system.topology import Topology


class Tracer(Protocol):
    """Writes down what happens in one run, as it happens: what it keeps does not grow with the run."""

    def watch(self, sim: Sim) -> None:
        """Begin to watch, before anything has happened."""

    def close(self) -> None:
        """Write what there is of what has not ended; nothing more happens."""


Format = Callable[[TraceFile, Topology, Selection], Tracer]
"""Makes the tracer of a run of a topology."""
