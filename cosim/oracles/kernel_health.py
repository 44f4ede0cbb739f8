"""The kernel does not die: no oops, no lock taken in the wrong order, no sleep where none is allowed."""

from __future__ import annotations

import re
from typing import ClassVar

from cosim.events import KernelLog
from cosim.oracles.oracle import Oracle

_PARTICULARS = re.compile(r"'[^']*'|0x[0-9a-f]+|\b[a-z_]+\d+[\w.-]*|\b\d+\b")
"""What a message names: quoted names, addresses, parts and threads, numbers."""


class KernelHealth(Oracle):
    """Reports each message of level ``oops``; its warnings and errors are results, not violations."""

    name = "kernel"
    watches: ClassVar = {KernelLog: "logged"}

    def logged(self, event: KernelLog) -> None:
        if event.level == "oops":
            signature = _PARTICULARS.sub("...", event.text)
            self.violated(f"{event.who}: {event.text}{event.more}", event.time, event.time, signature=signature)
