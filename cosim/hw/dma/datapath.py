"""The last step of a DMA transaction: its access of memory, at the address that it was translated to."""

from __future__ import annotations

from typing import Final

from cosim.events import DmaCommitted
from cosim.hw.dma.transaction import Status, Transaction
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, CountsFor, Port, Response
from cosim.spec.page import PAGE_LG2

_DATA: Final = CountsFor("memory", hop_part="link", wait_part="queue")
_STATUS = {
    Response.OK: Status.SUCCESS,
    Response.ACCESS_FAULT: Status.ACCESS_FAULT,
    Response.CORRUPT: Status.CORRUPT,
}


# Looked up once: up to Python 3.11 each look at a member of an enumeration costs as much as a call.
_WRITE: Final = AccessKind.WRITE
_READ: Final = AccessKind.READ
_REFUSED: Final = Response.ACCESS_FAULT


class DataPath:
    """Where transactions reach memory: by `port`, whose hops count for `link`.

    It shows `DmaCommitted`: what a device reads, or writes, by a page that leads where it led before is alike.
    """

    def __init__(self, sim: Sim, port: Port) -> None:
        self.sim = sim
        self.port = port
        self.committed = sim.probe(DmaCommitted)

    def begin(self, txn: Transaction) -> Access:
        """The access that reads or writes memory at ``txn.address``; when it has been made, `end` has to follow."""
        assert txn.address is not None
        access = Access(
            self.port,
            _WRITE if txn.write else _READ,
            txn.address,
            txn.size,
            _DATA,
            txn.words,
            agent=txn.agent,
            owner=txn.master,
        )
        if self.committed:
            access.on_commit = lambda done: self._report(txn, done)
        return access

    def end(self, txn: Transaction, access: Access) -> None:
        """Set the transaction's `status`, and its `words` if it reads."""
        txn.status = _STATUS[access.response]
        if not txn.write:
            txn.words = access.words

    def _report(self, txn: Transaction, access: Access) -> None:
        if access.response is _REFUSED:
            return
        iova, address = txn.iova, txn.address
        assert address is not None
        alike = (txn.master, iova >> PAGE_LG2, address - iova, txn.write)
        committed = self.committed
        if alike in committed.known:
            return
        committed.show(
            DmaCommitted(
                self.sim.now,
                txn.master,
                txn.device_id,
                txn.sequence,
                iova,
                address,
                txn.size,
                txn.write,
                txn.translated,
                self.port.path,
                txn.issued,
            ),
            alike,
        )
