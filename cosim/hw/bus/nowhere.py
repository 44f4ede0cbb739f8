"""What answers where nothing is."""

from __future__ import annotations

from cosim.sim.transport import Access, AccessKind, Response, Target


class Nowhere(Target):
    """Answers where nothing is: it refuses after one tick, and reads as all ones."""

    def arrive(self, access: Access, now: int) -> int:
        """Nothing to wait for."""
        return now

    def commit(self, access: Access) -> None:
        """Refuse."""
        access.response = Response.ACCESS_FAULT
        if access.kind is not AccessKind.WRITE:
            bits = 8 * min(access.size, 8)
            access.words = ((1 << bits) - 1,) * max(1, access.size // 8)

    def peek(self, address: int, size: int) -> int:
        """All ones."""
        return (1 << 8 * size) - 1

    def poke(self, address: int, size: int, value: int) -> None:
        """Nothing changes."""


NOWHERE = Nowhere()
