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

    def cleared(self, domain: str, iova: int, size: int, entry: Cell) -> None:
        """A thread has stored to `entry` that nothing is mapped there; the store may still wait in its buffer."""
        if not self._cleared:
            return
        memory, address = self._kernel.pages.memory, int(entry.address)
        stop: list[Callable[[], None]] = []

        def tell() -> None:
            if memory.peek(address, WORD) & Pte.v.mask:
                return
            for each in stop:
                each()
            self._cleared(LeafCleared(self._kernel.sim.now, domain, domain, iova, size))

        if memory.peek(address, WORD) & Pte.v.mask:
            stop.append(memory.watch(address, tell))
        else:
            tell()
