"""The part of every device that makes DMA requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cosim.events import DmaDone, DmaIssued, DmaSpent
from cosim.hw.dma.direct import Transport
from cosim.hw.dma.link import Link
from cosim.hw.dma.options import DeviceOptions, PaceOptions
from cosim.hw.dma.told_parts import ToldParts
from cosim.hw.dma.transaction import Status, Transaction
from cosim.sim.component import Component
from cosim.sim.gate import Gate
from cosim.sim.occupancy import Occupancy
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.spent import part_number
from cosim.sim.task import Routine, Task

_SLOT: Final = part_number("slot")
_NAMES: Final = [status.name for status in Status]
"""Of each status."""


# Looked up once: up to Python 3.11 each look at a member of an enumeration costs as much as a call.
_SUCCESS: Final = Status.SUCCESS


class Requester(Component):
    """The part of a device that makes DMA requests, at most `pace.outstanding` at the same time.

    A request *waits* in the device for a slot, which is the device's `backlog`; then it is *in flight*, which counts
    for `occupancy`, until it is over. Its slot comes back with its completion; that of a posted write does when the
    way to memory accepts the write. No more than `buffer` writes (any number, if None) are beyond their slots: what is
    accepted above that keeps its slot until another such write is over. A fault ends a request like any other answer.
    With several `device_ids` each request has the next one of them, and the first one follows the last.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: DeviceOptions,
        pace: PaceOptions,
        device_ids: Sequence[int],
        transport: Transport,
        *,
        buffer: int | None = None,
    ) -> None:
        super().__init__(sim, path)
        self.options = options
        self._posts_writes = options.posted
        self.device_ids = tuple(device_ids)
        self.transport = transport
        self.initiator = sim.initiator(path)
        self.link = Link(options)
        self.pace = pace
        self.buffer = buffer
        self.slots = Gate(sim, pace.outstanding, "slot")
        self.occupancy = Occupancy()
        self.backlog = Occupancy()
        self.requests = [0, 0]
        """Reads and writes that are over."""
        self.bytes = [0, 0]
        """Bytes that were read and written."""
        self.offered = 0
        """Bytes of the requests that were made, whether they had a slot or waited for one."""
        self.statuses = [0] * len(Status)
        """How many ended with each status."""
        self._agent = f"{path}.dma"
        self._sequence = 0
        self._accepted = 0
        """Posted writes that the way to memory has accepted, and that are not over."""
        self._issued = sim.probe(DmaIssued)
        self._spent = sim.probe(DmaSpent)
        self._done = sim.probe(DmaDone)

    def request(
        self,
        iova: int,
        size: int,
        write: bool,
        *,
        has_slot: bool = False,
        room: Gate | None = None,
        purpose: str = "data",
        words: tuple[int, ...] = (),
        then: Callable[[Transaction], None] | None = None,
    ) -> Task:
        """Start a request, which waits for a slot unless it has one; `then` is called with it when it is over.

        Where those that wait have places, `room` gets one back as soon as this one waits no longer.

        A write without `words` carries a pattern that tells its device and number.
        """
        self._sequence = sequence = self._sequence + 1
        self.offered += size
        device_id = self.device_ids[(sequence - 1) % len(self.device_ids)]
        if write and not words:
            words = (device_id << 40 | sequence & 0xFF_FFFF_FFFF,) * (size + 7 >> 3)
        txn = Transaction(
            device_id,
            iova,
            size,
            write=write,
            words=words,
            master=self.path,
            agent=self._agent,
            sequence=sequence,
        )
        routine = self._carry_out(txn, has_slot, room, purpose, then)
        task = self.sim.start(routine, self.initiator.rank(Stage.TRANSACTION), txn.spent)
        if self._spent:
            task.told = ToldParts(self.sim, self._spent, self.path, sequence, issued=self.sim.now + 1)
        return task

    def _carry_out(
        self,
        txn: Transaction,
        has_slot: bool,
        room: Gate | None,
        purpose: str,
        then: Callable[[Transaction], None] | None,
    ) -> Routine:
        sim, link, write = self.sim, self.link, txn.write
        txn.issued = sim.now
        if not has_slot and not self.slots.take():
            self.backlog.enter(txn.issued)
            yield self.slots
            self.backlog.leave(sim.now, txn.issued, txn.spent[_SLOT])
        if not has_slot and room is not None:
            room.release()
        begun = sim.now
        self.occupancy.enter(begun)
        if self._issued:
            self._issued(DmaIssued(sim.now, self.path, txn.device_id, txn.sequence, txn.iova, txn.size, write))
        yield link.send(link.up, txn.size if write else 0)
        posted = write and self._posts_writes
        if posted:
            txn.accepted = self._accept
        yield from self.transport(txn)
        if posted:
            self._settle()
        else:
            yield link.send(link.down, 0 if write or txn.status is not _SUCCESS else txn.size)
            self.slots.release()
        self._conclude(txn, begun, purpose)
        if then is not None:
            then(txn)

    def _accept(self) -> None:
        """A posted write is with the IOMMU, or with memory; it needs its slot no longer, if there is room for it."""
        self._accepted += 1
        if self.buffer is None or self._accepted <= self.buffer:
            self.slots.release()

    def _settle(self) -> None:
        """A posted write is over, and its room goes to one that still has a slot."""
        if self.buffer is not None and self._accepted > self.buffer:
            self.slots.release()
        self._accepted -= 1

    def _conclude(self, txn: Transaction, begun: int, purpose: str) -> None:
        now = self.sim.now
        self.occupancy.leave(now, begun, sum(txn.spent) - txn.spent[_SLOT])
        statuses, requests, moved, write = self.statuses, self.requests, self.bytes, txn.write
        statuses[txn.status] = statuses[txn.status] + 1  # as `+=` it would be compiled to calls of Python's
        requests[write] = requests[write] + 1
        if txn.status is _SUCCESS:
            moved[write] = moved[write] + txn.size
        if self._done:
            over = DmaDone(
                now,
                self.path,
                txn.device_id,
                txn.sequence,
                txn.iova,
                txn.size,
                txn.write,
                txn.issued,
                _NAMES[txn.status],
                txn.parts,
                purpose,
                txn.cause,
            )
            for watcher in self._done:  # as the probe itself does, a call less for each request
                watcher(over)

    def counters(self) -> dict[str, int]:
        """Statistics by name, such as ``reads``.

        ``refused`` counts the requests that an IOMMU stopped, ``bus_errors`` those that failed behind it, and
        ``failed`` both.
        """
        refused = self.statuses[Status.UR] + self.statuses[Status.CA]
        failed = sum(self.requests) - self.statuses[_SUCCESS]
        return {
            "reads": self.requests[False],
            "writes": self.requests[True],
            "read_bytes": self.bytes[False],
            "written_bytes": self.bytes[True],
            "offered_bytes": self.offered,
            "failed": failed,
            "refused": refused,
            "bus_errors": failed - refused,
        }
