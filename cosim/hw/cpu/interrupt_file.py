"""The interrupt file of a CPU, which turns writes into messages (AIA, "Incoming MSI Controller")."""

from __future__ import annotations

from typing import ClassVar, Protocol

from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, Response, Target


class Messaged(Protocol):
    """Who takes messages: a CPU."""

    def message(self, vector: int) -> None:
        """A message for `vector` has come in."""


class InterruptFile(Target):
    """The page of one CPU that messages are written to (AIA, "Incoming MSI Controller": `seteipnum_le`, at offset 0).

    Only naturally aligned writes of 4 bytes to that register do anything; all else in the page is refused.
    """

    SIZE: ClassVar = 4096

    def __init__(self, sim: Sim, path: str, base: int, cpu: Messaged) -> None:
        self.sim = sim
        self.path = path
        self.base = base
        self.cpu = cpu
        self.messages = 0

    def arrive(self, access: Access, now: int) -> int:
        """Nothing queues here."""
        return now

    def commit(self, access: Access) -> None:
        """Pass the written number on as a vector; 0 is none."""
        if access.address != self.base or access.size != 4:
            access.response = Response.ACCESS_FAULT
            return
        if access.kind is AccessKind.WRITE:
            self.messages += 1
            if access.value:
                self.cpu.message(access.value)
        else:
            access.words = (0,)

    def peek(self, address: int, size: int) -> int:
        """Reads as 0."""
        return 0

    def poke(self, address: int, size: int, value: int) -> None:
        """Like a write."""
        if address == self.base and value:
            self.cpu.message(value)
