"""Which invalidations each IOMMU was sent, which it has executed, and whether a fence came after them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import ClassVar, NamedTuple

from cosim.events import CommandExecuted, CommandSent, ContextChanged
from cosim.oracles.oracle import Book
from cosim.spec.queues import Command, Iodir, IodirFunc, Iotinval, IotinvalFunc, Opcode
from cosim.spec.translation import DcTa

Times = defaultdict[str, defaultdict["Named", list[int]]]
"""For each IOMMU and what is named, when; ascending."""

NEVER, UNFENCED, FENCED = "never invalidated", "invalidated but not fenced", "invalidated and fenced"
SENT = "invalidation sent but not executed"


class Named(NamedTuple):
    """What an invalidation names: translations (`vma`), or device contexts (`ddt`).

    `id` is the PSCID or the device id, `first` and `last` are pages; None is all of them. Of pages it names the leaves,
    and with `tables` (NL) what leads to them as well.
    """

    kind: str
    id: int | None
    first: int | None = None
    last: int | None = None
    tables: bool = False

    def names(self, device_id: int) -> bool:
        """Whether it names the context of a device."""
        return self.kind == "ddt" and self.id in (None, device_id)

    def meets(self, pscid: int, first: int, last: int) -> bool:
        """Whether it names any of the pages from `first` to `last` of a PSCID."""
        if self.kind != "vma" or self.id not in (None, pscid):
            return False
        return self.first is None or (self.last is not None and self.first <= last and first <= self.last)

    def meets_tables(self, pscid: int, first: int, last: int) -> bool:
        """Whether it names what leads to the table for the pages from `first` to `last` of a PSCID."""
        return (self.tables or self.first is None) and self.meets(pscid, first, last)


@lru_cache(maxsize=4096)
def named(words: tuple[int, int]) -> Named | None:
    """What a command invalidates of the host's, None for any other command."""
    opcode = Command.opcode.get(words[0])
    if opcode == Opcode.IODIR:
        iodir = Iodir.from_words(words)
        return Named("ddt", iodir.did if iodir.dv else None) if iodir.func3 == IodirFunc.INVAL_DDT else None
    if opcode != Opcode.IOTINVAL:
        return None
    command = Iotinval.from_words(words)
    if command.func3 != IotinvalFunc.VMA or command.gv:
        return None
    pscid = command.pscid if command.pscv else None
    if not command.av:
        return Named("vma", pscid)
    first, pages_lg2 = command.pages
    return Named("vma", pscid, first, first + (1 << pages_lg2) - 1, bool(command.nl))


class Flushes(Book):
    """When each invalidation was sent to an IOMMU, when it was executed there, and when fences were."""

    watches: ClassVar = {
        CommandSent: "command_sent",
        CommandExecuted: "command_executed",
        ContextChanged: "context_changed",
    }

    def __init__(self) -> None:
        self._sent: Times = defaultdict(lambda: defaultdict(list))
        self._executed: Times = defaultdict(lambda: defaultdict(list))
        self._fenced: defaultdict[str, list[int]] = defaultdict(list)
        self._pscids: dict[tuple[str, int], int] = {}

    def command_sent(self, event: CommandSent) -> None:
        what = named(event.words)
        if what is not None:
            self._sent[event.iommu][what].append(event.time)

    def command_executed(self, event: CommandExecuted) -> None:
        if event.kind == "iofence":
            self._fenced[event.who].append(event.time)
            return
        what = named(event.words)
        if what is not None:
            self._executed[event.who][what].append(event.time)

    def context_changed(self, event: ContextChanged) -> None:
        if event.field == "ta" and event.value:
            self._pscids[event.who, event.device_id] = DcTa.pscid.get(event.value)

    def of_page(self, iommu: str, device_id: int, page: int, began: int, ended: int) -> str:
        """Whether an IOMMU was told to forget a page, for a device, from `began` to `ended`."""
        pscid = self._pscids.get((iommu, device_id))
        return NEVER if pscid is None else self.of_pages(iommu, pscid, page, page, began, ended)

    def of_pages(self, iommu: str, pscid: int, first: int, last: int, began: int, ended: int) -> str:
        """Whether an IOMMU was told to forget any of the pages from `first` to `last` of a PSCID: one leaf's."""
        return self._state(iommu, lambda what: what.meets(pscid, first, last), began, ended)

    def of_pscid(self, iommu: str, pscid: int, began: int, ended: int) -> str:
        """Whether an IOMMU was told to forget all of a PSCID."""
        whole = (Named("vma", pscid), Named("vma", None))
        return self._state(iommu, lambda what: what in whole, began, ended)

    def of_tables(self, iommu: str, pscid: int, first: int, last: int, began: int, ended: int) -> str:
        """Whether an IOMMU was told to forget what leads to the table for the pages from `first` to `last`."""
        return self._state(iommu, lambda what: what.meets_tables(pscid, first, last), began, ended)

    def of_context(self, iommu: str, device_id: int, began: int, ended: int) -> str:
        """Whether an IOMMU was told to forget a device's context."""
        return self._state(iommu, lambda what: what.names(device_id), began, ended)

    def other_contexts(self, iommu: str, device_id: int, began: int, ended: int) -> list[int]:
        """The devices that invalidations of contexts have named which were executed then, if not this one."""
        return sorted(
            what.id
            for what, times in self._executed[iommu].items()
            if what.kind == "ddt" and what.id not in (None, device_id) and any(_within(times, began, ended))
        )

    def _state(self, iommu: str, fits: Callable[[Named], bool], began: int, ended: int) -> str:
        def first(all_times: Times) -> int | None:
            fitting = [times for what, times in all_times[iommu].items() if fits(what)]
            return min((time for times in fitting for time in _within(times, began, ended)), default=None)

        executed = first(self._executed)
        if executed is None:
            return NEVER if first(self._sent) is None else SENT
        return UNFENCED if next(_within(self._fenced[iommu], executed, ended), None) is None else FENCED


def _within(times: Sequence[int], began: int, ended: int) -> Iterator[int]:
    """The first of `times`, which ascend, from `began` to `ended`, if there is one."""
    at = bisect_left(times, began)
    if at < len(times) and times[at] <= ended:
        yield times[at]
