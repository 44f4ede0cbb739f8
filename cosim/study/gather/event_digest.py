"""The digest of a run's events: what ended, when, and how."""

from __future__ import annotations

from cosim.events import CallDone, CommandExecuted, DmaDone, FaultRecorded
from cosim.sim.digest import Digest, mixed, number_of
from cosim.sim.simulation import Sim


class EventDigest:
    """Counts requests, calls, commands and faults of the whole run, and mixes each into the digest."""

    __slots__ = ("_digest", "_mixed", "events")

    def __init__(self, sim: Sim) -> None:
        self.events = 0
        self._digest = Digest()
        self._mixed: dict[tuple[str, str], int] = {}
        """A device and the status of its request, as the digest takes both."""
        sim.probe(DmaDone).watch(self._dma_done)
        sim.probe(CallDone).watch(self._call_done)
        sim.probe(CommandExecuted).watch(self._command_executed)
        sim.probe(FaultRecorded).watch(self._fault_recorded)

    def __str__(self) -> str:
        return str(self._digest)

    def _dma_done(self, event: DmaDone) -> None:
        self.events += 1
        both = self._mixed.get((event.who, event.status))
        if both is None:
            both = mixed(number_of(event.who), number_of(event.status))
            self._mixed[event.who, event.status] = both
        self._digest.mix(both, event.sequence, event.time)

    def _call_done(self, event: CallDone) -> None:
        self.events += 1
        self._digest.add(number_of(event.who), number_of(event.call), event.time, number_of(event.failed))

    def _command_executed(self, event: CommandExecuted) -> None:
        self.events += 1
        self._digest.add(number_of(event.who), event.index, event.time, event.words[0] ^ event.words[1])

    def _fault_recorded(self, event: FaultRecorded) -> None:
        self.events += 1
        self._digest.add(number_of(event.who), event.device_id, event.time, event.cause)
