"""A `Gate`: a counted set of slots, or a wait for something to happen, handed over in order of arrival."""

from __future__ import annotations

from collections import deque

from cosim.sim.clock import Clock
from cosim.sim.demand import Demand
from cosim.sim.spent import part_number
from cosim.sim.task import Task


class Gate(Demand):
    """A counted set of slots; who finds none waits, and is served in order of arrival, ties by rank.

    States: *free* (`free` > 0, and then nobody waits) or *closed* (`free` == 0, any number wait).

    * a slot: ``Gate(sim, 4, part)``; ``yield gate`` takes one, ``gate.release()`` returns it or hands it to the
      first waiter, who goes on one tick later;
    * a merged wait: ``Gate(sim, 0, part)``; ``gate.open()`` lets everybody through, from then on as well.
    """

    __slots__ = ("_open", "executor", "free", "part", "slots", "waiting")

    def __init__(self, sim: Clock, slots: int, part: str) -> None:
        self.executor = sim.executor
        self.slots = slots
        self.free = slots
        self.part = part_number(part)
        self.waiting: deque[Task] = deque()
        self._open = False

    def take(self) -> bool:
        """Take a slot if one is free; a plain call, which never waits."""
        if self._open:
            return True
        if self.free:
            self.free -= 1
            return True
        return False

    def release(self) -> None:
        """Return a slot, or hand it to the first waiter."""
        if self.waiting:
            self.executor.resume(self.waiting.popleft())
        elif self.free < self.slots:
            self.free += 1
        else:
            raise RuntimeError(f"a slot was returned to a gate of {self.slots} that lent none")

    def open(self) -> None:
        """Let everybody through, in order of arrival, and whoever comes later without a wait."""
        self._open = True
        self.flush()

    def shut(self) -> None:
        """Close a gate again that `open` opened."""
        self._open = False

    def flush(self) -> None:
        """Let through all who wait at this moment, and nobody later."""
        executor = self.executor
        while self.waiting:
            executor.resume(self.waiting.popleft())
