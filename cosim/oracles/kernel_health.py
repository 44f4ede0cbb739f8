"""The kernel does not die: no oops, no lock taken in the wrong order, no sleep where none is allowed."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import KernelLog
from cosim.oracles.oracle import Oracle


class KernelHealth(Oracle):
    """Reports each message of level ``oops``; its warnings and errors are results, not violations."""

    name = "kernel"
    watches: ClassVar = {KernelLog: "logged"}

    def logged(self, event: KernelLog) -> None:
        if event.level == "oops":
            self.violated(f"{event.who}: {event.text}", event.time, event.time)
