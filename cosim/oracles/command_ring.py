"""The command ring is used in order: `cqt` moves forward only, over slots that were filled once, and none is lost."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import CommandFetched, CommandPassed, CommandSent, QueueFailed, RegisterWritten
from cosim.oracles.oracle import Oracle, exact
from cosim.spec.register_map import CQB, CQCSR, CQT
from cosim.spec.registers import Cqcsr, QueueBase

FILLED, PUBLISHED = "filled", "published"


class _Ring:
    """A ring: its length, `cqt` as it was written last, where `cqh` stands, and what slots hold."""

    __slots__ = ("entries", "filled", "head", "sent", "tail", "told")

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self.tail = self.head = 0
        self.told = False
        """Whether the driver tells of what it puts into slots; one of a user's own need not."""
        self.sent: dict[int, tuple[int, int]] = {}
        """The words of each command that is in its slot and that `cqh` has not passed."""
        self.filled: set[int] = set()
        """The slots that are filled, and that `cqt` has not passed."""


class CommandRing(Oracle):
    """Judges each write of `cqt`, each command that goes into its slot, and each that is fetched.

    `cqt` must not move beyond the slots that are free: modulo the ring's size that is to move back. It moves over
    slots that were filled since it passed them last. A slot is filled when `cqh` has passed what was there, whether
    or not that is executed (of commands out of order it need not be), and what the IOMMU fetches is what was sent;
    into the slot of an illegal command another one may be put. The ring is new whenever the queue is turned off.

    Source: "Command-Queue (CQ)" (3.1); the driver's defect C10, and the tickets of its queue.
    """

    name = "command-ring"
    watches: ClassVar = {
        RegisterWritten: "written",
        CommandSent: "command_sent",
        CommandFetched: "fetched",
        CommandPassed: "passed",
        QueueFailed: "failed",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._rings: dict[str, _Ring] = {}
        self._on: set[str] = set()
        """The IOMMUs whose queue was turned on, which ignore a write of `cqb`."""

    def written(self, event: RegisterWritten) -> None:
        if event.offset == CQT.offset:
            ring = self._rings.get(event.who)
            if ring is not None:
                self._moved(event, ring)
        elif event.offset == CQB.offset and event.size == CQB.size and event.who not in self._on:
            self._rings[event.who] = _Ring(QueueBase(event.value).entries)
        elif event.offset == CQCSR.offset:
            self._switched(event, self._rings.get(event.who))

    def _switched(self, event: RegisterWritten, ring: _Ring | None) -> None:
        on, was_on = bool(event.value & Cqcsr.cqen.mask), event.who in self._on
        if not on:
            self._on.discard(event.who)
            if ring is not None:
                self._rings[event.who] = _Ring(ring.entries)
        elif not was_on:
            self._on.add(event.who)
            if ring is not None:
                ring.head = 0  # as `cqh` is now, though a command of before may have been passed since the ring was off

    def _moved(self, event: RegisterWritten, ring: _Ring) -> None:
        entries, tail = ring.entries, event.value % ring.entries
        step, free = (tail - ring.tail) % entries, (ring.head - ring.tail - 1) % entries
        if step == 1 and free and (not ring.told or ring.tail in ring.filled):
            ring.filled.discard(ring.tail)
            ring.tail = tail
            return
        passed = [(ring.tail + index) % entries for index in range(step)]
        empty = [slot for slot in passed if slot not in ring.filled] if ring.told else []
        if step > free or empty:
            why = f"with {free} of {entries} slots free"
            if empty:
                why = f"over slot {empty[0]}, into which no command went since it passed there"
            back = 2 * step > entries
            self.violated(
                f"{event.who}.cqt goes from {ring.tail} to {tail} at {exact(event.time)}, by {event.by}, {why}",
                event.time,
                event.time,
                signature="cqt moved back" if back else "a slot was published that was not filled",
            )
        ring.filled.difference_update(passed)
        ring.tail = tail

    def command_sent(self, event: CommandSent) -> None:
        ring = self._rings.get(event.iommu)
        if ring is None:
            return
        slot, ring.told = event.index, True
        if slot in ring.sent:
            state = FILLED if slot in ring.filled else PUBLISHED
            self.violated(
                f"{event.who} put a command into slot {slot} of {event.iommu} at {exact(event.time)}, and the one "
                f"there, {state}, has not been passed by cqh",
                event.time,
                event.time,
                signature=f"a slot was overwritten, {state} and not passed",
            )
        ring.sent[slot] = event.words
        ring.filled.add(slot)

    def fetched(self, event: CommandFetched) -> None:
        ring = self._rings.get(event.who)
        sent = None if ring is None else ring.sent.get(event.index)
        if sent is not None and sent != event.words:
            self.violated(
                f"{event.who} fetched from slot {event.index} at {exact(event.time)} what is not the command that was "
                f"sent: {_hex(event.words)}, not {_hex(sent)}",
                event.time,
                event.time,
                signature="a command was fetched before it was in its slot",
            )

    def failed(self, event: QueueFailed) -> None:
        ring = self._rings.get(event.who)
        if ring is not None and (event.queue, event.bit) == ("cq", Cqcsr.cmd_ill.name):
            ring.sent.pop(event.index, None)

    def passed(self, event: CommandPassed) -> None:
        ring = self._rings.get(event.who)
        if ring is not None:
            ring.sent.pop(event.index, None)
            ring.head = (event.index + 1) % ring.entries


def _hex(words: tuple[int, int]) -> str:
    return " ".join(f"{word:#x}" for word in words)
