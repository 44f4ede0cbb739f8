"""A DMA device that works on a ring of descriptors; `spec.descriptor_ring` says what driver and device do in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from cosim.hw.dma.bursts import Bursts
from cosim.hw.dma.direct import Transport
from cosim.hw.dma.options import RingOptions
from cosim.hw.dma.register_block import RegisterBlock
from cosim.hw.dma.requester import Requester
from cosim.hw.dma.traffic import gaps, split
from cosim.hw.dma.transaction import Status, Transaction
from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from cosim.sim.task import Routine, Subroutine
from cosim.spec.bits import Word
from cosim.spec.descriptor_ring import (
    BASE,
    CONTROL,
    HEAD,
    REGISTERS,
    STATUS,
    TAIL,
    Descriptor,
    RingBase,
    RingControl,
    RingHead,
    RingIndex,
    RingStatus,
)
from cosim.spec.pagetable import PAGE_LG2
from cosim.spec.register_map import Register


class RingRegisters(RegisterBlock):
    """The registers of a ring, by the meaning of what they hold."""

    def __init__(
        self, sim: Sim, path: str, access_ps: int, written: Callable[[Register[Word], int, int], None]
    ) -> None:
        super().__init__(sim, path, REGISTERS, access_ps, written)

    @property
    def base(self) -> RingBase:
        """Where the ring is."""
        return RingBase(self.value(BASE))

    @property
    def head(self) -> int:
        """The entry that the device reads next."""
        return RingHead(self.value(HEAD)).index

    @property
    def tail(self) -> int:
        """The entry after the last one that is posted."""
        return RingIndex(self.value(TAIL)).index & (1 << self.base.size_lg2) - 1

    @property
    def control(self) -> RingControl:
        """What software wants."""
        return RingControl(self.value(CONTROL))

    @property
    def status(self) -> RingStatus:
        """What has happened."""
        return RingStatus(self.value(STATUS))


class RingMaster(Requester):
    """A device that moves data to or from the buffers that a driver posts; `wire` is its interrupt.

    With an `interval` it is paced: each packet takes the next descriptor, and is *dropped* if none is posted.
    Without, it works on every descriptor as soon as it is posted. A packet that is received has `size` bytes,
    or as many as its buffer takes. Several descriptors are worked on at once and may end out of order.
    """

    options: RingOptions

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: RingOptions,
        device_ids: Sequence[int],
        transport: Transport,
        *,
        buffer: int | None = None,
        wire: Callable[[bool], None] = lambda level: None,
    ) -> None:
        super().__init__(sim, path, options, options.pace, device_ids, transport, buffer=buffer)
        self.registers = RingRegisters(sim, path, options.register_access, self._on_write)
        self.wire = wire
        self.packets = self.dropped = 0
        bursts = Bursts.of(options.pace, sim.chooser.stream(f"{path}.bursts"))
        self._gap = gaps(options.pace, sim.chooser.stream(f"{path}.traffic"), bursts)
        self._doorbell = Gate(sim, 0, "order")
        self._in_work = 0
        self._level = False
        self._abandoned = False

    def counters(self) -> dict[str, int]:
        """Statistics by name, such as ``packets``."""
        return super().counters() | {"packets": self.packets, "dropped": self.dropped}

    # --- Registers -------------------------------------------------------------------------------------------------

    def _on_write(self, register: Register[Word], old: int, written: int) -> None:
        registers = self.registers
        if register is CONTROL:
            self._abandoned = bool(registers.control.abandon)
            if self._abandoned:
                registers.put(CONTROL, 0)
        if register is BASE and registers.control.en:
            registers.put(BASE, old)
        elif register is CONTROL and registers.control.en and not RingControl(old).en:
            registers.put(HEAD, 0)
            registers.put(TAIL, 0)
            if not registers.status.on:
                registers.put(STATUS, registers.status.replace(on=1))
                self.sim.start(self._work(), self.initiator.rank(Stage.TRANSACTION))
        self._drive()
        self._doorbell.flush()

    def _drive(self) -> None:
        """Bring the wire to the level that the registers ask for."""
        level = bool(self.registers.status.ip and self.registers.control.ie)
        if level != self._level:
            self._level = level
            later = self.sim.now + max(1, self.options.link)
            self.sim.at(later, self.initiator.rank(Stage.INTERRUPT), lambda: self.wire(level))

    def _set(self, **fields: int) -> None:
        self.registers.put(STATUS, self.registers.status.replace(**fields))
        self._drive()

    # --- The ring ----------------------------------------------------------------------------------------------------

    def _work(self) -> Routine:
        """Take descriptors from the ring until it is disabled and the last one is done."""
        registers, clock = self.registers, Server(0, "order")
        left = self.options.requests
        while registers.control.en or self._in_work:
            if not registers.control.en or left == 0:
                yield self._doorbell
            elif self._gap is not None:
                yield clock.taking(0, self._gap())
                if self._posted():
                    self._take()
                    left = None if left is None else left - 1
                else:
                    self.dropped += registers.control.en
            elif self._posted():
                self._take()
                left = None if left is None else left - 1
            else:
                yield self._doorbell
        self._set(on=0)

    def _posted(self) -> bool:
        """Whether there is a descriptor to take."""
        registers = self.registers
        return bool(registers.control.en and not registers.status.fault and registers.head != registers.tail)

    def _take(self) -> None:
        """Begin to work on the next descriptor."""
        registers = self.registers
        head = registers.head
        registers.put(HEAD, (head + 1) % (1 << registers.base.size_lg2))
        self._in_work += 1
        entry = (registers.base.page << PAGE_LG2) + Descriptor.SIZE * head
        self.sim.start(self._packet(entry), self.initiator.rank(Stage.TRANSACTION))

    def _packet(self, entry: int) -> Routine:
        """Work on the descriptor at the IOVA `entry`."""
        fetched = yield from self._transfers([(entry, Descriptor.SIZE)], write=False, purpose="fetch")
        if fetched.failed:
            self._end(fault=True)
            return
        descriptor = Descriptor.from_words(fetched.words)
        size = min(descriptor.size, self.options.size) if descriptor.write else descriptor.size
        moved = yield from self._transfers(split(descriptor.buffer, size), write=bool(descriptor.write))
        done = descriptor.replace(size=0 if moved.failed else size, done=1, fault=moved.failed)
        status = yield from self._transfers([(entry + 8, 8)], write=True, purpose="status", words=done[1:])
        self.packets += not status.failed
        self._end(fault=status.failed, interrupt=bool(descriptor.interrupt))

    def _end(self, *, fault: bool, interrupt: bool = False) -> None:
        self._in_work -= 1
        if fault:
            self._set(fault=1)
        elif interrupt:
            self._set(ip=1)
        self._doorbell.flush()

    def _transfers(
        self, pieces: Iterable[tuple[int, int]], *, write: bool, purpose: str = "data", words: tuple[int, ...] = ()
    ) -> Subroutine[_Outcome]:
        """Make requests for all `pieces`, and wait until the last one is over."""
        outcome = _Outcome(self.sim)
        for iova, size in pieces:
            if self._abandoned:
                outcome.failed = True
                break
            outcome.left += 1
            self.request(iova, size, write, purpose=purpose, words=words, then=outcome.note)
        if outcome.left:
            yield outcome.over
        return outcome


class _Outcome:
    """Several requests of which the last one to end lets a routine go on."""

    def __init__(self, sim: Sim) -> None:
        self.left = 0
        self.failed = False
        self.words: tuple[int, ...] = ()
        self.over = Gate(sim, 0, "order")

    def note(self, txn: Transaction) -> None:
        self.left -= 1
        self.failed |= txn.status is not Status.SUCCESS
        self.words = tuple(txn.words)
        if not self.left:
            self.over.flush()
