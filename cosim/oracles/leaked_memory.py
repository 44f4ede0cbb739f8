"""Nothing is lost: at the end of a run, something points to all memory in use, and names each PSCID that is taken."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import KernelLog, Leaked, NumberLost
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.tags import Tags


class LeakedMemory(Oracle):
    """Reports each page and object that was allocated, not freed, and cannot be reached from anywhere at the end.

    What is quarantined is reachable, and so is what a thread holds that has not ended. After an oops nothing is
    judged: what the thread held that died of that is lost, and the oops is the violation.

    A PSCID that is taken is named by a domain, a bond or a tag in memory, or by a device context. It is judged where
    all threads have ended, and no fence is known to have failed: one whose flush is not known to be over stays taken on
    purpose.

    Source: "Kernel Memory Leak Detector" (Documentation/dev-tools/kmemleak.rst).
    """

    name = "leaked-memory"
    watches: ClassVar = {KernelLog: "logged", Leaked: "leaked", NumberLost: "number_lost"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._oops = False
        self._tags = self.book(Tags)

    def logged(self, event: KernelLog) -> None:
        self._oops = self._oops or event.level == "oops"

    def leaked(self, event: Leaked) -> None:
        if not self._oops:
            self.violated(
                f"nothing points to {event.address:#x} ({event.purpose}, {event.size} bytes) at the end, which "
                f"{event.who} allocated at {exact(event.allocated)}{f' ({event.place})' if event.place else ''}",
                event.time,
                event.allocated,
                signature=f"{event.purpose} is lost",
            )

    def number_lost(self, event: NumberLost) -> None:
        contexts = [each for (iommu, _), each in self._tags.contexts.items() if event.iommu in ("", iommu)]
        named = any(each.names is not None and each.names[0] == event.number for each in contexts)
        if not self._oops and not named:
            self.violated(
                f"{event.who}: nothing names {event.number} at the end, and it is not given back",
                event.time,
                event.time,
                signature="a PSCID is lost",
            )
