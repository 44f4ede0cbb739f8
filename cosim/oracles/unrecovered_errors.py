"""An error that stops a queue is recovered from: cleared in time, and not met again by the same entry."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import CommandExecuted, InterruptRaised, QueueFailed, RegisterWritten, RunEnded
from cosim.oracles.oracle import Oracle, exact, span
from cosim.spec.register_map import CQCSR, FQCSR
from cosim.spec.registers import Cqcsr, Fqcsr

SOURCES = {"cq": "cip", "fq": "fip", "pq": "pip"}
CSRS = {CQCSR.offset: ("cq", Cqcsr), FQCSR.offset: ("fq", Fqcsr)}


class UnrecoveredErrors(Oracle):
    """Reports an error of a command queue that the same command meets again once it was cleared, once for each command.

    It also reports an error that stands at the end although software has had its interrupt, and as much time as its
    longest wait takes.

    Source: "Command-Queue (CQ)" (3.1) and the bits of `cqcsr` and `fqcsr` (5.15, 5.16): clearing `cmd_ill` executes the
    command at `cqh` again.
    """

    name = "unrecovered-error"
    watches: ClassVar = {
        QueueFailed: "failed",
        InterruptRaised: "raised",
        RegisterWritten: "written",
        CommandExecuted: "executed",
        RunEnded: "ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._standing: dict[tuple[str, str, str], tuple[int, int]] = {}
        """The errors that stand, by IOMMU, queue and bit: since when, and since when software knows, or -1."""
        self._met: dict[str, set[tuple[str, int]]] = {}
        """The errors of each command queue since it last executed a command."""

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

    def written(self, event: RegisterWritten) -> None:
        if event.offset in CSRS and self._standing:
            queue, layout = CSRS[event.offset]
            for place in list(self._standing):
                if place[:2] == (event.who, queue) and layout.FIELDS[place[2]].get(event.value):
                    del self._standing[place]

    def executed(self, event: CommandExecuted) -> None:
        if self._met:
            self._met.pop(event.who, None)

    def ended(self, event: RunEnded) -> None:
        for (iommu, queue, bit), (since, known) in self._standing.items():
            if known >= 0 and event.time - known > self.bounds.call_ps:
                self.violated(
                    f"{iommu}.{queue}csr.{bit} stands at the end, since {exact(since)}, {span(event.time - known)} "
                    "after its interrupt",
                    event.time,
                    since,
                    signature=f"{queue}csr.{bit} is never cleared",
                )
