"""The id allocator (Linux, lib/idr.c, ida_alloc_range): always the lowest free id, so that a freed one is next."""

from __future__ import annotations

import errno
import heapq

from cosim.sim.operations import Amo, Atomic
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.services import Services


class Ida:
    """Ids from `lowest` to `highest`, both included.

    One atomic operation on its word stands for its lock: what is kept here changes at that instant alone.
    """

    __slots__ = ("_freed", "_kernel", "_next", "_taken", "_word", "highest", "lowest", "name")

    def __init__(self, kernel: Services, name: str, lowest: int, highest: int) -> None:
        if lowest > highest:
            raise ValueError(f"{name}: no id lies in {lowest} .. {highest}")
        self.name = name
        self.lowest = lowest
        self.highest = highest
        self._kernel = kernel
        self._word = kernel.static(8)
        self._next = lowest
        self._freed: list[int] = []
        self._taken: set[int] = set()

    @property
    def taken(self) -> frozenset[int]:
        """The ids in use; takes no time."""
        return frozenset(self._taken)

    async def alloc(self) -> int:
        """Take the lowest free id; KernelError ENOSPC if there is none."""
        await Atomic(Amo.ADD, self._word, 1, acquire=True)
        if self._freed:
            taken = heapq.heappop(self._freed)
        elif self._next <= self.highest:
            taken = self._next
            self._next += 1
        else:
            raise KernelError(errno.ENOSPC, f"{self.name}: all ids from {self.lowest} to {self.highest} are in use")
        self._taken.add(taken)
        return taken

    async def free(self, number: int) -> None:
        """Return an id; if the id is not in use, that is only warned of, as Linux does."""
        await Atomic(Amo.ADD, self._word, 1, release=True)
        if number not in self._taken:
            self._kernel.log("warning", f"{self.name}: id {number} was freed but is not in use")
            return
        self._taken.remove(number)
        heapq.heappush(self._freed, number)
