"""The command ring is used in order: `cqt` moves forward only, over slots that were filled once, and none is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from cosim.events import (
    CommandFetched,
    CommandPassed,
    CommandSent,
    KernelEnded,
    QueueFailed,
    RegisterWritten,
    RunEnded,
)
from cosim.oracles.in_memory import InMemory
from cosim.oracles.in_service import InService
from cosim.oracles.oracle import Oracle, exact
from cosim.spec.queues import Command
from cosim.spec.register_map import CQB, CQCSR, CQT
from cosim.spec.registers import Cqcsr, QueueBase

FILLED, PUBLISHED = "filled", "published"

EARLY = "a command was fetched before it was in its slot"
OVERWRITTEN = "a command was overwritten in its slot before it was fetched"
NEVER = "a command never came into its slot"
OTHER = "what was fetched is not what was sent"
"""How something else came to be fetched than what was sent; the last if nobody knows."""
WHY = {OVERWRITTEN: ", which was there before", NEVER: ", which has not come there since"}

WORD = 8


@dataclass(slots=True)
class _Missed:
    """A command that something else was fetched for, until it is known why."""

    event: CommandFetched
    sent: CommandSent
    otherwise: str
    """Why, if the command does not come into its slot."""
    stops: list[Callable[[], None]] = field(default_factory=list)


@dataclass(slots=True)
class _Off:
    """A queue that `by` has turned off, of an IOMMU in service, and the first write of `cqt` that moves it since."""

    by: str
    since: int
    first: RegisterWritten | None = None


class _Ring:
    """A ring: where it is, `cqt` as it was written last, where `cqh` stands, and what slots hold."""

    __slots__ = ("base", "entries", "filled", "head", "missed", "sent", "tail", "told")

    def __init__(self, base: int, entries: int) -> None:
        self.base = base
        self.entries = entries
        self.tail = self.head = 0
        self.told = False
        """Whether the driver tells of what it puts into slots; one of a user's own need not."""
        self.sent: dict[int, CommandSent] = {}
        """Each command that is in its slot and that `cqh` has not passed."""
        self.missed: dict[int, _Missed] = {}
        """The slots from which something else was fetched, and where what was sent may yet come."""
        self.filled: set[int] = set()
        """The slots that are filled, and that `cqt` has not passed."""


