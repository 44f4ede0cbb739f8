"""No device that is in a domain is refused for its context for good."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import Attached, Attaching, DmaDone, KernelEnded, RunEnded
from cosim.oracles.oracle import Oracle, cause_name, exact, span
from cosim.spec.faults import Cause

OF_THE_CONTEXT = frozenset(
    {
        Cause.ALL_INBOUND_DISALLOWED,
        Cause.DDT_LOAD_ACCESS_FAULT,
        Cause.DDT_NOT_VALID,
        Cause.DDT_MISCONFIGURED,
        Cause.TTYP_DISALLOWED,
        Cause.DDT_DATA_CORRUPTION,
    }
)
"""What has nothing to do with the address of a request: only software can end it."""


class EndlessFaults(Oracle):
    """Reports, at the end of a run or of a kernel, each device that the core has in a domain, and that may do nothing.

    Since some request all others have been refused as well, for what their device's context is or for the way to it.
    That request was issued once the stores of the device's attach had taken hold, and no walk was under way that had
    read before them. If an attach has begun since and has not ended well, it may still be under way: then the device
    has been refused for longer than a call may take without getting on. A device in the blocked domain is refused by
    design.

    Source: "Process to translate an IOVA" (2.3), whose first steps look at nothing but the `device_id`.
    """

    name = "endless-faults"
    watches: ClassVar = {
        Attaching: "attaching",
        Attached: "attached",
        DmaDone: "done",
        KernelEnded: "kernel_ended",
        RunEnded: "ended",
    }
    of_failures = True

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._domain: dict[str, tuple[str, int]] = {}
        """The domain that each device is in, and since when."""
        self._entering: set[str] = set()
        self._refused: dict[str, tuple[int, int, int]] = {}
        """Of each device whose last request was refused so: the issue of the first of these in a row, how many they
        are, and the cause of the last one."""

    def attaching(self, event: Attaching) -> None:
        self._entering.add(event.device)
        self._refused.pop(event.device, None)

    def attached(self, event: Attached) -> None:
        self._domain[event.device] = event.domain, event.time
        self._entering.discard(event.device)
        self._refused.pop(event.device, None)

    def done(self, event: DmaDone) -> None:
        if event.cause not in OF_THE_CONTEXT:
            if self._refused:
                self._refused.pop(event.who, None)
            return
        domain, entered = self._domain.get(event.who, ("", 0))
        if domain and event.issued >= entered + self.bounds.store_ps + self.bounds.answer_ps:
            first, count, _ = self._refused.get(event.who, (event.issued, 0, 0))
            self._refused[event.who] = first, count + 1, event.cause

    def kernel_ended(self, event: KernelEnded) -> None:
        self.ended(event)
        for known in (self._domain, self._entering, self._refused):
            known.clear()

    def ended(self, event: RunEnded | KernelEnded) -> None:
        for device, (first, count, cause) in self._refused.items():
            lasts = event.time - first
            if device in self._entering and lasts <= self.bounds.call_ps:
                continue
            self.violated(
                f"{device} is in {self._domain[device][0]}, and each of its {count:,} requests since {exact(first)} was"
                f" refused, for {span(lasts)} by now: {cause_name(cause)}",
                event.time,
                first,
                signature=cause_name(cause),
            )
