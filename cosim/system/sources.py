"""Where in the source of a compiled driver the threads of a system are, and what its objects are there."""

from __future__ import annotations

import re
from collections.abc import Collection

from cosim.hw.cpu.cpu import Cpu
from cosim.hw.cpu.pending_writes import STORE
from cosim.sim.operations import Body
from cosim.sw.object_driver.machine import Machine
from cosim.sw.object_driver.standing import standing

_WORD = re.compile(r"[\w.-]*\w")
_PLACE = re.compile(r"[\w-]+\.[chS]:\d+")


class Sources:
    """Keeps `oracles.in_source.Source` for a loaded driver; looks only when it is asked."""

    def __init__(self, machine: Machine, cpus: Collection[Cpu]) -> None:
        self._machine = machine
        self._cpus = cpus

    def member(self, address: int) -> str:
        """See `Source`."""
        return self._machine.member_at(address)

    def stands(self, message: str, since_ps: int) -> str:
        """See `Source`: who has stored what takes hold now; else where who is named is, or what it has called last."""
        if _PLACE.search(message):
            return ""
        for cpu in self._cpus:
            slot = cpu.buffer.taking_hold
            if slot is not None and slot.op is not None and slot.op.place:
                verb = "stored" if slot.entry.kind == STORE else "written"
                return f" ({verb} by {slot.who} at {slot.op.place})"
        bodies = self._bodies()
        told = [self._of(name, bodies.get(name), since_ps) for name in dict.fromkeys(_WORD.findall(message))]
        found = ", ".join(filter(None, told))
        return f" ({found})" if found else ""

    def _bodies(self) -> dict[str, Body]:
        return {thread.name: thread.body for cpu in self._cpus for thread in cpu.all_threads}

    def _of(self, name: str, body: Body | None, since_ps: int) -> str:
        place = standing(body) if body is not None else ""
        if place:
            return f"{name} is at {place}"
        entry, returned = self._machine.returned.get(name, (0, -1))
        if not entry or returned < since_ps:
            return ""
        return f"{name} has returned from {self._machine.image.spot(entry)}"
