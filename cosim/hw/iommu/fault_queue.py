"""The fault queue (3.2 "Fault/Event-Queue"): what becomes of a fault once it is found."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cosim.events import FaultRecorded
from cosim.hw.byte_order import both_orders
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.registers import RegisterFile
from cosim.hw.iommu.ring import FQ, Ring
from cosim.hw.iommu.walk import pause
from cosim.hw.transaction import Request, Transaction
from cosim.sim.component import Component
from cosim.sim.kernel import Stage
from cosim.sim.server import Gate
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


class FaultQueue(Component):
    """Writes one record for each fault, one after the other, each after `write_ps`.

    The specification leaves the order of record and response open. The request is answered when its record is
    written; with a `buffer`, while up to so many records are not written yet. A fault is lost while the queue is off,
    while an error bit is set, and if it is the one that sets `fqof` (the queue is full) or `fqmf` (memory refused the
    record).
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
        buffer: int = 0,
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
        self._buffer = Gate(sim, buffer, "fault") if buffer else None
        # What is buffered comes by its own routine or by a gate, which takes the first tick of the write.
        self._before = pause("fault", write_ps - 1 if buffer and write_ps else write_ps)
        self._initiator = sim.initiator(self.path)
        self._seen = sim.probe(FaultRecorded)

    def report(self, fault: Fault, txn: Transaction | None = None) -> Routine:
        """Record `fault` of `txn`, if it is to be recorded and can be; with a buffer, have that done later."""
        self.causes[fault.cause] += 1
        if not fault.reported:
            self._tell(fault, txn, recorded=False)
        elif self._buffer is None:
            yield from self._record(fault, txn)
        else:
            yield self._buffer
            self.sim.start(self._record_later(fault, txn, self._buffer), self._initiator.rank(Stage.TRANSACTION))

    def _record_later(self, fault: Fault, txn: Transaction | None, buffer: Gate) -> Routine:
        yield from self._record(fault, txn)
        buffer.release()

    def _record(self, fault: Fault, txn: Transaction | None) -> Routine:
        yield self.ring.slot
        written = yield from self._write(record_of(fault, txn))
        self.ring.slot.release()
        self.recorded += written
        self.lost += not written
        self._tell(fault, txn, recorded=written)

    def _tell(self, fault: Fault, txn: Transaction | None, *, recorded: bool) -> None:
        if self._seen:
            device_id, iova = (txn.device_id, txn.iova) if txn else (0, fault.iotval or 0)
            self._seen(FaultRecorded(self.sim.now, self.iommu, device_id, fault.cause, iova, ttyp_of(txn), recorded))

    def _write(self, record: FaultRecord) -> Routine:
        ring = self.ring
        if not ring.enabled or ring.stopped:
            return False
        if ring.full:
            ring.fail(fqof=1)
            return False
        if self._before is not None:
            yield self._before
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
        yield access
        if access.response is Response.ACCESS_FAULT:
            ring.fail(fqmf=1)
            return False
        ring.advance()
        self.interrupts.record_produced(Interrupt.FQ)
        return True
