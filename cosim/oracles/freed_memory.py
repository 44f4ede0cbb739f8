"""Nobody touches freed memory: no thread, no device and no page walker."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import FreedTouched
from cosim.oracles.oracle import Oracle, exact, span


class FreedMemory(Oracle):
    """Reports each access to poisoned memory, naming both sides: who touched it, and who had freed it when."""

    name = "freed-memory"
    watches: ClassVar = {FreedTouched: "touched"}

    def touched(self, event: FreedTouched) -> None:
        verb = "wrote" if event.write else "read"
        self.violated(
            f"{event.who} {verb} {event.address:#x} ({event.what}), "
            f"at {exact(event.time)}, {span(event.time - event.freed)} after {event.freed_by} had freed it",
            event.time,
            event.freed,
            signature=f"{event.by} {verb} {event.what}",
        )
