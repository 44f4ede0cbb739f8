"""No two CPUs store to one word of a kernel object with nothing that orders the two stores."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from cosim.events import GracePeriodOver, ObjectAllocated, ObjectFreed, OrderMade, StoreIssued, Switched
from cosim.events.places import behind
from cosim.oracles.in_source import InSource
from cosim.oracles.oracle import Oracle, exact

WORD_LG2 = 3


class _Stored(NamedTuple):
    """The last plain store to a word, and which of its CPU's epochs it was made in."""

    who: str
    cpu: str
    epoch: int
    time: int
    place: str


class _Known(NamedTuple):
    """An object in use."""

    address: int
    purpose: str
    fields: tuple[str, ...]


class DataRace(Oracle):
    """Reports two plain stores to one word by two CPUs, the first of which does not *happen before* the second.

    A store happens before whatever its CPU does later, and, from a release of that CPU, before what another does after
    an acquire of the same word: locks, mutexes, reference counts and published pointers are made of these. Every fence
    releases to every later one, so does a change of threads, and a grace period to whoever has waited for it: more
    than they order in truth, so that a race may be missed and none is invented. What a CPU stores to an object before
    its first release after the allocation is not yet to be seen by others. Releases and atomics are no plain stores,
    and page tables, queues and device contexts no kernel objects.

    Source: "Linux kernel memory consistency model" (tools/memory-model/Documentation/explanation.txt), "Plain Accesses
    and Data Races".
    """

    name = "data-race"
    watches: ClassVar = {
        ObjectAllocated: "allocated",
        ObjectFreed: "freed",
        StoreIssued: "stored",
        OrderMade: "ordered",
        Switched: "switched",
        GracePeriodOver: "over",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._source = self.book(InSource)
        self._objects: dict[int, _Known] = {}
        """The object that each word belongs to, by the word's number."""
        self._last: dict[int, _Stored] = {}
        self._private: dict[str, dict[int, None]] = {}
        """For each CPU the words of what it has allocated and not released since."""
        self._clocks: dict[str, dict[str, int]] = {}
        """For each CPU the epochs of every CPU that happen before what it does now."""
        self._released: dict[int, dict[str, int]] = {}
        """The same for what acquires a word, and under 0 for a fence."""

    # --- Objects ---------------------------------------------------------------------------------------------------

    def allocated(self, event: ObjectAllocated) -> None:
        known = _Known(event.address, event.purpose, event.fields)
        private = self._private.setdefault(event.cpu, {})
        for word in _words(event):
            self._objects[word] = known
            private[word] = None

    def freed(self, event: ObjectFreed) -> None:
        for word in _words(event):
            self._objects.pop(word, None)
            self._last.pop(word, None)
            for private in self._private.values():
                private.pop(word, None)

    def stored(self, event: StoreIssued) -> None:
        word, cpu = event.address >> WORD_LG2, event.cpu
        known = self._objects.get(word)
        if known is None or word in self._private.get(cpu, ()):
            return
        clock = self._clock(cpu)
        last, self._last[word] = self._last.get(word), _Stored(event.who, cpu, clock[cpu], event.time, event.place)
        if last is not None and last.cpu != cpu and last.epoch > clock.get(last.cpu, 0):
            index = word - (known.address >> WORD_LG2)
            field = known.fields[index] if index < len(known.fields) else f"word {index}"
            what = f"{known.purpose}.{field}"
            member = self._source.of.member(event.address) if self._source.of else ""
            shown = f"{member} ({what})" if member else what
            self.violated(
                f"{event.who} stores to {shown} at {event.address:#x} at {exact(event.time)}{behind(event.place)}, and "
                f"nothing orders that after the store by {last.who} at {exact(last.time)}{behind(last.place)}",
                event.time,
                last.time,
                signature=f"{what} is stored to twice, unordered",
            )

    # --- Order -----------------------------------------------------------------------------------------------------

    def ordered(self, event: OrderMade) -> None:
        clock = self._clock(event.cpu)
        if event.acquire and (before := self._released.get(event.address)):
            _join(clock, before)
        if event.release:
            _join(self._released.setdefault(event.address, {}), clock)
            clock[event.cpu] += 1
            self._private.pop(event.cpu, None)

    def switched(self, event: Switched) -> None:
        self.ordered(OrderMade(event.time, event.who, 0, True, True))

    def over(self, event: GracePeriodOver) -> None:
        for cpu in list(self._clocks):
            self.ordered(OrderMade(event.time, cpu, 0, True, True))
        for cpu in list(self._clocks):
            self.ordered(OrderMade(event.time, cpu, 0, True, False))

    def _clock(self, cpu: str) -> dict[str, int]:
        clock = self._clocks.get(cpu)
        if clock is None:
            clock = self._clocks[cpu] = {cpu: 1}
        return clock


def _words(event: ObjectAllocated | ObjectFreed) -> range:
    return range(event.address >> WORD_LG2, event.address + event.size >> WORD_LG2)


def _join(clock: dict[str, int], other: dict[str, int]) -> None:
    for cpu, epoch in other.items():
        if epoch > clock.get(cpu, 0):
            clock[cpu] = epoch
