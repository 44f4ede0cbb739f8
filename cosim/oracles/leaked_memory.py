"""No memory is lost: at the end of a run, something points to whatever is in use."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import KernelLog, Leaked
from cosim.oracles.oracle import Oracle, exact


class LeakedMemory(Oracle):
    """Reports each page and object that was allocated, not freed, and cannot be reached from anywhere at the end.

    What is quarantined is reachable, and so is what a thread holds that has not ended. After an oops nothing is
    judged: what the thread held that died of that is lost, and the oops is the violation.

    Source: "Kernel Memory Leak Detector" (Documentation/dev-tools/kmemleak.rst).
    """

    name = "leaked-memory"
    watches: ClassVar = {KernelLog: "logged", Leaked: "leaked"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._oops = False

    def logged(self, event: KernelLog) -> None:
        self._oops = self._oops or event.level == "oops"

    def leaked(self, event: Leaked) -> None:
        if not self._oops:
            self.violated(
                f"nothing points to {event.address:#x} ({event.purpose}, {event.size} bytes) at the end, which "
                f"{event.who} allocated at {exact(event.allocated)}",
                event.time,
                event.allocated,
                signature=f"{event.purpose} is lost",
            )
