"""The digest of a run's events: what ended, when, and how."""

from __future__ import annotations

from cosim.events import CallDone, CommandExecuted, FaultRecorded
from cosim.sim.digest import Digest, number_of
from cosim.sim.simulation import Sim


class EventDigest:
    """Counts requests, calls, commands and faults of the whole run, and mixes each into the digest.

    `Requests` does so with requests.
    """

    __slots__ = ("digest", "events")

    def __init__(self, sim: Sim) -> None:
        self.events = 0
        self.digest = Digest()
        sim.probe(CallDone).watch(self._call_done)
        sim.probe(CommandExecuted).watch(self._command_executed)
        sim.probe(FaultRecorded).watch(self._fault_recorded)

    def __str__(self) -> str:
        return str(self.digest)

    def _call_done(self, event: CallDone) -> None:
        self.events += 1
        self.digest.add(number_of(event.who), number_of(event.call), event.time, number_of(event.failed))

    def _command_executed(self, event: CommandExecuted) -> None:
        self.events += 1
        self.digest.add(number_of(event.who), event.index, event.time, event.words[0] ^ event.words[1])

    def _fault_recorded(self, event: FaultRecorded) -> None:
        self.events += 1
        self.digest.add(number_of(event.who), event.device_id, event.time, event.cause)
