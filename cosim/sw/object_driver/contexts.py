"""Where the device contexts and the leaves of a driver stand, found in memory as the hardware finds them.

Nothing here takes time: it is for those who watch (`ContextChanged`, `LeafCleared`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from cosim.events import LeafCleared
from cosim.spec.pagetable import PAGE_LG2, Pte
from cosim.spec.translation import Fsc
from cosim.sw.driver.device_context import DeviceContext, DeviceContextWatch, walk, words_at
from cosim.sw.driver.leaves import LeafWatch
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import LOWEST_VALID, WORD, Cell
from cosim.sw.object_driver.watch import Ring

VALID = 1

Leaf = tuple[int, int, tuple[int, ...]]
"""Its IOVA, its size, and where the entries are that lead to it, with its own."""


class Contexts:
    """Follows the directories of all IOMMUs."""

    def __init__(self, kernel: Kernel) -> None:
        self.wanted = kernel.sim.probe(LeafCleared)
        """Whether anybody wants to know of leaves."""
        self._memory = kernel.pages.memory
        self._watch = DeviceContextWatch(kernel)
        self._leaves = LeafWatch(kernel)
        self._waiting: dict[tuple[str, int], Callable[[], None]] = {}

    def look_for(self, ring: Ring, ids: Iterable[int]) -> None:
        """Find the contexts of devices, or wait until the directory leads to them."""
        for device_id in ids:
            stop = self._waiting.pop((ring.iommu, device_id), None)
            if stop is not None:
                stop()
            found, entry = self._walk(ring, device_id)
            if found:
                self._watch.found(ring.iommu, device_id, DeviceContext(found))
            elif entry:
                again = partial(self.look_for, ring, (device_id,))
                self._waiting[ring.iommu, device_id] = self._memory.watch(entry, again)

    def words(self, ring: Ring, device_id: int, word: Callable[[int], int]) -> tuple[int, int, int, int]:
        """What a context holds, as `word` finds it in memory; all 0 while the directory leads to none."""
        found = self._watch.place(ring.iommu, device_id)
        return words_at(found or walk(ring.directory, ring.split, device_id, word)[0], word)

    def gone(self, iommu: str) -> None:
        """The directory of an IOMMU is freed."""
        for key in [key for key in self._waiting if key[0] == iommu]:
            self._waiting.pop(key)()
        self._watch.gone(iommu)

    def _walk(self, ring: Ring, device_id: int) -> tuple[int, int]:
        """Where a context is, else where the entry is that leads nowhere yet; 0 for neither."""
        return walk(ring.directory, ring.split, device_id, lambda place: self._memory.peek(place, WORD))

    def _read(self, place: int) -> int | None:
        """A word of what the driver says is a table; none where nothing is, which its IOMMU will come upon."""
        try:
            return self._memory.peek(place, WORD) if place >= LOWEST_VALID else None
        except LookupError:
            return None

    def table_of(self, ring: Ring, device_id: int) -> Fsc | None:
        """The first-stage context of a device that has a valid one."""
        found, _ = self._walk(ring, device_id)
        if not found or not self._memory.peek(int(DeviceContext(found).tc.address), WORD) & VALID:
            return None
        fsc = Fsc(self._memory.peek(int(DeviceContext(found).fsc.address), WORD))
        return fsc if fsc.mode else None

    def leaves(self, fsc: Fsc, iova: int, size: int) -> Iterator[Leaf]:
        """The leaves that map a range."""
        end = iova + size
        while iova < end:
            level, table = fsc.mode - 6, fsc.ppn << PAGE_LG2
            way: tuple[int, ...] = ()
            while True:
                span = 1 << PAGE_LG2 + 9 * level
                entry = table + WORD * (iova >> PAGE_LG2 + 9 * level & 511)
                value, way = self._read(entry) or 0, (*way, entry)
                if not value & Pte.v.mask or value & (Pte.r.mask | Pte.x.mask) or not level:
                    break
                table, level = (value >> 10 & (1 << 44) - 1) << PAGE_LG2, level - 1
            start = iova & -span
            if value & Pte.v.mask:
                yield start, span, way
            iova = start + span

    def clearing(self, domain: str, leaves: Iterable[Leaf]) -> list[tuple[int, Callable[[], None]]]:
        """A thread is about to clear leaves: the IOVA of each, and what to call if it has not."""
        return [(iova, self._leaves.cleared(domain, iova, size, *map(Cell, way))) for iova, size, way in leaves]
