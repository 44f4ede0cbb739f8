"""What the in-memory queues have in common (chapter "In-memory queue interface"): their indices and their enable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosim.events import QueueDepth, QueueFailed, StructureUsed
from cosim.hw.iommu.queue_error import QueueError
from cosim.hw.iommu.registers import RegisterFile
from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.task import Routine
from cosim.spec.bits import Word
from cosim.spec.queues import Command, FaultRecord, PageRequest
from cosim.spec.register_map import CQB, CQCSR, CQH, CQT, FQB, FQCSR, FQH, FQT, PQB, PQCSR, PQH, PQT, Register
from cosim.spec.registers import Cqcsr, Fqcsr, Pqcsr, QueueBase, QueueCsr

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


@dataclass(frozen=True, slots=True)
class Place:
    """Where the registers of a queue are, which end of it the IOMMU moves, and how large its entries are."""

    name: str
    base: Register[QueueBase]
    head: Register[Word]
    tail: Register[Word]
    csr: Register[Word]
    own: Register[Word]
    """The index that the IOMMU moves: the head of a queue that it consumes, the tail of one that it fills."""
    entry: int
    """In bytes."""
    errors: int
    """The bits of the CSR that stop the queue until software clears them."""


_ENABLED = QueueCsr.of(en=1, on=1)
_NOT_OFF = QueueCsr.of(on=1, busy=1)

CQ = Place("cq", CQB, CQH, CQT, CQCSR, CQH, Command.SIZE, Cqcsr.of(cqmf=1, cmd_to=1, cmd_ill=1))
FQ = Place("fq", FQB, FQH, FQT, FQCSR, FQT, FaultRecord.SIZE, Fqcsr.of(fqmf=1, fqof=1))
PQ = Place("pq", PQB, PQH, PQT, PQCSR, PQT, PageRequest.SIZE, Pqcsr.of(pqmf=1, pqof=1))


def error_bits(place: Place) -> list[str]:
    """The names of the bits of a queue's CSR that stop the queue."""
    return [name for name, field in place.csr.layout.FIELDS.items() if field.mask & place.errors]


def error_names(iommu: str) -> list[str]:
    """The name of each error in which a queue of an IOMMU can stand: ``iommu0.cqcsr.cmd_ill``."""
    return [f"{iommu}.{place.csr.name}.{bit}" for place in (CQ, FQ, PQ) for bit in error_bits(place)]


