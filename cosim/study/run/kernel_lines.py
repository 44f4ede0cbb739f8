"""The lines of the modelled kernel's log that a result keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cosim.events import KernelLog
from cosim.sim.simulation import Sim

KEPT = 1000
"""As many lines are kept, the first ones; all are counted."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the modelled kernel's log, in our words."""

    time_ps: int
    who: str
    level: str
    text: str


class KernelLines:
    """The first lines of the log in `kept`, how many there were, and the awaited texts that no line has held."""

    __slots__ = ("count", "kept", "unsaid")

    def __init__(self, sim: Sim, awaited: Iterable[str] = ()) -> None:
        self.count = 0
        self.kept: list[LogLine] = []
        self.unsaid = list(awaited)
        sim.probe(KernelLog).watch(self._logged)

    def _logged(self, event: KernelLog) -> None:
        self.count += 1
        if self.unsaid:
            self.unsaid = [text for text in self.unsaid if text not in event.text]
        if len(self.kept) < KEPT:
            self.kept.append(LogLine(event.time, event.who, event.level, event.text + event.more))