class CommandRing(Oracle):
    """Judges each write of `cqt`, each command that goes into its slot, and each that is fetched.

    `cqt` must not move beyond the slots that are free: modulo the ring's size that is to move back. It moves over
    slots that were filled since it passed them last. A slot is filled when `cqh` has passed what was there, whether
    or not that is executed (of commands out of order it need not be), and what the IOMMU fetches is what was sent;
    into the slot of an illegal command another one may be put. The ring is new whenever the queue is turned off; where
    `cqt` stands counts when it is turned on again.

    One slot stays free: with all of them filled `cqt` meets `cqh`, which is how an empty ring looks. At the end it
    reports a queue that software has turned off and left so, with its IOMMU in service, if commands were published
    since.

    If something else is fetched, memory says how that came: the command comes into its slot later, it was there and
    something was put over it, or it does not come for as long as the slot is its own.

    Source: "Command-Queue (CQ)" (3.1); the driver's defect C10, and the tickets of its queue.
    """

    name = "command-ring"
    watches: ClassVar = {
        RegisterWritten: "written",
        CommandSent: "command_sent",
        CommandFetched: "fetched",
        CommandPassed: "passed",
        QueueFailed: "failed",
        KernelEnded: "kernel_ended",
        RunEnded: "ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._rings: dict[str, _Ring] = {}
        self._memory = self.book(InMemory)
        self._in_service = self.book(InService)
        self._off: dict[str, _Off] = {}
        self._on: set[str] = set()
        """The IOMMUs whose queue was turned on, which ignore a write of `cqb`."""
        self._idle: dict[str, RegisterWritten | None] = {}
        """The IOMMUs whose queue was turned off while they were out of service, with the last write of `cqt` since."""

    def written(self, event: RegisterWritten) -> None:
        if event.offset == CQT.offset:
            ring = self._rings.get(event.who)
            if ring is not None:
                self._moved(event, ring)
        elif event.offset == CQB.offset and event.size == CQB.size and event.who not in self._on:
            base = QueueBase(event.value)
            self._place(event.who, base.address, base.entries)
        elif event.offset == CQCSR.offset:
            self._switched(event, self._rings.get(event.who))

    def _switched(self, event: RegisterWritten, ring: _Ring | None) -> None:
        on, was_on = bool(event.value & Cqcsr.cqen.mask), event.who in self._on
        if not on:
            if was_on and event.who in self._in_service.iommus:
                self._off[event.who] = _Off(event.by, event.time)
            elif was_on:
                self._idle[event.who] = None
            self._on.discard(event.who)
            if ring is not None:
                self._place(event.who, ring.base, ring.entries)
        elif not was_on:
            self._on.add(event.who)
            self._off.pop(event.who, None)
            moved = self._idle.pop(event.who, None)
            if ring is not None:
                ring.head = 0  # as `cqh` is now, though a command of before may have been passed since the ring was off
                if moved is not None:
                    self._moved(moved, ring)

    def _place(self, iommu: str, base: int, entries: int) -> None:
        if iommu in self._rings:
            self._never_came(self._rings[iommu])
        self._rings[iommu] = _Ring(base, entries)

    def _moved(self, event: RegisterWritten, ring: _Ring) -> None:
        entries, tail = ring.entries, event.value % ring.entries
        off = self._off.get(event.who)
        if off is not None and tail != ring.tail:
            off.first = off.first or event
            ring.tail = tail
            return
        if event.who in self._idle:
            self._idle[event.who] = event
            return
        step, free = (tail - ring.tail) % entries, (ring.head - ring.tail - 1) % entries
        if step == 1 and free and (not ring.told or ring.tail in ring.filled):
            ring.filled.discard(ring.tail)
            ring.tail = tail
            return
        passed = [(ring.tail + index) % entries for index in range(step)]
        empty = [slot for slot in passed if slot not in ring.filled] if ring.told else []
        if step > free or empty:
            why = f"with {free} of {entries} slots free"
            kind = "cqt moved back" if 2 * step > entries else "a slot was published that was not filled"
            if empty:
                why = f"over slot {empty[0]}, into which no command went since it passed there"
            elif step == free + 1 and (ring.told or step == 1):
                why += ": the ring is filled to its last slot, so that cqt meets cqh, and the IOMMU takes it for empty"
                kind = "the ring was filled to its last slot"
            self.violated(
                f"{event.who}.cqt goes from {ring.tail} to {tail} at {exact(event.time)}, by {event.by}, {why}",
                event.time,
                event.time,
                signature=kind,
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
        if slot in ring.missed:
            self._end(ring, slot)
        ring.sent[slot] = event
        ring.filled.add(slot)

    def fetched(self, event: CommandFetched) -> None:
        ring = self._rings.get(event.who)
        sent = None if ring is None else ring.sent.get(event.index)
        if ring is not None and sent is not None and sent.words != event.words:
            self._other(ring, event, sent)

    def failed(self, event: QueueFailed) -> None:
        ring = self._rings.get(event.who)
        if ring is not None and (event.queue, event.bit) == ("cq", Cqcsr.cmd_ill.name):
            ring.sent.pop(event.index, None)

    def passed(self, event: CommandPassed) -> None:
        ring = self._rings.get(event.who)
        if ring is not None:
            ring.sent.pop(event.index, None)
            ring.head = (event.index + 1) % ring.entries

    # --- What was fetched is not what was sent ------------------------------------------------------------------------

    def _other(self, ring: _Ring, event: CommandFetched, sent: CommandSent) -> None:
        memory = self._memory.of
        if event.index in ring.missed:
            return
        first = ring.base + Command.SIZE * event.index
        places = {first + WORD * number: word for number, word in enumerate(sent.words)}
        past = [(memory.past(place, sent.time) if memory else ((), False)) for place in places]
        if memory is None or not all(values for values, _ in past):
            self._differs(event, sent, OTHER)
        elif all(values[0] == word for (values, _), word in zip(past, sent.words, strict=True)):
            self._differs(event, sent, EARLY)
        elif all(word in values for (values, _), word in zip(past, sent.words, strict=True)):
            self._differs(event, sent, OVERWRITTEN)
        else:
            missed = _Missed(event, sent, NEVER if all(known for _, known in past) else OTHER)

            def changed() -> None:
                if all(memory.peek(place, WORD) == word for place, word in places.items()):
                    self._end(ring, event.index, EARLY)

            missed.stops += [memory.watch(place, changed) for place in places]
            ring.missed[event.index] = missed

    def _end(self, ring: _Ring, slot: int, how: str = "") -> None:
        """It is known how another command than the one for `slot` came to be fetched."""
        missed = ring.missed.pop(slot)
        for stop in missed.stops:
            stop()
        self._differs(missed.event, missed.sent, how or missed.otherwise)

    def _differs(self, event: CommandFetched, sent: CommandSent, how: str) -> None:
        self.violated(
            f"{event.who} fetched from slot {event.index} at {exact(event.time)} what is not the command that was "
            f"sent: {_hex(event.words)}, not {_hex(sent.words)}{WHY.get(how, '')}",
            event.time,
            event.time,
            signature=how,
        )

    def kernel_ended(self, event: KernelEnded) -> None:
        self._off.clear()

    def ended(self, event: RunEnded) -> None:
        for ring in self._rings.values():
            self._never_came(ring)
        for iommu, off in self._off.items():
            if off.first is not None and iommu in self._in_service.iommus:
                self.violated(
                    f"{iommu}.cqt goes to {off.first.value} at {exact(off.first.time)}, by {off.first.by}, and no such "
                    f"command is executed: {off.by} has turned the command queue off, at {exact(off.since)}",
                    off.first.time,
                    off.since,
                    signature="the command queue of an IOMMU in service was turned off",
                )

    def _never_came(self, ring: _Ring) -> None:
        for slot in list(ring.missed):
            self._end(ring, slot)


def _hex(words: tuple[int, int]) -> str:
    return " ".join(f"{word:#x}" for word in words)