class InMemoryQueue:
    """One queue as the IOMMU sees it: off, turning on, on, or turning off; `busy` is 1 while it turns.

    `en` rising clears the IOMMU's own index and the error bits, and `on` follows after ``timing.busy``. `en` falling
    keeps the queue on for as long, and for longer while somebody holds `slot`, as whoever is at work on the queue
    does, or while `unfinished` is shut: what was begun is finished.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        registers: RegisterFile,
        place: Place,
        *,
        busy_ps: int,
        part: str,
        unfinished: Gate | None = None,
    ) -> None:
        self.sim = sim
        self.path = f"{path}.{place.name}"
        self._iommu = path
        self.registers = registers
        self.place = place
        self.slot = Gate(sim, 1, part)
        self._unfinished = unfinished
        self._busy_ps = busy_ps
        self._delay = Server(0, "queue", latency_ps=busy_ps)
        self._initiator = sim.initiator(self.path)
        self._changed = sim.probe(QueueDepth)
        self._told_of = sim.probe(QueueFailed)
        self._used = sim.probe(StructureUsed)
        self.depth = 0
        """Entries in the queue."""
        self._consumes = place.own is place.head
        self._failed: dict[str, int] = {}
        """When the queue failed at the entry where it is now, by error bit; a queue of commands, when it first did."""
        self._mask = 1
        self._since = 0
        self._integral = 0
        registers.lock(place.base, lambda: registers.value(place.csr) & _NOT_OFF != 0)
        registers.on_write(place.csr, self._switch, QueueCsr.en.mask)
        for register in (place.base, place.head, place.tail):
            registers.watch(register.offset, self._count)

    @property
    def enabled(self) -> bool:
        """Whether the queue is on, and meant to stay so."""
        return self.registers.value(self.place.csr) & _ENABLED == _ENABLED

    @property
    def stopped(self) -> bool:
        """Whether an error bit is set."""
        return self.registers.value(self.place.csr) & self.place.errors != 0

    @property
    def index(self) -> int:
        """The IOMMU's own index."""
        return int(self.registers.value(self.place.own))

    @property
    def full(self) -> bool:
        """Whether no further entry fits: the tail is just behind the head."""
        return self.depth == self._mask

    @property
    def occupancy(self) -> int:
        """The integral of the depth over time so far, in entries times picoseconds."""
        return self._integral + self.depth * (self.sim.now - self._since)

    @property
    def following(self) -> int:
        """Entries from the IOMMU's own index on that follow one another in memory."""
        return min(self.depth, self._mask + 1 - self.index)

    def address(self, index: int) -> int:
        """Where the entry `index` is in memory."""
        return self.registers.value(self.place.base).address + index * self.place.entry

    def advance(self) -> None:
        """Move the IOMMU's own index on by one entry."""
        if self._failed:
            self._failed.clear()
        self.registers.put(self.place.own, self.index + 1 & self._mask)

    def fail(self, **bits: int) -> None:
        """Set error bits."""
        for bit in bits:
            if not self._consumes or bit not in self._failed:
                self._failed[bit] = self.sim.now
            if self._told_of:
                self._told_of(QueueFailed(self.sim.now, self._iommu, self.place.name, bit, self.index))
        self.registers.change(self.place.csr, **bits)

    def errors(self) -> list[QueueError]:
        """The errors in which the queue stands.

        An error bit that software clears comes again as long as the command that caused it is not passed: in between
        the queue stands in that error as well.
        """
        place, csr = self.place, self.registers.value(self.place.csr)
        found = []
        for bit in error_bits(place):
            if place.csr.layout.FIELDS[bit].get(csr) or (self._consumes and self.depth and bit in self._failed):
                since = self._failed.get(bit, self.sim.now)
                found.append(QueueError(self._iommu, place.name, bit, since, self.depth))
        return found

    def _switch(self, old: Word, new: Word) -> None:
        was, is_ = QueueCsr(old).en, QueueCsr(new).en
        if was == is_:
            return
        rank = self._initiator.rank(Stage.REGISTER)
        if is_:
            self._put(new | QueueCsr.busy.mask)
            self.registers.put(self.place.own, 0)
            self._failed.clear()
            self.sim.at(self.sim.now + max(1, self._busy_ps), rank, lambda: self._turned(on=1))
        else:
            self._put(new | QueueCsr.busy.mask)
            self.sim.start(self._turn_off(), rank)

    def _turn_off(self) -> Routine:
        yield self._delay
        yield self.slot
        if self._unfinished is not None:
            yield self._unfinished
        self._turned(on=0)
        self.slot.release()

    def _turned(self, on: int) -> None:
        self._put(QueueCsr(self.registers.value(self.place.csr)).replace(on=on, busy=0))
        if self._used:
            place, base = self.place, self.registers.value(self.place.base)
            size = base.entries * place.entry if on else 0
            mode, fixed = "on" if on else "off", self.registers.reset.fixes(place.base)
            self._used(StructureUsed(self.sim.now, self._iommu, place.base.name, mode, base.address, size, fixed))

    def _put(self, csr: int) -> None:
        self.registers.put(self.place.csr, csr)

    def _count(self) -> None:
        value, place = self.registers.value, self.place
        now = self.sim.now
        self._mask = value(place.base).entries - 1
        depth = value(place.tail) - value(place.head) & self._mask
        if depth != self.depth:
            self._integral += self.depth * (now - self._since)
            self._since = now
            self.depth = depth
            if self._changed:
                self._changed(QueueDepth(now, self.path, depth))
