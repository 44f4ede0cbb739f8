"""A RISC-V IOMMU: registers, queues and the translation of DMA, wired together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cosim.hw.dma.datapath import DataPath
from cosim.hw.dma.transaction import Request, Status, Transaction
from cosim.hw.iommu.departures import Departures, Turn
from cosim.hw.iommu.fault_queue import FaultQueue
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.in_memory_queue import PQ, InMemoryQueue
from cosim.hw.iommu.interrupt_generation import InterruptGeneration
from cosim.hw.iommu.mode import ModeChange
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.parts import parts_of
from cosim.hw.iommu.pause import pause
from cosim.hw.iommu.queue_error import QueueError
from cosim.hw.iommu.registers import RegisterFile
from cosim.hw.iommu.translate.ledger import Epoch
from cosim.hw.iommu.translate.process import Translation
from cosim.hw.iommu.warl import Reset
from cosim.sim.component import Component
from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.task import Routine
from cosim.sim.transport import Port
from cosim.spec.faults import AtsAnswer
from cosim.spec.line import lines_of
from cosim.spec.registers import Capabilities

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

_STATUS = {AtsAnswer.SUCCESS: Status.SUCCESS, AtsAnswer.CA: Status.CA, AtsAnswer.UR: Status.UR}


class Iommu(Component):
    """The IOMMU at `path`, with its way to memory `port` and its interrupt wires ``wire(vector, level)``.

    `capabilities` and `reset` take the place of what `options` say about the register of that name and about
    hardwired bits. `registers` is what it puts on the bus; `transport` is what DMA masters use. Counters: `faults`
    of requests; those of its parts are in `counters`.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: IommuOptions,
        port: Port,
        *,
        wire: Callable[[int, bool], None],
        capabilities: Capabilities | None = None,
        reset: Reset | None = None,
    ) -> None:
        super().__init__(sim, path)
        timing = options.timing
        self.options = options
        self.registers = RegisterFile(sim, path, options, capabilities=capabilities, reset=reset)
        parts = parts_of(options)
        self.translation = Translation(sim, path, options, port, self.registers, parts)
        self.interrupts = InterruptGeneration(
            sim,
            path,
            self.registers,
            port,
            wire=wire,
            report=lambda fault: self.fault_queue.report(fault),
            delay_ps=timing.interrupt,
            write_ps=timing.write_start,
        )
        self.page_requests = InMemoryQueue(sim, path, self.registers, PQ, busy_ps=timing.busy, part="queue")
        self.fault_queue = FaultQueue(sim, path, options, self.registers, port, self.interrupts, parts.fault_buffer)
        invalidations = self.translation.invalidations
        commanded = parts.commanded(invalidations)
        self.commands = parts.commands(sim, path, options, self.registers, port, commanded, parts.order)
        self.mode = ModeChange(sim, path, self.registers, invalidations, busy_ps=timing.busy)
        self.data = DataPath(sim, port)
        self.faults = 0
        self._ledger = self.translation.ledger
        self._places = Gate(sim, options.geometry.in_flight, "place")
        reads_first = options.geometry.arbitration == "reads-first"
        self._waiting = (self._places, Gate(sim, 0, "place") if reads_first else self._places)
        """Where reads and writes wait for a place."""
        order = options.geometry.order
        self._departures = None if order == "any" else Departures(sim, order)
        self._inside = self._taken_ps = 0
        self._answer = pause("fault", timing.fault_answer)
        self._lookup = Server(timing.lookup_interval, "iotlb", latency_ps=timing.lookup, wait_part="lookup_wait")
        self._turnaround, self._turnaround_line = timing.turnaround, timing.turnaround_line
        self._turnaround_large = timing.turnaround_large
        self._keeps_place = options.geometry.place_until == "departure"
        self._initiator = sim.initiator(f"{path}.turnaround")
        self._limit = self.registers.capabilities.pas

    def transport(self, txn: Transaction) -> Routine:
        """Translate a request and make its access; sets ``txn.address``, ``txn.status`` and what it read."""
        if not self._places.take():
            yield self._waiting[txn.write]
        self._inside += 1
        self._taken_ps -= self.sim.now
        if txn.accepted is not None:
            txn.accepted()
        turn = None if self._departures is None else self._departures.enter(txn)
        yield self._lookup
        if self.sim.exploring:
            yield from self._issue(txn)
        held: Epoch | None = None
        refused: Fault | None = None
        try:
            miss = self.translation.translate(txn)
            if miss is not None:
                held = yield from self.translation.resolve(miss)
        except Fault as fault:
            refused = fault
        if refused is not None:
            yield from self._abort(txn, refused, turn)
            return
        assert txn.address is not None
        ledger, write = self._ledger, txn.write
        epoch = ledger.enter(write)  # also while it waits for its turn: it is translated, which a fence has to know
        if turn is None:
            self._leave(txn)
        elif self._keeps_place:
            yield from turn.wait()
            self._leave(txn)
        else:
            self._leave(txn)
            yield from turn.wait()
        if txn.address >> self._limit:
            txn.status = Status.ACCESS_FAULT
        else:
            access = self.data.begin(txn)
            yield access
            self.data.end(txn, access)
        ledger.leave(epoch, write)
        if held is not None:
            ledger.release(held)

    def translate(self, txn: Transaction) -> Routine:
        """Translate a request as `transport` does, and make no access."""
        if not self._places.take():
            yield self._waiting[txn.write]
        self._inside += 1
        self._taken_ps -= self.sim.now
        yield self._lookup
        if self.sim.exploring:
            yield from self._issue(txn)
        refused: Fault | None = None
        try:
            miss = self.translation.translate(txn)
            if miss is not None:
                held = yield from self.translation.resolve(miss)
                if held is not None:
                    self._ledger.release(held)
        except Fault as fault:
            refused = fault
        if refused is not None:
            yield from self._abort(txn, refused)
            return
        self._leave(txn)

    def counters(self) -> dict[str, int]:
        """Statistics by name, such as ``iotlb.hits``; all of them only ever grow."""
        translation = self.translation
        walker, directory = translation.walker, translation.directory
        found = {
            "requests": translation.requests,
            "faults": self.faults,
            "restarts": translation.restarts,
            "overtaken": translation.invalidations.overtaken,
            "merged": walker.merged,
            "merge_wait_ps": walker.merge_wait_ps,
            "walks": sum(table.walks for table in directory.tables.values()),
            "walk_reads": sum(table.reads for table in directory.tables.values()),
            "ddt_walks": directory.walks,
            "ddt_reads": directory.reads,
            "ad_updates": translation.resolver.ad_updates,
            "walkers.busy_ps": walker.busy_ps,
            "places.busy_ps": self._taken_ps + self._inside * self.sim.now,
            "lookup.busy_ps": self._lookup.busy_until(self.sim.now),
        }
        if walker.reading.interval_ps:
            found["table_reads.busy_ps"] = walker.reading.busy_until(self.sim.now)
            found["table_reads.waited_ps"] = walker.reading.waited_ps
        caches = {"iotlb": translation.iotlb.cache, "ddtc": directory.contexts, "ddt_nonleaf": directory.pointers}
        caches |= {f"nonleaf{level}": cache for level, cache in translation.pointers.levels.items()}
        for name, cache in caches.items():
            for what in ("hits", "misses", "fills", "evictions", "dropped"):
                found[f"{name}.{what}"] = getattr(cache, what)
        return found

    def queue_errors(self) -> list[QueueError]:
        """The errors in which its queues stand now."""
        queues = (self.commands.queue, self.fault_queue.queue, self.page_requests)
        return [error for queue in queues for error in queue.errors()]

    def _issue(self, txn: Transaction) -> Routine:
        """Wait until the schedule lets the look-up of a request take hold, as the action ``nic0.issue#n``."""
        master = txn.master or self.path
        yield from self.sim.actions.ask(
            f"{master}.issue", master, lambda: self.translation.footprint(txn), False, "iotlb"
        )

    def _abort(self, txn: Transaction, fault: Fault, turn: Turn | None = None) -> Routine:
        """Report a fault, and answer the request with what it earns it, in its turn."""
        self.faults += 1
        yield from self.fault_queue.report(fault, txn)
        txn.status, txn.cause = Status.UR, fault.cause
        if txn.request is Request.ATS and (answer := fault.cause.ats_answer) is not None:
            txn.status = _STATUS[answer]
        if turn is not None:
            yield from turn.wait()
        self._leave(txn)
        if self._answer is not None:
            yield self._answer

    def _leave(self, txn: Transaction) -> None:
        """Give the request's place to the next one, after the turnaround."""
        after = self._turnaround
        if (self._turnaround_line or self._turnaround_large) and not txn.write:
            lines = len(lines_of(txn.iova, txn.size))
            after += self._turnaround_line * (lines - 1) + (self._turnaround_large if lines > 2 else 0)
        if after <= 1:
            self._free()
        else:
            # The gate's own hand-over takes the last tick of it.
            rank = self._initiator.rank(Stage.TRANSACTION)
            self.sim.at(self.sim.now + after - 1, rank, self._free)

    def _free(self) -> None:
        self._inside -= 1
        self._taken_ps += self.sim.now
        reads, writes = self._waiting
        (reads if reads.waiting else writes if writes.waiting else self._places).release()
