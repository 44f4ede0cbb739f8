"""Loops that wait for registers: their vain rounds are skipped once there have been many.

A loop that has read the same registers `ROUNDS` times, with the same values and without doing anything else, waits:
from then on it reads again when one of them changes, or when another part, 1 / `SHARE`, of the time that it has waited
has passed. So what it waits for is seen in time, and its own time-out a little late.
"""

from __future__ import annotations

from cosim.sim.operations import Op, Poll, PollEither

ROUNDS = 64
"""Vain reads of each register, before any is skipped."""
SHARE = 256
"""The part of its waiting time by which a loop is late in seeing that time is up, once or twice that."""
MOST = 2
"""Registers of one loop; one that reads more is not taken for a wait."""


class Wait:
    """What a hart has read since it last did something else."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], int] = {}
        self._rounds = 0
        self._since = 0
        self._whole = 0

    def over(self) -> None:
        """The hart does something else."""
        self._rounds = self._whole = 0
        self._seen.clear()

    def read(self, address: int, size: int, value: int, now: int) -> None:
        """The hart has read a register."""
        before = self._seen.get((address, size))
        if before is None and len(self._seen) < MOST and not self._rounds:
            if not self._seen:
                self._since = now
        elif before != value:
            self.over()
            self._since = now
        else:
            self._rounds += 1
        self._seen[address, size] = value

    def skipped(self, now: int, part: str) -> Op[int] | Op[tuple[int, int]] | None:
        """What stands for the rounds that would be in vain; None while there have been few."""
        if self._rounds < max(self._whole, ROUNDS * len(self._seen)) or not self._seen:
            return None
        self._whole = self._rounds + len(self._seen)
        limit = max(1, (now - self._since) // SHARE)
        polls = [
            Poll(address, value, size, timeout_ps=limit, part=part) for (address, size), value in self._seen.items()
        ]
        return PollEither(*polls) if len(polls) == MOST else polls[0]
