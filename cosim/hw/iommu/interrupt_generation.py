"""The IOMMU's own interrupts: `ipsr`, and the wires or messages that follow it (5.18, 5.27, 5.28)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from cosim.events import InterruptRaised
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.memory_port import MemoryPort
from cosim.hw.iommu.pause import pause
from cosim.hw.iommu.registers import RegisterFile
from cosim.sim.component import Component
from cosim.sim.ranks import Stage
from cosim.sim.task import Routine
from cosim.sim.transport import AccessKind, Port, Response
from cosim.spec.faults import Cause
from cosim.spec.register_map import (
    CQCSR,
    FCTL,
    FQCSR,
    ICVEC,
    IPSR,
    MSI_ADDR,
    MSI_DATA,
    MSI_VEC_CTL,
    PQCSR,
    Register,
)
from cosim.spec.registers import Cqcsr, Fqcsr, Interrupt, MsiVecCtl, Pqcsr, QueueCsr

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

VECTORS = 16
NAMES = {Interrupt.CQ: "cip", Interrupt.FQ: "fip", Interrupt.PM: "pmip", Interrupt.PQ: "pip"}
"""The bit of `ipsr` that each cause sets."""

CONDITIONS: dict[Interrupt, tuple[Register[Cqcsr] | Register[Fqcsr] | Register[Pqcsr], int]] = {
    Interrupt.CQ: (CQCSR, Cqcsr.of(cqmf=1, cmd_to=1, cmd_ill=1, fence_w_ip=1)),
    Interrupt.FQ: (FQCSR, Fqcsr.of(fqmf=1, fqof=1)),
    Interrupt.PQ: (PQCSR, Pqcsr.of(pqmf=1, pqof=1)),
}
"""The bits of a queue's CSR that keep its interrupt pending as long as they are 1 and interrupts are enabled."""


class InterruptGeneration(Component):
    """Keeps `ipsr` and drives what it stands for.

    With fctl.WSI=1 a pending bit is a level on the wire of its vector: ``wire(vector, level)`` is called
    ``timing.interrupt`` after each change. With fctl.WSI=0 a bit that rises sends a message, once its vector is not
    masked. `report` is the generator that records the fault of a message that memory refused.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        registers: RegisterFile,
        port: Port,
        *,
        wire: Callable[[int, bool], None],
        report: Callable[[Fault], Routine],
        delay_ps: int,
        write_ps: int = 0,
    ) -> None:
        super().__init__(sim, f"{path}.interrupts")
        self.iommu = path
        self.registers = registers
        self.memory = MemoryPort(port, self.path)
        self.wire = wire
        self.report = report
        self.delay_ps = delay_ps
        self._write = pause("memory", write_ps)
        self.counts: Counter[str] = Counter()
        """How often each bit of `ipsr` rose."""
        self._initiator = sim.initiator(self.path)
        self._raised = sim.probe(InterruptRaised)
        self._levels = [False] * VECTORS
        self._withheld: set[int] = set()
        for register, _ in CONDITIONS.values():
            registers.watch(register.offset, self._check)
        registers.watch(IPSR.offset, self._check)
        for offset in (IPSR.offset, ICVEC.offset, FCTL.offset):
            registers.watch(offset, self._drive)
        for vector, control in MSI_VEC_CTL.items():
            registers.on_write(control, self._when_unmasked(vector))

    def record_produced(self, source: Interrupt) -> None:
        """A queue that the IOMMU fills has a further entry."""
        csr, _ = CONDITIONS[source]
        if QueueCsr(self.registers.value(csr)).ie:
            self.raise_(source)

    def raise_(self, source: Interrupt) -> None:
        """Set the bit of `ipsr`; if it rises, interrupt."""
        if self.registers.ipsr & source.pending:
            return
        vector = source.vector(self.registers.icvec)
        by_wire = bool(self.registers.fctl.wsi)
        self.counts[NAMES[source]] += 1
        if self._raised:
            self._raised(InterruptRaised(self.sim.now, self.iommu, NAMES[source], vector, not by_wire))
        self.registers.put(IPSR, self.registers.ipsr | source.pending)
        if not by_wire:
            self._message(vector)

    def _check(self) -> None:
        """A condition that holds sets its bit, also at once after software has cleared it."""
        for source, (register, conditions) in CONDITIONS.items():
            csr = self.registers.value(register)
            if QueueCsr(csr).ie and csr & conditions:
                self.raise_(source)

    # --- Wires -----------------------------------------------------------------------------------------------------

    def _drive(self) -> None:
        high = set()
        if self.registers.fctl.wsi:
            high = {s.vector(self.registers.icvec) for s in Interrupt if self.registers.ipsr & s.pending}
        for vector in range(VECTORS):
            level = vector in high
            if level != self._levels[vector]:
                self._levels[vector] = level
                self._signal(vector, level)

    def _signal(self, vector: int, level: bool) -> None:
        rank = self._initiator.rank(Stage.INTERRUPT)
        self.sim.at(self.sim.now + max(1, self.delay_ps), rank, lambda: self.wire(vector, level))

    # --- Messages --------------------------------------------------------------------------------------------------

    def _message(self, vector: int) -> None:
        if self.registers.value(MSI_VEC_CTL[vector]).m:
            self._withheld.add(vector)
        else:
            address = int(self.registers.value(MSI_ADDR[vector]))
            data = int(self.registers.value(MSI_DATA[vector]))
            self.sim.start(self._send(address, data), self._initiator.rank(Stage.INTERRUPT))

    def _when_unmasked(self, vector: int) -> Callable[[MsiVecCtl, MsiVecCtl], None]:
        def hook(old: MsiVecCtl, new: MsiVecCtl) -> None:
            if not new.m and vector in self._withheld:
                self._withheld.remove(vector)
                self._message(vector)

        return hook

    def _send(self, address: int, data: int) -> Routine:
        agent, big_endian = f"{self.iommu}.msi", self.registers.fctl.be
        access = self.memory.access(AccessKind.WRITE, address, 4, "memory", (data,), big_endian=big_endian, agent=agent)
        if self._write is not None:
            yield self._write
        yield access
        if access.response is Response.ACCESS_FAULT:
            yield from self.report(Fault(Cause.MSI_WRITE_ACCESS_FAULT, iotval=address))
