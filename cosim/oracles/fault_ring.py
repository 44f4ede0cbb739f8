"""The fault queue is emptied in order: `fqh` moves forward only, over records that were read, and over all of them."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from cosim.events import FaultRecorded, FellAsleep, InterruptRaised, LoadSeen, RegisterWritten, RunEnded
from cosim.oracles.in_memory import InMemory
from cosim.oracles.oracle import Oracle, exact
from cosim.spec.queues import FaultRecord
from cosim.spec.register_map import FQB, FQCSR, FQH, IPSR
from cosim.spec.registers import Fqcsr, Interrupt, QueueBase

NOWHERE = -1
UNREAD, READ, GIVEN_BACK = "unread", "read", "given back"


class _Ring:
    """A ring: where it is, whether the queue is on, `fqh` as it was written last, and the slot of the next record."""

    __slots__ = (
        *("base", "cleared", "entries", "head", "on", "seen", "served", "server", "slots", "tail", "told", "unread"),
    )

    def __init__(self, base: int, entries: int) -> None:
        self.base = base
        self.entries = entries
        self.on = False
        self.seen = False
        """Whether loads from it are told of."""
        self.slots: dict[int, str] = {}
        """What became of the record in each slot that had one since the queue is on."""
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
        self.slots.clear()
        self.server, self.told, self.cleared, self.served = "", -1, -1, -1


class FaultRing(Oracle):
    """Judges each write of `fqh` while the queue is on: it must pass records only, and none that nobody has read.

    A record is read when a CPU has loaded any word of it since it was written, and not after `fqh` has passed it: its
    slot is the IOMMU's again, which may write over it meanwhile. To pass more than there are is, modulo the ring's
    size, to move back. A slot that is passed without a record counts as full, and so the IOMMU drops faults for which
    there is room. A queue that is turned on fills its first slot next, and ignores a write of `fqb`.

    At the end it reports records that nobody reads: they were there at the queue's last interrupt, which a thread has
    then cleared, and that thread has left its CPU since without moving `fqh` over them.

    Source: "Fault/Event-Queue (FQ)" (3.2); the driver's defect C12.
    """

    name = "fault-ring"
    watches: ClassVar = {
        RegisterWritten: "written",
        FaultRecorded: "found",
        LoadSeen: "loaded",
        InterruptRaised: "raised",
        FellAsleep: "asleep",
        RunEnded: "ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._rings: dict[str, _Ring] = {}
        self._memory = self.book(InMemory)

    def found(self, event: FaultRecorded) -> None:
        ring = self._rings.get(event.who)
        if event.recorded and ring is not None:
            ring.slots[ring.tail] = UNREAD
            ring.tail = (ring.tail + 1) % ring.entries
            ring.unread.append(event.time)

    def loaded(self, event: LoadSeen) -> None:
        for iommu, ring in self._rings.items():
            slot = (event.address - ring.base) // FaultRecord.SIZE
            became = ring.slots.get(slot) if ring.on else None
            if became == UNREAD:
                ring.slots[slot] = READ
            elif became == GIVEN_BACK:
                del ring.slots[slot]  # told once, and not for each word
                self.violated(
                    f"{event.who} loads from slot {slot} of {iommu}'s fault queue at {exact(event.time)}, which fqh, "
                    f"now {ring.head}, has passed, and in which there is no record since",
                    event.time,
                    event.time,
                    signature="a record was read after it was given back",
                )

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
                base = QueueBase(event.value)
                self._rings[event.who] = _Ring(base.address, base.entries)
            return
        if ring is None:
            return
        if event.offset // FQB.size == FQB.offset // FQB.size and not ring.on:
            ring.base = NOWHERE  # half of it was written: whoever does so is not followed
        elif event.offset == FQCSR.offset:
            on = bool(event.value & Fqcsr.fqen.mask)
            if on and not ring.on:
                ring.begin()
                memory, size = self._memory.of, ring.entries * FaultRecord.SIZE
                ring.seen = memory is not None and memory.tell_of_loads(ring.base, size)
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
        step, records = (head - ring.head) % ring.entries, (ring.tail - ring.head) % ring.entries
        skipped: list[tuple[int, int]] = []
        for number in range(min(step, len(ring.unread))):
            slot, came = (ring.head + number) % ring.entries, ring.unread.popleft()
            if step > records:
                continue  # moved back, perhaps: then it stands in front of them
            if ring.slots.get(slot) == UNREAD:
                skipped.append((slot, came))
            ring.slots[slot] = GIVEN_BACK
        if skipped and ring.seen:
            self._skipped(event, ring, head, skipped)
        if step > records:
            back = 2 * step > ring.entries
            self.violated(
                f"{event.who}.fqh goes from {ring.head} to {head} at {exact(event.time)}, by {event.by}, with "
                f"{records} records in {ring.entries} slots",
                event.time,
                event.time,
                signature="fqh moved back" if back else "a slot was passed that had no record",
            )

    def _skipped(self, event: RegisterWritten, ring: _Ring, head: int, skipped: list[tuple[int, int]]) -> None:
        slot, came = skipped[0]
        self.violated(
            f"{event.who}.fqh goes from {ring.head} to {head} at {exact(event.time)}, by {event.by}, and no CPU has "
            f"loaded a word of {len(skipped)} of these records; the first one is in slot {slot}, since {exact(came)}",
            event.time,
            came,
            signature="a record was passed that nobody read",
        )
