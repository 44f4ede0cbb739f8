"""The store buffer in time: when what a hart has issued takes hold, and who waits for that."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.hart import Hart
from cosim.hw.cpu.lines import Lines, remote_ps
from cosim.hw.cpu.options import CpuOptions
from cosim.hw.cpu.pending_writes import OUTPUT, STORE, PendingWrite
from cosim.sim.actions import Action
from cosim.sim.footprints import Footprint, words
from cosim.sim.operations import Op
from cosim.sim.ranks import Initiator, Stage
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, CountsFor

_MMIO = CountsFor("mmio")


class Slot:
    """An entry of the buffer: *waiting* until it is due, then *due* until it may take hold, then *leaving*.

    `due` is a time in picoseconds; `who` is the thread that issued it as `op`, at `place` in the source.
    """

    __slots__ = ("action", "due", "entry", "leaving", "op", "place", "who")

    def __init__(self, entry: PendingWrite, who: str, due: int, place: str, op: Op[object] | None) -> None:
        self.entry = entry
        self.op = op
        self.place = place
        self.who = who
        self.due = due
        self.leaving = False
        self.action: Action | None = None
        """What asks for it while exploring, from its first question on."""


class StoreBuffer:
    """Lets each pending store and register write of a hart take hold, as soon as it is due and the hart's order allows.

    A store is due `drain` after its issue; once something waits for it, it leaves with those before it, one after
    the other, `store` apart. A register write is due at its device `mmio_arrival` after its issue.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: CpuOptions,
        hart: Hart,
        bus: Bus,
        changed: Callable[[], None],
        touched: Callable[[int, int], Footprint],
        lines: Lines | None = None,
    ) -> None:
        """`changed` is called whenever an entry has taken hold, or is held; `touched` names registers."""
        self._lines = lines
        self.sim = sim
        self.path = path
        self.hart = hart
        self._options = options
        self._initiator: Initiator = sim.initiator(path)
        self._port, self._bus = bus.port(path), bus
        self._changed = changed
        self._touched = touched
        self._slots: dict[int, Slot] = {}
        self._last: Slot | None = None
        """What took hold last, or does at present."""

    @property
    def taking_hold(self) -> Slot | None:
        """What takes hold at this moment, for whoever is told of what comes of that."""
        last = self._last
        return last if last is not None and last.entry.number in self._slots else None

    @property
    def holds(self) -> bool:
        """Whether a schedule holds something in it."""
        return any(slot.action is not None for slot in self._slots.values())

    @property
    def full(self) -> bool:
        """Whether the next store or register write has to wait for room."""
        return len(self._slots) >= self._options.store_buffer

    def insert(self, entry: PendingWrite, who: str, place: str = "", op: Op[object] | None = None) -> None:
        """Take in what the thread `who` has issued now, as `op`; `place` is known while exploring."""
        timing, now = self._options.timing, self.sim.now
        if entry.kind == OUTPUT:
            due = now + timing.mmio_arrival
        elif self.hart.rules.buffer:
            due = now + timing.drain
        else:
            due = now
        slot = self._slots[entry.number] = Slot(entry, who, max(due, now + 1), place, op)
        self._try_at(slot, slot.due)

    def hurry(self, entries: Iterable[PendingWrite]) -> None:
        """Something waits for `entries`: they and the stores before them leave now, one after the other."""
        last = max(entry.number for entry in entries)
        when = self.sim.now
        step = max(1, self._options.timing.store)
        for slot in self._slots.values():
            if slot.entry.number <= last and slot.entry.kind == STORE and not slot.leaving:
                when += step
                if when < slot.due:
                    slot.due = when
                    self._try_at(slot, when)

    def _try_at(self, slot: Slot, time: int) -> None:
        stage = Stage.MEMORY if slot.entry.kind == STORE else Stage.REGISTER
        self.sim.schedule(time, self._initiator.rank(stage), self._try, slot)

    def _try(self, slot: Slot) -> None:
        """Start leaving, if it is time and nothing has to go first; who has to wait is tried again after each leave."""
        if slot.leaving or self.sim.now < slot.due or not self.hart.writes.ready(slot.entry):
            return
        slot.leaving = True
        if slot.entry.kind != STORE:
            self._arrive(slot)
        elif self._lines is None or not (wait := self._line(self._lines, slot.entry)):
            self._drain(slot)
        else:
            self.sim.schedule(self.sim.now + wait, self._initiator.rank(Stage.MEMORY), self._drain, slot)

    def _line(self, lines: Lines, entry: PendingWrite) -> int:
        """How long until the line is here that a store writes."""
        remote = remote_ps(self._bus, self._options, entry.address)
        return lines.wait(self.path, entry.address, self.sim.now, self._options.timing.line_move, remote, write=True)

    def _drain(self, slot: Slot) -> None:
        entry = slot.entry
        if self.sim.exploring and not self._allowed(slot, f"{slot.who}.st", lambda: self._drain(slot)):
            return
        self.hart.who = slot.who
        self._last = slot
        self.hart.drain(entry, self.sim.now)
        self._left(slot)

    def _arrive(self, slot: Slot) -> None:
        entry, now = slot.entry, self.sim.now
        access = Access(
            self._port,
            AccessKind.WRITE,
            entry.address,
            entry.size,
            _MMIO,
            entry.words,
            agent=f"{slot.who}.mw",
            owner=slot.who,
        )
        target = self._port.route(entry.address, entry.size).target
        done = target.arrive(access, now)

        def commit() -> None:
            if self.sim.exploring and not self._allowed(slot, access.agent, commit):
                return
            self._last = slot
            target.commit(access)
            self.hart.accepted(entry, self.sim.now)
            self._left(slot)

        if done > now:
            self.sim.at(done, self._initiator.rank(Stage.REGISTER), commit)
        else:
            commit()

    def _allowed(self, slot: Slot, agent: str, again: Callable[[], None]) -> bool:
        entry = slot.entry
        if slot.action is None:
            touched = words if entry.kind == STORE else self._touched
            footprint = touched(entry.address, entry.size)
            slot.action = Action(agent, slot.who, footprint, True, again, entry.size, slot.place)
        allowed = self.sim.actions.attempt(slot.action)
        if not allowed:
            self._changed()
        return allowed

    def _left(self, left: Slot) -> None:
        del self._slots[left.entry.number]
        now = self.sim.now
        for slot in self._slots.values():
            if not slot.leaving and slot.due <= now:
                self._try_at(slot, now + 1)
        self._changed()
