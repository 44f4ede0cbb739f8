"""An error that stops a queue is recovered from: cleared in time, and not met again by the same entry.

An interrupt is cleared by who serves it.
"""

from __future__ import annotations

from typing import ClassVar

from cosim.events import (
    CommandExecuted,
    InterruptRaised,
    InterruptServed,
    KernelEnded,
    QueueFailed,
    RegisterRead,
    RegisterWritten,
    RunEnded,
)
from cosim.oracles.oracle import Oracle, exact, span
from cosim.spec.register_map import CQCSR, CQH, FQCSR, FQH, FQT, IPSR
from cosim.spec.registers import Cqcsr, Fqcsr, Interrupt

SOURCES = {"cq": "cip", "fq": "fip", "pq": "pip"}
CSRS = {CQCSR.offset: ("cq", Cqcsr), FQCSR.offset: ("fq", Fqcsr)}
OF_SERVICE = {CQCSR.offset: "cip", CQH.offset: "cip", FQCSR.offset: "fip", FQH.offset: "fip", FQT.offset: "fip"}
"""The registers that whoever serves an interrupt reads or writes: of the queue that it tells of."""
PENDING = {"cip": Interrupt.CQ.pending, "fip": Interrupt.FQ.pending}


class UnrecoveredErrors(Oracle):
    """Reports an error of a command queue that the same command meets again once it was cleared, once for each command.

    It also reports an error that stands at the end although software has had its interrupt, and as much time as its
    longest wait takes; and a bit of `ipsr` that stands at the end of a run or of a kernel although a handler has
    come to its end that had begun since the bit was set, and that has looked at the queue. By wire that handler runs
    again and again, and by message never more.

    Source: "Command-Queue (CQ)" (3.1) and the bits of `cqcsr`, `fqcsr` and `ipsr` (5.15, 5.16, 5.18): clearing
    `cmd_ill` executes the command at `cqh` again.
    """

    name = "unrecovered-error"
    watches: ClassVar = {
        QueueFailed: "failed",
        InterruptRaised: "raised",
        InterruptServed: "served",
        RegisterRead: "touched",
        RegisterWritten: "written",
        KernelEnded: "kernel_ended",
        CommandExecuted: "executed",
        RunEnded: "ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._standing: dict[tuple[str, str, str], tuple[int, int]] = {}
        """The errors that stand, by IOMMU, queue and bit: since when, and since when software knows, or -1."""
        self._met: dict[str, set[tuple[str, int]]] = {}
        """The errors of each command queue since it last executed a command."""
        self._pending: dict[tuple[str, str], int] = {}
        """Since when each bit of `ipsr` is set, by IOMMU and name."""
        self._touched: dict[tuple[str, str, str], int] = {}
        """When a thread has last looked at the queue of such a bit: by IOMMU, bit and thread."""
        self._left: dict[tuple[str, str], tuple[int, str]] = {}
        """When the first handler has left such a bit as it was, and which."""

    def failed(self, event: QueueFailed) -> None:
        self._standing.setdefault((event.who, event.queue, event.bit), (event.time, -1))
        if event.queue != "cq":
            return
        met, error = self._met.setdefault(event.who, set()), (event.bit, event.index)
        if error in met and ("told", event.index) not in met:
            met.add(("told", event.index))
            self.violated(
                f"{event.who}: the command in slot {event.index} meets {event.bit} again at {exact(event.time)}: "
                "the error was cleared, and the command is still there",
                event.time,
                event.time,
                signature=f"{event.bit} was cleared and comes again",
            )
        met.add(error)

    def raised(self, event: InterruptRaised) -> None:
        for place, (since, known) in self._standing.items():
            if place[0] == event.who and SOURCES[place[1]] == event.source and known < 0:
                self._standing[place] = since, event.time

        if event.source in PENDING:
            self._pending[event.who, event.source] = event.time

    def touched(self, event: RegisterRead | RegisterWritten) -> None:
        if self._pending and event.offset in OF_SERVICE:
            self._touched[event.who, OF_SERVICE[event.offset], event.by] = event.time

    def served(self, event: InterruptServed) -> None:
        for place, since in self._pending.items():
            if since < event.began <= self._touched.get((*place, event.who), -1):
                self._left.setdefault(place, (event.time, event.who))

    def written(self, event: RegisterWritten) -> None:
        self.touched(event)
        if event.offset == IPSR.offset:
            for source, bit in PENDING.items():
                if event.value & bit:
                    self._pending.pop((event.who, source), None)
                    self._left.pop((event.who, source), None)
        if event.offset in CSRS and self._standing:
            queue, layout = CSRS[event.offset]
            for place in list(self._standing):
                if place[:2] == (event.who, queue) and layout.FIELDS[place[2]].get(event.value):
                    del self._standing[place]

    def executed(self, event: CommandExecuted) -> None:
        if self._met:
            self._met.pop(event.who, None)

    def kernel_ended(self, event: KernelEnded) -> None:
        self._judge_interrupts(event.time)
        for known in (self._pending, self._touched, self._left):
            known.clear()

    def _judge_interrupts(self, now: int) -> None:
        for (iommu, bit), (left, who) in self._left.items():
            since = self._pending[iommu, bit]
            if left < now - self.bounds.store_ps:
                self.violated(
                    f"{iommu}.ipsr.{bit} stands at the end, since {exact(since)}, though {who} has served the queue, "
                    f"and was done at {exact(left)}",
                    now,
                    since,
                    signature=f"ipsr.{bit} is never cleared",
                )

    def ended(self, event: RunEnded) -> None:
        self._judge_interrupts(event.time)
        for (iommu, queue, bit), (since, known) in self._standing.items():
            if known >= 0 and event.time - known > self.bounds.call_ps:
                self.violated(
                    f"{iommu}.{queue}csr.{bit} stands at the end, since {exact(since)}, {span(event.time - known)} "
                    "after its interrupt",
                    event.time,
                    since,
                    signature=f"{queue}csr.{bit} is never cleared",
                )
