"""The part of every device that makes DMA requests."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from cosim.events import DmaDone, DmaIssued
from cosim.hw.dma.direct import Transport
from cosim.hw.dma.link import Link
from cosim.hw.dma.options import DmaOptions
from cosim.hw.dma.transaction import Status, Transaction
from cosim.sim.component import Component
from cosim.sim.gate import Gate
from cosim.sim.occupancy import Occupancy
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.task import Task


class Requester(Component):
    """The part of a device that makes DMA requests, at most `traffic.outstanding` at the same time.

    A request is *waiting* for a slot, then *outstanding*; a posted write returns its slot when the IO bridge has it,
    any other request when its completion is back. A fault ends a request like any other answer.
    """

    def __init__(self, sim: Sim, path: str, options: DmaOptions, device_id: int, transport: Transport) -> None:
        super().__init__(sim, path)
        self.options = options
        self.device_id = device_id
        self.transport = transport
        self.initiator = sim.initiator(path)
        self.link = Link(options)
        self.slots = Gate(sim, options.traffic.outstanding, "slot")
        self.occupancy = Occupancy()
        self.requests = [0, 0]
        """Reads and writes that are over."""
        self.bytes = [0, 0]
        """Bytes that were read and written."""
        self.statuses = [0] * len(Status)
        """How many ended with each status."""
        self._agent = f"{path}.dma"
        self._sequence = 0
        self._issued = sim.probe(DmaIssued)
        self._done = sim.probe(DmaDone)

    def request(
        self,
        iova: int,
        size: int,
        write: bool,
        *,
        has_slot: bool = False,
        purpose: str = "data",
        words: tuple[int, ...] = (),
        then: Callable[[Transaction], None] | None = None,
    ) -> Task:
        """Start a request, which waits for a slot unless it has one; `then` is called with it when it is over.

        A write without `words` carries a pattern that tells its device and number.
        """
        self._sequence = sequence = self._sequence + 1
        if write and not words:
            words = (self.device_id << 40 | sequence & 0xFF_FFFF_FFFF,) * (size + 7 >> 3)
        txn = Transaction(
            self.device_id,
            iova,
            size,
            write=write,
            words=words,
            master=self.path,
            agent=self._agent,
            sequence=sequence,
        )
        routine = self._carry_out(txn, has_slot, purpose, then)
        return self.sim.start(routine, self.initiator.rank(Stage.TRANSACTION), txn.parts)

    def _carry_out(
        self, txn: Transaction, has_slot: bool, purpose: str, then: Callable[[Transaction], None] | None
    ) -> Generator[Any, Any, None]:
        sim, link, write = self.sim, self.link, txn.write
        txn.issued = sim.now
        self.occupancy.enter(txn.issued)
        if not has_slot:
            yield self.slots
        if self._issued:
            self._issued(DmaIssued(sim.now, self.path, self.device_id, txn.sequence, txn.iova, txn.size, write))
        yield link.send(link.up, txn.size if write else 0)
        posted = write and self.options.posted
        if posted:
            self.slots.release()
        yield from self.transport(txn)
        if not posted:
            yield link.send(link.down, 0 if write or txn.status is not Status.SUCCESS else txn.size)
            self.slots.release()
        self._conclude(txn, purpose)
        if then is not None:
            then(txn)

    def _conclude(self, txn: Transaction, purpose: str) -> None:
        now = self.sim.now
        self.occupancy.leave(now, txn.issued, sum(txn.parts.values()))
        self.statuses[txn.status] += 1
        self.requests[txn.write] += 1
        if txn.status is Status.SUCCESS:
            self.bytes[txn.write] += txn.size
        if self._done:
            self._done(
                DmaDone(
                    now,
                    self.path,
                    self.device_id,
                    txn.sequence,
                    txn.iova,
                    txn.size,
                    txn.write,
                    txn.issued,
                    txn.status.name,
                    txn.parts,
                    purpose,
                )
            )

    def counters(self) -> dict[str, int]:
        """Statistics by name, such as ``reads``."""
        return {
            "reads": self.requests[False],
            "writes": self.requests[True],
            "bytes_read": self.bytes[False],
            "bytes_written": self.bytes[True],
            "faults": sum(self.requests) - self.statuses[Status.SUCCESS],
        }
