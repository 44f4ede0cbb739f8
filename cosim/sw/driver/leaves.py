"""Leaves of page tables in memory, and what tells that they are cleared."""

from __future__ import annotations

from collections.abc import Callable

from cosim.events import LeafCleared
from cosim.spec.pagetable import Pte
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import WORD, Cell


class LeafWatch:
    """Tells of each leaf that a driver has cleared, once memory says so; only if the event has a listener."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._cleared = kernel.sim.probe(LeafCleared)

    def cleared(self, domain: str, iova: int, size: int, *way: Cell) -> Callable[[], None]:
        """A thread has stored to the entry that nothing is mapped there, or is about to; that may wait in its buffer.

        `way` leads to it, through those that may be cleared with all below them. What comes back is called if it is not
        cleared after all.
        """
        memory, addresses = self._kernel.pages.memory, [int(entry.address) for entry in way]
        stop: list[Callable[[], None]] = []

        def over() -> None:
            for each in stop:
                each()
            stop.clear()

        def tell() -> None:
            if all(memory.peek(address, WORD) & Pte.v.mask for address in addresses):
                return
            over()
            self._cleared(LeafCleared(self._kernel.sim.now, domain, domain, iova, size))

        if not self._cleared:
            return over
        if all(memory.peek(address, WORD) & Pte.v.mask for address in addresses):
            stop += [memory.watch(address, tell) for address in addresses]
        else:
            tell()
        return over
