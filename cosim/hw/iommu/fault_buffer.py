"""Where faults wait for their records after their requests have been answered."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.faults import Fault
from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage

if TYPE_CHECKING:
    from cosim.hw.iommu.fault_queue import FaultQueue
    from cosim.sim.task import Routine


class Buffered(NamedTuple):
    """A fault that waits for its record to be written."""

    fault: Fault
    txn: Transaction | None
    found: int


class FaultBuffer:
    """Up to so many faults of a queue; each has its place until the turnaround behind its record is over."""

    def __init__(self, queue: FaultQueue, places: int) -> None:
        self._queue = queue
        self._sim = queue.sim
        self._places = Gate(queue.sim, places, "fault")
        self._waiting: deque[Buffered] = deque()
        self._writing = False
        """Whether somebody writes what is buffered."""
        self._initiator = queue.sim.initiator(queue.path)

    @property
    def empty(self) -> bool:
        """Whether every place is free."""
        return self._places.free == self._places.slots

    def keep(self, fault: Fault, txn: Transaction | None) -> Routine:
        """Take a fault in, once there is a place."""
        if not self._places.take():
            yield self._places
        self._put(fault, txn)

    def _put(self, fault: Fault, txn: Transaction | None) -> None:
        self._waiting.append(Buffered(fault, txn, self._sim.now))
        if not self._writing:
            self._writing = True
            self._sim.start(self._write_out(), self._initiator.rank(Stage.TRANSACTION))

    def _write_out(self) -> Routine:
        yield self._queue.queue.slot
        while self._waiting:
            yield from self._record(self._waiting.popleft())
        self._writing = False
        self._queue.queue.slot.release()

    def _record(self, fault: Buffered) -> Routine:
        yield from self._queue.record(*fault)
        self._free(self._queue.idle_at)

    def _free(self, at: int) -> None:
        """Free a place; the gate's own hand-over takes the last tick until `at`."""
        if at - 1 <= self._sim.now:
            self._places.release()
        else:
            self._sim.at(at - 1, self._initiator.rank(Stage.TRANSACTION), self._places.release)


class LosingBuffer(FaultBuffer):
    """The buffer of hardware with the defect `lose_buffered`, which gives faults away while it waits for memory.

    Two times `lose_ps` after the write of a record has begun, and each `lose_ps` from then on until memory answers, the
    fault goes that has waited longest, or who comes at that very time. What is being written has no place from the
    first of these times on; who finds no place waits for one, and is lost.
    """

    def __init__(self, queue: FaultQueue, places: int, *, lose_ps: int) -> None:
        super().__init__(queue, places)
        self._lose_ps = lose_ps
        self._next_loss: int | None = None
        """When the next fault is lost, if memory has not answered by then."""
        self._nobody_lost_at = -1
        """When one would have been lost, but for lack of any."""

    def keep(self, fault: Fault, txn: Transaction | None) -> Routine:
        """Take a fault in, or lose it."""
        self._lose(self._sim.now - 1)
        if not self._places.take():
            yield self._places
            self._places.release()
            self._queue.lose(fault, txn)
        elif self._nobody_lost_at == self._sim.now:
            self._free(self._sim.now + self._lose_ps)
            self._queue.lose(fault, txn)
        else:
            self._put(fault, txn)

    def _record(self, fault: Buffered) -> Routine:
        access = yield from self._queue.begin(*fault)
        if access is None:
            self._free(self._queue.idle_at)
            return
        self._next_loss = self._sim.now + 2 * self._lose_ps
        self._free(self._next_loss)
        yield access
        self._lose(self._sim.now)
        self._next_loss = None
        self._queue.end(access, fault.fault, fault.txn)

    def _lose(self, until: int) -> None:
        """Lose what has been given away by `until`."""
        while self._next_loss is not None and self._next_loss <= until:
            if self._waiting and self._waiting[0].found <= self._next_loss:
                fault, txn, _ = self._waiting.popleft()
                self._queue.lose(fault, txn)
                self._free(self._next_loss + self._lose_ps)
            else:
                self._nobody_lost_at = self._next_loss
            self._next_loss += self._lose_ps
