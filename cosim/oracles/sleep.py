"""No thread sleeps where it must keep its CPU: in an RCU read section, under a spinlock, with interrupts masked."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import FellAsleep
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.readers import Readers


class Sleep(Oracle):
    """Reports each thread that leaves its CPU to sleep where it may not, whatever it waits for there.

    The kernel's own check asks before what may sleep, and stands in the log; this one sees the sleep itself.

    Source: might_sleep (include/linux/kernel.h), and "Review Checklist for RCU Patches"
    (Documentation/RCU/checklist.rst), 2 and 7.
    """

    name = "sleep"
    watches: ClassVar = {FellAsleep: "asleep"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._readers = self.book(Readers)

    def asleep(self, event: FellAsleep) -> None:
        why = event.why_not or ("in an RCU read section" if event.who in self._readers.since else "")
        if why:
            since = self._readers.since.get(event.who, event.time)
            self.violated(f"{event.who} sleeps {why}, at {exact(event.time)}", event.time, since, signature=why)
