"""The fault queue (3.2 "Fault/Event-Queue"): what becomes of a fault once it is found."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from cosim.events import FaultRecorded
from cosim.hw.byte_order import both_orders
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.registers import RegisterFile
from cosim.hw.iommu.ring import FQ, Ring
from cosim.hw.transaction import Request, Transaction
from cosim.sim.component import Component
from cosim.sim.kernel import Stage
from cosim.sim.server import Gate, Server
from cosim.sim.transport import Access, Kind, Port, Response
from cosim.spec.faults import Permission, Ttyp
from cosim.spec.queues import FaultRecord
from cosim.spec.registers import Interrupt

if TYPE_CHECKING:
    from cosim.hw.iommu.interrupts import Interrupts
    from cosim.sim.kernel import Routine, Sim


def ttyp_of(txn: Transaction | None) -> Ttyp:
    """The transaction type of a fault record: 0 if no transaction caused the fault."""
    if txn is None:
        return Ttyp.NONE
    if txn.request is Request.ATS:
        return Ttyp.ATS_REQUEST
    permission = Permission.W if txn.write else Permission.X if txn.execute else Permission.R
    if txn.request is Request.TRANSLATED:
        return Ttyp.translated_for(permission)
    return Ttyp.untranslated_for(permission)


def record_of(fault: Fault, txn: Transaction | None) -> FaultRecord:
    """The entry that reports `fault` of `txn`. DID, PV, PID and PRIV are 0 if no transaction caused it."""
    if txn is None:
        return FaultRecord.of(cause=fault.cause, iotval=fault.iotval or 0, iotval2=fault.iotval2)
    process = {} if txn.process_id is None else {"pv": 1, "pid": txn.process_id, "priv": int(txn.privileged)}
    return FaultRecord.of(
        cause=fault.cause,
        ttyp=ttyp_of(txn),
        did=txn.device_id,
        iotval=txn.iova if fault.iotval is None else fault.iotval,
        iotval2=fault.iotval2,
        **process,
    )


class Buffered(NamedTuple):
    """A fault that waits for its record to be written."""

    fault: Fault
    txn: Transaction | None
    found: int


class FaultQueue(Component):
    """Writes one record for each fault, one after the other, each `write_ps` after it was found, and at the earliest
    `turnaround_ps` after the one before it.

    The specification leaves the order of record and response open. The request is answered when its record is
    written; with a `buffer`, while up to so many records are not written yet. A fault is lost while the queue is off,
    while an error bit is set, and if it is the one that sets `fqof` (the queue is full) or `fqmf` (memory refused the
    record). Defective hardware gives the buffer away while it waits: see ``defects.lose_buffered``, here `lose_ps`.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        registers: RegisterFile,
        port: Port,
        interrupts: Interrupts,
        *,
        busy_ps: int,
        write_ps: int = 0,
        turnaround_ps: int = 0,
        buffer: int = 0,
        lose_ps: int = 0,
    ) -> None:
        super().__init__(sim, f"{path}.fq")
        self.iommu = path
        self.registers = registers
        self.ports = both_orders(port)
        self.interrupts = interrupts
        self.ring = Ring(sim, path, registers, FQ, busy_ps=busy_ps, part="fault")
        self.causes: Counter[int] = Counter()
        """Faults found, by cause, whether or not they were recorded."""
        self.recorded = 0
        self.lost = 0
        """Faults that should have been recorded and were not."""
        self._write_ps, self._turnaround_ps, self._lose_ps = write_ps, turnaround_ps, lose_ps
        self._buffer = Gate(sim, buffer, "fault") if buffer else None
        self._waiting: deque[Buffered] = deque()
        self._writing = False
        """Whether somebody writes what is buffered."""
        self._holds_place = False
        """Whether the fault whose record is being written still has its place in the buffer."""
        self._idle_at = 0
        """When the next record can be begun."""
        self._next_loss: int | None = None
        """When the next buffered fault is lost, if memory has not answered by then."""
        self._nobody_lost_at = -1
        """When one would have been lost, but for lack of any; who comes at that very time is lost, too."""
        self._engine = Server(0, "fault")
        self._initiator = sim.initiator(self.path)
        self._seen = sim.probe(FaultRecorded)

    def report(self, fault: Fault, txn: Transaction | None = None) -> Routine:
        """Record `fault` of `txn`, if it is to be recorded and can be; with a buffer, have that done later."""
        self.causes[fault.cause] += 1
        if not fault.reported:
            self._tell(fault, txn, recorded=False)
        elif self._buffer is None:
            yield self.ring.slot
            self._result(fault, txn, (yield from self._write(record_of(fault, txn), self.sim.now)))
            self.ring.slot.release()
        else:
            yield from self._keep(fault, txn, self._buffer)

    # --- What is buffered --------------------------------------------------------------------------------------------

    def _keep(self, fault: Fault, txn: Transaction | None, buffer: Gate) -> Routine:
        self._lose(self.sim.now - 1)
        if not buffer.take():
            yield buffer
            if self._lose_ps:
                buffer.release()
                self._result(fault, txn, written=False)
                return
        if self._nobody_lost_at == self.sim.now:
            self._free(self.sim.now + self._lose_ps)
            self._result(fault, txn, written=False)
            return
        self._waiting.append(Buffered(fault, txn, self.sim.now))
        if not self._writing:
            self._writing = True
            self.sim.start(self._write_out(), self._initiator.rank(Stage.TRANSACTION))

    def _write_out(self) -> Routine:
        yield self.ring.slot
        while self._waiting:
            fault, txn, found = self._waiting.popleft()
            self._holds_place = True
            written = yield from self._write(record_of(fault, txn), found)
            if self._holds_place:
                self._free(self._idle_at)
            self._result(fault, txn, written)
        self._writing = False
        self.ring.slot.release()

    def _free(self, at: int) -> None:
        """Free a place of the buffer; the gate's own hand-over takes the last tick until `at`."""
        assert self._buffer is not None
        if at - 1 <= self.sim.now:
            self._buffer.release()
        else:
            self.sim.at(at - 1, self._initiator.rank(Stage.TRANSACTION), self._buffer.release)

    def _lose(self, until: int) -> None:
        """Lose what defective hardware has given away by `until`."""
        while self._next_loss is not None and self._next_loss <= until:
            if self._waiting and self._waiting[0].found <= self._next_loss:
                fault, txn, _ = self._waiting.popleft()
                self._result(fault, txn, written=False)
                self._free(self._next_loss + self._lose_ps)
            else:
                self._nobody_lost_at = self._next_loss
            self._next_loss += self._lose_ps

    # --- Records -----------------------------------------------------------------------------------------------------

    def _result(self, fault: Fault, txn: Transaction | None, written: bool) -> None:
        self.recorded += written
        self.lost += not written
        self._tell(fault, txn, recorded=written)

    def _tell(self, fault: Fault, txn: Transaction | None, *, recorded: bool) -> None:
        if self._seen:
            device_id, iova = (txn.device_id, txn.iova) if txn else (0, fault.iotval or 0)
            fqcsr = int(self.registers.fqcsr)
            self._seen(
                FaultRecorded(
                    self.sim.now,
                    self.iommu,
                    device_id,
                    fault.cause,
                    iova,
                    ttyp_of(txn),
                    recorded,
                    fault.reported,
                    fqcsr,
                )
            )

    def _write(self, record: FaultRecord, found: int) -> Routine:
        """Write the record of a fault that was found at a time; whether that succeeded."""
        ring = self.ring
        if not ring.enabled or ring.stopped:
            return False
        if ring.full:
            ring.fail(fqof=1)
            return False
        wait = max(found, self._idle_at) + self._write_ps - self.sim.now
        if wait > 0:
            yield self._engine.taking(0, wait)
        access = Access(
            self.ports[self.registers.fctl.be],
            Kind.WRITE,
            ring.address(ring.index),
            FaultRecord.SIZE,
            "fault",
            record.words(),
            agent=f"{self.iommu}.record",
            owner=self.path,
        )
        if self._lose_ps and self._buffer is not None:
            self._next_loss = self.sim.now + 2 * self._lose_ps
            self._free(self._next_loss)
            self._holds_place = False
        yield access
        self._lose(self.sim.now)
        self._next_loss = None
        self._idle_at = self.sim.now + self._turnaround_ps
        if access.response is Response.ACCESS_FAULT:
            ring.fail(fqmf=1)
            return False
        ring.advance()
        self.interrupts.record_produced(Interrupt.FQ)
        return True
