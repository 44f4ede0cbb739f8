"""No fault is lost without a sign of it."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import FaultRecorded
from cosim.oracles.oracle import Oracle, cause_name, exact
from cosim.spec.registers import Fqcsr


class LostFaults(Oracle):
    """Reports each fault that has no record though the fault queue was on and neither `fqof` nor `fqmf` says so.

    Software that finds both bits clear has seen every fault, but those that DTF keeps back. Source: "Fault/Event-Queue
    (FQ)" (3.2), and the bits of `fqcsr` (5.16).
    """

    name = "lost-faults"
    watches: ClassVar = {FaultRecorded: "found"}

    def found(self, event: FaultRecorded) -> None:
        fqcsr = Fqcsr(event.fqcsr)
        on, failed = fqcsr.fqen and fqcsr.fqon, fqcsr.fqof or fqcsr.fqmf
        if event.reported and not event.recorded and on and not failed:
            self.violated(
                f"{event.who} recorded no fault {event.cause} of device {event.device_id} at IOVA {event.iova:#x}, by "
                f"{exact(event.time)}, though its fault queue was on and no error bit is set",
                event.time,
                event.time,
                signature=f"{cause_name(event.cause)} has no record",
            )
