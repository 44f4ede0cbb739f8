"""No fault is lost without a sign of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cosim.events import FaultRecorded, KernelEnded, RegisterWritten, RunEnded
from cosim.oracles.in_service import InService
from cosim.oracles.oracle import Oracle, cause_name, exact
from cosim.spec.register_map import DDTP, FQCSR
from cosim.spec.registers import Fqcsr


@dataclass(slots=True)
class _Off:
    """A fault queue that is off since then, with what is lost until it is on again."""

    since: int
    why: str = "its fault queue was not on"
    kind: str = "never turned on"
    first: FaultRecorded | None = None
    lost: int = 0
    ends: bool = False
    """Whether it was turned on again: from the next fault on that finds it on, nothing is lost any more."""
    may_leave: bool = False
    """Whether nothing counts as lost if the IOMMU leaves service before that."""


class LostFaults(Oracle):
    """Reports each fault that has no record though the fault queue was on and neither `fqof` nor `fqmf` says so.

    Software that finds both bits clear has seen every fault, but those that DTF keeps back. It also reports, once it is
    over or at the end, each time at which software has turned off the queue of an IOMMU in service, if faults were lost
    meanwhile: no bit says so. A queue that is off for a moment, as in a reset, loses nothing where no fault comes. An
    IOMMU that is led to Bare or Off behind that, or left to the next kernel, was being taken out of service. One
    that is in service though this kernel has not turned on its queue loses what comes until it does.

    Source: "Fault/Event-Queue (FQ)" (3.2), the bits of `fqcsr` (5.16), and the initialization that software is advised
    to make (6.2), by which the queue is on before `ddtp` leads to a directory.
    """

    name = "lost-faults"
    watches: ClassVar = {
        FaultRecorded: "found",
        RegisterWritten: "written",
        KernelEnded: "kernel_ended",
        RunEnded: "ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._in_service = self.book(InService)
        self._on: set[str] = set()
        """The IOMMUs whose queue software has turned on."""
        self._off: dict[str, _Off] = {}

    def found(self, event: FaultRecorded) -> None:
        fqcsr = Fqcsr(event.fqcsr)
        on, failed = fqcsr.fqen and fqcsr.fqon, fqcsr.fqof or fqcsr.fqmf
        off = self._off.get(event.who)
        if off is not None and off.ends and on:
            self._tell(event.who)
        if not event.reported or event.recorded or failed:
            return
        if on:
            self.violated(
                f"{event.who} recorded no fault {event.cause} of device {event.device_id} at IOVA {event.iova:#x}, by "
                f"{exact(event.time)}, though its fault queue was on and no error bit is set",
                event.time,
                event.time,
                signature=f"{cause_name(event.cause)} has no record",
            )
        elif off is not None or (event.who in self._in_service.iommus and event.who not in self._on):
            off = self._off.setdefault(event.who, _Off(event.time))
            off.first = off.first or event
            off.lost += 1

    def written(self, event: RegisterWritten) -> None:
        iommu = event.who
        if event.offset == FQCSR.offset:
            on, was_on = bool(event.value & Fqcsr.fqen.mask), iommu in self._on
            if on and iommu in self._off:
                self._off[iommu].ends = True
            if was_on and not on:
                self._tell(iommu)
                if iommu in self._in_service.iommus:
                    why = f"{event.by} has turned its fault queue off, at {exact(event.time)}"
                    self._off[iommu] = _Off(event.time, why, "turned off", may_leave=True)
            (self._on.add if on else self._on.discard)(iommu)
        elif event.offset == DDTP.offset and iommu in self._off and iommu not in self._in_service.iommus:
            self._leave(iommu)

    def kernel_ended(self, event: KernelEnded) -> None:
        for iommu in list(self._off):
            self._leave(iommu)
        self._on.clear()

    def ended(self, event: RunEnded) -> None:
        for iommu in list(self._off):
            self._tell(iommu)

    def _leave(self, iommu: str) -> None:
        """The IOMMU is out of service: if its queue was still off, that may have been on the way there."""
        if self._off[iommu].may_leave and not self._off[iommu].ends:
            del self._off[iommu]
        else:
            self._tell(iommu)

    def _tell(self, iommu: str) -> None:
        off = self._off.pop(iommu, None)
        if off is None or off.first is None:
            return
        first = off.first
        self.violated(
            f"{iommu} recorded no fault {first.cause} of device {first.device_id} at IOVA {first.iova:#x}, by "
            f"{exact(first.time)}{_and_more(off.lost - 1)}: {off.why}",
            first.time,
            off.since,
            signature=f"the fault queue of an IOMMU in service was {off.kind}",
        )


def _and_more(number: int) -> str:
    return f", nor {number:,} more" if number else ""
