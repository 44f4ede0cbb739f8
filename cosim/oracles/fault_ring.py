"""The fault queue is emptied in order: `fqh` moves forward only, over records, and no further than there are any."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import FaultRecorded, RegisterWritten
from cosim.oracles.oracle import Oracle, exact
from cosim.spec.register_map import FQB, FQCSR, FQH
from cosim.spec.registers import Fqcsr, QueueBase


class _Ring:
    """A ring: its length, whether the queue is on, `fqh` as it was written last, and the slot of the next record."""

    __slots__ = ("entries", "head", "on", "tail")

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self.on = False
        self.head = self.tail = 0


class FaultRing(Oracle):
    """Judges each write of `fqh` while the queue is on: it must pass records only.

    To pass more than there are is, modulo the ring's size, to move back. A slot that is passed without a record counts
    as full, and so the IOMMU drops faults for which there is room. A queue that is turned on fills its first slot next,
    and ignores a write of `fqb`.

    Source: "Fault/Event-Queue (FQ)" (3.2); the driver's defect C12.
    """

    name = "fault-ring"
    watches: ClassVar = {RegisterWritten: "written", FaultRecorded: "found"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._rings: dict[str, _Ring] = {}

    def found(self, event: FaultRecorded) -> None:
        ring = self._rings.get(event.who)
        if event.recorded and ring is not None:
            ring.tail = (ring.tail + 1) % ring.entries

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
                ring.tail = 0
            ring.on = on
        elif event.offset == FQH.offset:
            head = event.value % ring.entries
            if ring.on:
                self._moved(event, ring, head)
            ring.head = head

    def _moved(self, event: RegisterWritten, ring: _Ring, head: int) -> None:
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
