"""Device contexts in memory (2.1 "Device-Directory-Table"), and what tells of their changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from cosim.events import ContextChanged
from cosim.spec.pagetable import PAGE_LG2
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import Ddte, Fsc, Split, Tc
from cosim.sw.driver.tables_watch import TableWatch
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import LOWEST_VALID, WORD, CellMember, Object, cell


class DeviceContext(Object):
    """A device context in memory, of either format (2.1.2 "Leaf DDT entry")."""

    __slots__ = ()
    tc = cell()
    iohgatp = cell()
    ta = cell()
    fsc = cell()


DEVICE_CONTEXT_WORDS: Mapping[str, CellMember] = {
    name: member for name, member in vars(DeviceContext).items() if isinstance(member, CellMember)
}


def walk(directory: Ddtp, split: Split, device_id: int, word: Callable[[int], int]) -> tuple[int, int]:
    """Where the context of a device is, else where the entry is that leads nowhere yet; 0 for neither.

    `word` is what memory holds at an address, LookupError where nothing is, which an IOMMU will come upon. Takes no
    time.
    """

    def read(place: int) -> int | None:
        try:
            return word(place) if place >= LOWEST_VALID else None
        except LookupError:
            return None

    mode = directory.iommu_mode
    levels = IommuMode(mode).levels if mode in set(IommuMode) else 0
    if not levels:
        return 0, 0
    table = directory.ppn << PAGE_LG2
    for level in range(levels - 1, 0, -1):
        entry = table + split.offset(level, device_id)
        value = read(entry)
        if value is None:
            return 0, 0
        if not Ddte.v.get(value):
            return 0, entry
        table = Ddte.ppn.get(value) << PAGE_LG2
    found = table + split.offset(0, device_id)
    return (0 if read(found) is None else found), 0


def words_at(place: int, word: Callable[[int], int]) -> tuple[int, int, int, int]:
    """What a context holds; all 0 of one that is nowhere, at 0."""
    if not place:
        return 0, 0, 0, 0
    tc, iohgatp, ta, fsc = (word(place + WORD * number) for number in range(4))
    return tc, iohgatp, ta, fsc


class DeviceContextWatch:
    """Tells of every word of a device context that changes in memory, from when the context is first found.

    Memory is watched and not the driver, so that nothing that a policy does escapes; all of it only if somebody
    listens. The tables that valid contexts name are followed from then on (`TableWatch`).
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._changed = kernel.sim.probe(ContextChanged)
        self._tables = TableWatch(kernel)
        self._places: dict[str, dict[int, DeviceContext]] = {}
        self._watched: dict[str, dict[int, list[Callable[[], None]]]] = {}

    def found(self, iommu: str, device_id: int, context: DeviceContext) -> None:
        """The driver knows of a context."""
        self._places.setdefault(iommu, {})[device_id] = context
        contexts = self._watched.setdefault(iommu, {}) if self._changed or self._tables.wanted else None
        if contexts is None or device_id in contexts:
            return
        memory = self._kernel.pages.memory
        contexts[device_id] = [
            memory.watch(int(member.at(context)), partial(self._tell, iommu, device_id, name, context))
            for name, member in DEVICE_CONTEXT_WORDS.items()
        ]

    def gone(self, iommu: str) -> None:
        """The directory of an IOMMU is freed."""
        self._places.pop(iommu, None)
        for stops in self._watched.pop(iommu, {}).values():
            for stop in stops:
                stop()

    def place(self, iommu: str, device_id: int) -> int:
        """Where a context is; 0 if the driver knows of none."""
        context = self._places.get(iommu, {}).get(device_id)
        return 0 if context is None else int(context.address)

    def _tell(self, iommu: str, device_id: int, name: str, context: DeviceContext) -> None:
        words, peek = DEVICE_CONTEXT_WORDS, self._kernel.pages.memory.peek
        value = peek(int(words[name].at(context)), WORD)
        if name in ("tc", "fsc") and peek(int(words["tc"].at(context)), WORD) & Tc.v.mask:
            self._tables.follow(Fsc(peek(int(words["fsc"].at(context)), WORD)))
        if self._changed:
            self._changed(ContextChanged(self._kernel.sim.now, iommu, device_id, name, value))
