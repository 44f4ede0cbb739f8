"""The fault queue (3.2 "Fault/Event-Queue"): what becomes of a fault once it is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from cosim.events import FaultRecorded
from cosim.hw.dma.transaction import Request, Transaction
from cosim.hw.iommu.fault_buffer import FaultBuffer
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.in_memory_queue import FQ, InMemoryQueue
from cosim.hw.iommu.memory_port import MemoryPort
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.registers import RegisterFile
from cosim.sim.component import Component
from cosim.sim.server import Server
from cosim.sim.task import Routine, Subroutine
from cosim.sim.transport import Access, AccessKind, Port, Response
from cosim.spec.faults import Permission, Ttyp
from cosim.spec.queues import FaultRecord
from cosim.spec.register_map import FQCSR, FQH
from cosim.spec.registers import Interrupt

if TYPE_CHECKING:
    from cosim.hw.iommu.interrupt_generation import InterruptGeneration
    from cosim.sim.simulation import Sim


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
    """Writes one record for each fault, one after the other, each `write_start` and its beats after it was found, and
    at the earliest `record_turnaround` after the one before it.

    The specification leaves the order of record and response open. The request is answered when its record is
    written; with a `fault_buffer`, while up to so many records are not written yet. A fault is lost while the queue is
    off, while an error bit is set, and if it is the one that sets `fqof` (the queue is full) or `fqmf` (memory refused
    the record).
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: IommuOptions,
        registers: RegisterFile,
        port: Port,
        interrupts: InterruptGeneration,
        buffer: Callable[[FaultQueue, int], FaultBuffer] = FaultBuffer,
    ) -> None:
        super().__init__(sim, f"{path}.fq")
        timing = options.timing
        self.iommu = path
        self.registers = registers
        self.memory = MemoryPort(port, self.path, hop_part="", wait_part="")
        self.interrupts = interrupts
        self.queue = InMemoryQueue(sim, path, registers, FQ, busy_ps=timing.busy, part="fault")
        self.causes: Counter[int] = Counter()
        """Faults found, by cause, whether or not they were recorded."""
        self.recorded = 0
        self.lost = 0
        """Faults that should have been recorded and were not."""
        self.kept_back = 0
        """Faults that are not to be recorded, since the device's context sets DTF."""
        self.idle_at = 0
        """When the next record can be begun."""
        self._writing_since = -1
        """When the record was begun that is being written; -1 if none is."""
        self._written_ps = 0
        self._write_ps = timing.write_start + (FaultRecord.DWORDS - 1) * timing.beat
        self._turnaround_ps = timing.record_turnaround
        self._engine = Server(0, "fault")
        self._seen = sim.probe(FaultRecorded)
        places = options.geometry.fault_buffer
        self._buffer = buffer(self, places) if places else None

    @property
    def idle(self) -> bool:
        """Whether no fault is being recorded, or waits for that."""
        return self.queue.slot.free == 1 and (self._buffer is None or self._buffer.empty)

    @property
    def busy_ps(self) -> int:
        """How long records were being written up to now, with the turnaround behind each."""
        now = self.sim.now
        writing = max(0, now - self._writing_since) if self._writing_since >= 0 else 0
        return self._written_ps - max(0, self.idle_at - now) + writing

    def report(self, fault: Fault, txn: Transaction | None = None) -> Routine:
        """Record `fault` of `txn`, if it is to be recorded and can be; with a buffer, have that done later."""
        self.causes[fault.cause] += 1
        if not fault.reported:
            self.kept_back += 1
            self._tell(fault, txn, recorded=False)
        elif self._buffer is not None:
            yield from self._buffer.keep(fault, txn)
        else:
            yield self.queue.slot
            yield from self.record(fault, txn, self.sim.now)
            self.queue.slot.release()

    def record(self, fault: Fault, txn: Transaction | None, found: int) -> Routine:
        """Record a fault that was found at a time, or lose it; the caller has the slot of the queue."""
        access = yield from self.begin(fault, txn, found)
        if access is not None:
            yield access
            self.end(access, fault, txn)

    def begin(self, fault: Fault, txn: Transaction | None, found: int) -> Subroutine[Access | None]:
        """Wait until the record can be written, and return that write; None if the queue loses the fault."""
        queue = self.queue
        if not queue.enabled or queue.stopped:
            self.lose(fault, txn)
            return None
        if queue.full:
            queue.fail(fqof=1)
            self.lose(fault, txn)
            return None
        self._writing_since = max(found, self.idle_at)
        wait = self._writing_since + self._write_ps - self.sim.now
        if wait > 0:
            yield self._engine.taking(0, wait)
        access = self.memory.access(
            AccessKind.WRITE,
            queue.address(queue.index),
            FaultRecord.SIZE,
            "fault",
            record_of(fault, txn).words(),
            big_endian=self.registers.fctl.be,
            agent=f"{self.iommu}.record",
        )
        if self.sim.exploring:
            access.touches = ((self.iommu, FQH.name), (self.iommu, FQCSR.name))
        return access

    def end(self, access: Access, fault: Fault, txn: Transaction | None) -> None:
        """Memory has answered the write."""
        self.idle_at = self.sim.now + self._turnaround_ps
        self._written_ps += self.idle_at - self._writing_since
        self._writing_since = -1
        if access.response is Response.ACCESS_FAULT:
            self.queue.fail(fqmf=1)
            self.lose(fault, txn)
        else:
            self.queue.advance()
            self.interrupts.record_produced(Interrupt.FQ)
            self.recorded += 1
            self._tell(fault, txn, recorded=True)

    def lose(self, fault: Fault, txn: Transaction | None) -> None:
        """A fault that should be recorded will not be."""
        self.lost += 1
        self._tell(fault, txn, recorded=False)

    def _tell(self, fault: Fault, txn: Transaction | None, *, recorded: bool) -> None:
        if self._seen:
            device_id, iova = (txn.device_id, txn.iova) if txn else (0, fault.iotval or 0)
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
                    int(self.registers.fqcsr),
                )
            )
