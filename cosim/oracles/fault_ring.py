"""The fault queue is emptied in order: `fqh` moves forward only, over all records and no more than there are."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from cosim.events import FaultRecorded, FellAsleep, InterruptRaised, RegisterWritten, RunEnded
from cosim.oracles.oracle import Oracle, exact
from cosim.spec.register_map import FQB, FQCSR, FQH, IPSR
from cosim.spec.registers import Fqcsr, Interrupt, QueueBase


class _Ring:
    """A ring: its length, whether the queue is on, `fqh` as it was written last, and the slot of the next record."""

    __slots__ = ("cleared", "entries", "head", "on", "served", "server", "tail", "told", "unread")

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self.on = False
        self.head = self.tail = 0
        self.unread: deque[int] = deque()
        """When each record came that `fqh` has not passed."""
        self.told = -1
        """When the IOMMU last raised the queue's interrupt."""
        self.cleared = -1
        """When it was cleared since."""
        self.server = ""
        """The thread that did, as long as it has not left its CPU."""
        self.served = -1
        """When it has left it."""

    def begin(self) -> None:
        """The queue is switched on: it has no record, whatever it had."""
        self.tail = 0
        self.unread.clear()
        self.server, self.told, self.cleared, self.served = "", -1, -1, -1


class FaultRing(Oracle):
    """Judges each write of `fqh` while the queue is on: it must pass records only.

    To pass more than there are is, modulo the ring's size, to move back. A slot that is passed without a record counts
    as full, and so the IOMMU drops faults for which there is room. A queue that is turned on fills its first slot next,
    and ignores a write of `fqb`.

    At the end it reports records that nobody reads: they were there at the queue's last interrupt, which a thread has
    then cleared, and that thread has left its CPU since without moving `fqh` over them.

    Source: "Fault/Event-Queue (FQ)" (3.2); the driver's defect C12.
    """

    name = "fault-ring"
    watches: ClassVar = {
        RegisterWritten: "written",
        FaultRecorded: "found",
        InterruptRaised: "raised",
        FellAsleep: "asleep",
        RunEnded: "ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._rings: dict[str, _Ring] = {}

    def found(self, event: FaultRecorded) -> None:
        ring = self._rings.get(event.who)
        if event.recorded and ring is not None:
            ring.tail = (ring.tail + 1) % ring.entries
            ring.unread.append(event.time)

    def raised(self, event: InterruptRaised) -> None:
        ring = self._rings.get(event.who)
        if ring is not None and event.source == "fip":
            ring.told, ring.server, ring.served = event.time, "", -1

    def asleep(self, event: FellAsleep) -> None:
        for ring in self._rings.values():
            if ring.server == event.who:
                ring.server, ring.served = "", event.time

    def ended(self, event: RunEnded) -> None:
        for iommu, ring in self._rings.items():
            unread = sum(time <= ring.cleared for time in ring.unread)
            if ring.on and unread and 0 <= ring.served < event.time - self.bounds.store_ps:
                self.violated(
                    f"{iommu}'s fault queue has {unread} of its records unread at the end, the first one since "
                    f"{exact(ring.unread[0])}; whoever has cleared their interrupt left at {exact(ring.served)}",
                    event.time,
                    ring.unread[0],
                    signature="records are never read",
                )

    def written(self, event: RegisterWritten) -> None:
        ring = self._rings.get(event.who)
        if event.offset == FQB.offset and event.size == FQB.size:
            if ring is None or not ring.on:
                self._rings[event.who] = _Ring(QueueBase(event.value).entries)
            return
        if ring is None:
            return
        if event.offset == FQCSR.offset:
            on = bool(event.value & Fqcsr.fqen.mask)
            if on and not ring.on:
                ring.begin()
            ring.on = on
        elif event.offset == IPSR.offset:
            if event.value & Interrupt.FQ.pending and ring.told >= 0 and ring.served < 0:
                ring.server, ring.cleared = event.by, event.time
        elif event.offset == FQH.offset:
            head = event.value % ring.entries
            if ring.on:
                self._moved(event, ring, head)
            ring.head = head

    def _moved(self, event: RegisterWritten, ring: _Ring, head: int) -> None:
        for _ in range(min((head - ring.head) % ring.entries, len(ring.unread))):
            ring.unread.popleft()
        step, records = (head - ring.head) % ring.entries, (ring.tail - ring.head) % ring.entries
        if step > records:
            back = 2 * step > ring.entries
            self.violated(
                f"{event.who}.fqh goes from {ring.head} to {head} at {exact(event.time)}, by {event.by}, with "
                f"{records} records in {ring.entries} slots",
                event.time,
                event.time,
                signature="fqh moved back" if back else "a slot was passed that had no record",
            )
